"Every file under data/ has its licence, its source and its checksum in data/README.md."
import re
from hashlib import sha256

from checkout import root


def test_data_is_listed():
    data = root/'data'
    rows = re.findall(r'^\| `([^`]+)` \| ([^|]*) \| ([^|]*) \| `([0-9a-f]{64})` \|$',
                      (data/'README.md').read_text(encoding='utf-8'), flags=re.M)
    listed = {file:(licence.strip(), source.strip(), digest) for file,licence,source,digest in rows}
    exist = {o.relative_to(data).as_posix() for o in data.rglob('*') if o.is_file()
             and o.name not in ('README.md', 'checksums.json')}
    digests = {o:sha256((data/o).read_bytes()).hexdigest() for o in exist}
    lacking = sorted(o for o in exist if o not in listed)
    rows = [f'| `{o}` | its licence | where it comes from | `{digests[o]}` |' for o in lacking]
    assert not lacking, '\n'.join(['data/README.md lacks these rows:', *rows])
    assert not (gone := sorted(set(listed)-exist)), f'data/README.md lists {gone}, which data/ lacks'
    assert all(a and b for a,b,_ in listed.values()), 'a row of data/README.md has no licence or no source'
    wrong = sorted(o for o in exist if listed[o][2]!=digests[o])
    new = '\n'.join(f'{digests[o]} {o}' for o in wrong)
    assert not wrong, f'{wrong} differ from their checksums in data/README.md; if that is meant, write:\n{new}'
