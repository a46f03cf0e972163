"The tool that puts faults into modules tells when one is not noticed; the faults that it knows of are still there."
import json
import sys

import faults
import pytest
from checkout import succeed

page = '''# A page\n> For a test.'''
lessons = ['#| default_exp toys.double', '#| export\ndef double(x): return x+x', 'assert double(1)==2']

def notebook(cells):
    made = [dict(cell_type='code', id=f'c{k}', metadata={}, source=o, outputs=[], execution_count=None)
            for k, o in enumerate(cells)]
    return json.dumps(dict(cells=made, metadata={}, nbformat=4, nbformat_minor=5))

@pytest.fixture
def checkout(tmp_path, monkeypatch):
    "A package of one page and one module."
    files = {'nbs/toys/10_double.ipynb':notebook(lessons), 'pyproject.toml':'[tool.nbdev]\nnbs_path = "nbs"\n',
             'setup.py':'', 'urepa/__init__.py':'', 'urepa/toys/__init__.py':'',
             'urepa/toys/double.py':'# %% ../../nbs/toys/10_double.ipynb #c1\ndef double(x): return x+x\n'}
    for name, text in files.items():
        (tmp_path/name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path/name).write_text(text)
    monkeypatch.setitem(faults.noticing, 'toys.double', [])
    return tmp_path

def test_changes():
    code = b'def f(a, b=True):\n    c = a[::-1]\n    return min(c, b-1.) if a<b else -a'
    cell = faults.Cell(code)
    found = {code[:start]+new+code[end:] for node, _ in faults.nodes(faults.ast.parse(code))
             for start, end, new in cell.changes(node)}
    pairs = [(b'True', b'False'), (b'[::-1]', b''), (b'min', b'max'), (b'c, b-1.', b'b-1., c'), (b'b-1.', b'b+1.'),
             (b'1.)', b'2.0)'), (b'a<b', b'a<=b'), (b'-a', b'a'), (b', b-1.', b''), (b'-1]', b'1]'), (b'1]', b'2]'),
             (b'min(c, b-1.) if a<b else -a', b'-a if a<b else min(c, b-1.)')]
    assert found=={code.replace(*o) for o in pairs}

def test_notice_and_survive(checkout):
    seconds = {}
    noticed, = faults.faults_of(checkout, 'toys.double').values()
    assert noticed.change=='def double(x): return x+x → def double(x): return x-x'
    assert faults.noticed_by(checkout, noticed, seconds)[0]=='toys/10_double'
    twice = faults.fault('toys.double', ('c1', (noticed.old, 1)), noticed.old.index(b'x+x'), len(noticed.old), b'2*x')
    assert faults.noticed_by(checkout, twice, seconds)==(None, ''), 'a change that is no fault was noticed'
    assert b'x+x' in (checkout/'urepa/toys/double.py').read_bytes(), 'a fault was left behind'

def test_page_that_fails(checkout):
    path = checkout/'nbs/toys/10_double.ipynb'
    path.write_text(notebook([*lessons, 'assert False']))
    fault, = faults.faults_of(checkout, 'toys.double').values()
    with pytest.raises(SystemExit, match='fails without any fault'): faults.noticed_by(checkout, fault, {})

def test_known_faults():
    assert len(list(faults.by_hand(faults.root)))==len(faults.written['faults'])

def test_equivalent_changes():
    known = {k for m in faults.noticing for k in faults.faults_of(faults.root, m)}
    gone = [o for o in faults.written['equivalent'] if o not in known]
    assert not gone, f'faults.json lists changes that the code does not allow any more: {gone}'

@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_sample(tmp_path):
    "Thirty faults and those by hand: at most one of them passes."
    succeed(sys.executable, 'tests/faults.py', '--sample', 30, '--out', tmp_path/'faults.json', timeout=3500)
    rows = json.loads((tmp_path/'faults.json').read_text())['faults']
    passed = [o['key'] for o in rows if not o['noticed_by']]
    assert len(rows)>=30 and len(passed)<=1, passed
