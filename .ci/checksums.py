"Brings the checksums of data/README.md up to date; a file that is not listed yet gets a row. `make export` runs it."
import re
from hashlib import sha256
from pathlib import Path

data = Path(__file__).resolve().parent.parent/'data'
page = data/'README.md'
text = page.read_text(encoding='utf-8')
head = text[:text.index('| `')]
rows = {file:(licence, source) for file,licence,
        source in re.findall(r'^\| `([^`]+)` \| ([^|]*) \| ([^|]*) \|', text, flags=re.M)}
made = dict(weights='trained by this repository on the training split, see the page of its module; '
    'its story is in the file\'s header',
            pipelines='trained by `make demo` and written by `urepa export runs/demo --out data/pipelines/fashion`; '
    'its story is in its card',
            results='measured by this repository; its circumstances are in the file')
files = sorted(o for o in data.rglob('*') if o.is_file() and o.name not in ('README.md', 'checksums.json')
               and not o.name.endswith('.partial'))
names = [o.relative_to(data).as_posix() for o in files]
for name in names: rows.setdefault(name, ('Apache-2.0', made.get(name.split('/')[0], '')))
lines = [f'| `{name}` | {rows[name][0]} | {rows[name][1]} | `{sha256(file.read_bytes()).hexdigest()}` |' for name,
         file in zip(names, files)]
page.write_text(head+'\n'.join(lines)+'\n', encoding='utf-8')
