"""The mathematics is what it was when golden.json was written:
to the last bit on a machine of the same kind, but for rounding on others."""
import json
import math
from pathlib import Path

import pytest

kept = json.loads(Path(__file__).with_name('golden.json').read_text())

@pytest.fixture(scope='module', autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('UREPA_CACHE', str(tmp_path_factory.mktemp('cache')))
        yield

def leaves(values, place=''):
    "Whatever stands in nested dicts and lists: place → value."
    pairs = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else None
    return {place:values} if pairs is None else {k:v for key,o in pairs for k,v in leaves(o, f'{place}/{key}').items()}

def slack(place, largest):
    "By how much others may round otherwise: relative, absolute. Measured with AVX-512, AVX2, neither: at most half."
    if place.startswith('/images/'): return 0, 1e-5*max(1, largest) # `largest` spread of the images
    if place.startswith('/terms/'): return 4e-6, 1e-6
    return (1e-6, 0) if place.endswith('/norm') else (0, 0)

def different(found, wanted, exact):
    "Places where values differ, as sentences."
    found, wanted = leaves(found), leaves(wanted)
    assert found.keys()==wanted.keys(), f'other values than before: {sorted(found.keys()^wanted.keys())[:10]}'
    rest = [k for k in wanted if found[k]!=wanted[k]]
    if not exact: # checksums of what is computed tell nothing then
        largest = max(float.fromhex(v) for k,v in wanted.items() if '/std/' in k)
        def near(k):
            if '/sha256/' in k or k in ('/inputs/tokens', '/inputs/noise'): return True
            relative, absolute = slack(k, largest)
            return (relative or absolute) and math.isclose(float.fromhex(found[k]), float.fromhex(wanted[k]),
                                                           rel_tol=relative, abs_tol=absolute)
        rest = [k for k in rest if not near(k)]
    return [f'{k} is {found[k]} and was {wanted[k]}' for k in rest]

def test_the_same_configs():
    import golden
    assert list(kept['values'])==list(golden.configs)

@pytest.mark.parametrize('name', kept['values'])
def test_golden(name):
    import golden
    exact = all(kept['provenance'][k]==v for k,v in golden.machine().items())
    wrong = different(golden.compute(name), kept['values'][name], exact)
    how = 'to the last bit' if exact else 'beyond rounding'
    assert not wrong, f"{len(wrong)} values differ, {how}: {'; '.join(wrong[:5])}"
