"How pages are made, where a tool can tell."
import ast
import base64
import re
from collections import Counter

import pytest
from checkout import Page, name, pages, read_pages, root, run, scripts

from urepa.lab.slow import why_left_out


def trees(code): return ast.parse('\n'.join(o for o in code.splitlines() if not o.startswith(('%', '!'))))

def lesson(code):
    "Does a cell check something?"
    calls = [getattr(o.func, 'id', getattr(o.func, 'attr', '')) for o in ast.walk(trees(code))
             if isinstance(o, ast.Call)]
    return any(isinstance(o, ast.Assert) for o in ast.walk(trees(code))) or any(o.startswith('test_')
                                                                                or o=='expect_fail' for o in calls)

def mixed(code):
    "Imports beside statements: nbdev runs such a cell whenever documentation is made."
    kinds = {isinstance(o, (ast.Import, ast.ImportFrom)) for o in trees(code).body}
    return len(kinds)==2

def cut_short(code):
    "Text of fields and functions that goes on in a second string, which no help shows."
    def text(o): return isinstance(o, ast.Expr) and isinstance(o.value, ast.Constant) and isinstance(o.value.value, str)
    for o in ast.walk(trees(code)):
        body = getattr(o, 'body', [])
        pairs = zip(body, body[1:]) if isinstance(body, list) else []
        yield from (a.value.value for a, b in pairs if text(a) and text(b))

def directives(code): return re.findall(r'^#\|\s*(.*)', code, flags=re.M)

def as_text(output):
    "What an output shows as text."
    return ''.join([*output.get('text', []),
                    *(line for kind,o in output.get('data', {}).items() if kind.startswith('text') for line in o)])

def crowded(text):
    "A heading that shares its cell with prose; the title keeps its `>` line and what introduces the page."
    outside = re.sub(r'^```.*?^```', '', text, flags=re.M|re.S)
    return bool(re.search(r'^#{2,6} ', outside, flags=re.M)) and len(text.strip().splitlines())>1

def picture_sizes(page):
    data = [o.get('data', {}).get('image/png') for o in page.outputs]
    return [len(base64.b64decode(''.join(o))) for o in data if o]

def problems(page):
    first = page.prose[0].splitlines() if page.prose else ['']
    if not first[0].startswith('# ') or not any(o.startswith('> ') for o in first[1:4]):
        yield 'its first prose cell has to be a title (`# ...`), then a line that starts with `> `'
    if page.path.stat().st_size>600_000: yield f'it has {page.path.stat().st_size:,} bytes; 600,000 are allowed'
    for size in picture_sizes(page):
        if size>100_000:
            yield f'a picture has {size:,} bytes; 100,000 are allowed: draw it smaller or at fewer dots per inch'
    for text in filter(crowded, page.prose):
        yield f'the heading in {text[:60]!r}... shares its cell with prose; give it a cell of its own'
    for code in page.code:
        where = f'the cell {code[:60]!r}...'
        if mixed(code): yield f'{where} imports and does something else; imports stand in a cell of their own'
        for text in cut_short(code): yield f'{text!r} is cut short: the string after it belongs to nothing; make it one'
        if any(re.match(r'eval:\s*false|skip_exec', o) for o in directives(code)):
            yield f'{where} never runs; a page shows only what runs'
    for text in [*page.code, *page.prose, *map(as_text, page.outputs)]:
        if found := re.search(r'(?<![\w.~])/(home|root|Users|tmp|var|mnt|work|opt)/\w[\w/.-]*', text):
            yield f'it holds a path of one machine, {found[0]}; print names only'
    for output in page.outputs:
        if output['output_type']=='error' or 'Traceback (most recent call last)' in as_text(output):
            yield 'it stores an error; run it again: make pages'
    if not page.module: return
    *folders, room = page.module.split('.')
    if not re.fullmatch(rf"{'/'.join([*folders, ''])}\d\d_{room}", page.name):
        yield f'it exports {page.module}; let it lie in the folder of that name, called two digits, _ and {room}'
    if not re.fullmatch(r'#\| default_exp [\w.]+', page.code[0].strip()):
        yield 'its first code cell has to be `#| default_exp` alone'
    if not any(map(lesson, page.lessons)): yield 'it exports and has no lesson that asserts'
    if not page.outputs: yield 'it stores no output; run it: make pages'

def test_what_pages_keep_is_written_where_asked():
    "A cell that somebody tries must not replace what all pages show: see `urepa.core.repository_file`."
    writes = r'\b(write_json|write_atomic|run_sweep|save\w*|savefig)\('
    place = r"asset\('\w+'\)/|/'(data|nbs)'/"
    sweeps = r"root/'nbs'/'experiments'/" # read, not written
    loose = [f'{o.name}: {code[:50]!r}' for o in read_pages() for code in o.code
             if re.search(writes, code) and re.search(place, re.sub(sweeps, '', code)) and '#| export' not in code]
    assert not loose, f"{loose} write into the repository; ask repository_file('data/results/...') where to"

def test_slow_cells_pass_themselves_over_in_jupyter():
    "See `urepa.lab.slow`."
    for page in read_pages():
        left = [o for o in page.cells if o['cell_type']=='code' and why_left_out(o['source'])]
        before = page.cells[:page.cells.index(left[0])] if left else []
        loads = any('%load_ext urepa.lab.slow' in ''.join(o['source']).splitlines() for o in before)
        assert loads or not left, f'{page.name} has slow cells; let its imports end in %load_ext urepa.lab.slow'
        told = [o for cell in left for o in cell['outputs'] if as_text(o).startswith('Passed over')]
        assert not told, f'{page.name} stores that Jupyter passed a cell over; git checkout what the cell showed'

@pytest.mark.parametrize('path', pages(), ids=name)
def test_page_style(path):
    found = list(problems(Page(path)))
    assert not found, f'{name(path)}: ' + '; '.join(found)

def test_one_page_one_module():
    twice = [k for k,v in Counter(o.module for o in read_pages() if o.module).items() if v>1]
    assert not twice, f'{twice} are exported by two pages; the second would overwrite the first'

def ruff(*words): return run(scripts/'ruff', 'check', '--no-cache', '--output-format', 'concise', *words)

def test_ruff():
    done = ruff('tests', '.ci')
    assert not done.returncode, done.stdout
    done = ruff('--ignore', 'E501', 'urepa', 'nbs')
    assert not done.returncode, done.stdout

def test_lines_are_short():
    done = ruff('--select', 'E501', 'nbs')
    assert not done.returncode, done.stdout

def test_functions_are_short():
    "From `def` to the last line, signature and help included."
    long = []
    for path in sorted((root/'urepa').rglob('*.py')):
        for o in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if not isinstance(o, (ast.FunctionDef, ast.AsyncFunctionDef)): continue
            lines = o.end_lineno-o.lineno+1
            if lines>40: long.append(f'{path.relative_to(root)} {o.name}: {lines} lines')
    assert not long, f'{long}; 40 lines are allowed: split them'
