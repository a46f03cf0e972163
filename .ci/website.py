"""Stages the pages for the website, renders it, shows it.

    website.py stage                 the pages as a website shows them, in _proc
    website.py docs                  those rendered by Quarto, in _site
    website.py preview [--port N] [--no-serve]    those rendered without Quarto, in _preview, and served here"""
import argparse
import ast
import base64
import copy
import functools
import html
import io
import os
import re
import shutil
import struct
import subprocess
import sys
import tokenize
import unicodedata
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

root = Path(__file__).resolve().parent.parent
# Read for reasons and results: all code is folded
findings = 'explanations', 'experiments', 'analysis'
# Read for their prose:
prose = 'index.ipynb', 'tutorials', 'explanations', 'howto', 'experiments', 'analysis', 'reference'
index = 'reference/names.ipynb' # gets the index of names
definitions = ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef

def sources():
    return [o for o in sorted((root/'nbs').rglob('*')) if o.is_file() and '.ipynb_checkpoints' not in o.parts]

def exported(nb):
    "The cells of a page that define what its module holds, a part for each definition: every name gets a heading."
    for cell in nb.cells:
        code = re.sub(r'^#\| exports?\n', '', cell.source)
        tree = ast.parse(code).body if cell.cell_type=='code' and code!=cell.source else []
        names = [(o.name, min([o.lineno, *(d.lineno for d in o.decorator_list)])) for o in tree
                 if isinstance(o, definitions)]
        cuts = [0, *(line-1 for name,line in names[1:]), len(code.splitlines())]
        if names:
            yield cell, [(name, '\n'.join(code.splitlines()[a:b]).strip()) for (name,line),a,
                         b in zip(names, cuts, cuts[1:])]

@functools.lru_cache
def statements(file): return ast.parse(file.read_text(encoding='utf-8')).body

class Names:
    "Where every name of the package is explained, and where it stands in the code."
    def __init__(self, pages): # `{path below nbs/: notebook}`
        self.places, self.modules = {}, {}
        for path, nb in pages.items():
            module = next((o.source.split()[2] for o in nb.cells if o.source.startswith('#| default_exp')), None)
            if module: self.modules[module] = path
            for cell, parts in exported(nb):
                for name,code in parts: self.places.setdefault(name, []).append(path)

    def line(self, module, name): # e.g. 'urepa/align/token.py#L12'
        file = f"urepa/{module.replace('.', '/')}.py"
        tree = statements(root/file)
        return f'{file}#L' + str(next(o.lineno for o in tree if isinstance(o, definitions) and o.name==name))

    def page(self, text, here):
        "Page and heading for what prose names: on this page, else on the first that has it."
        parts = text.removesuffix('()').split('.')
        rooms = [n for n in (3, 2) if parts[0]=='urepa' and '.'.join(parts[1:n]) in self.modules]
        if rooms:
            places, parts = [self.modules['.'.join(parts[1:rooms[0]])]], parts[rooms[0]:]
            if not parts or parts[0] not in self.places: return places[0] # a module, or a value that has no heading
        else: places = self.places.get(parts[0], [])
        return f'{here if here in places else places[0]}#{parts[0].lower()}' if places else None

    def link(self, text, here):
        "Turn names in backticks into links, outside code and headings."
        up, fenced, lines = '../'*here.count('/'), False, text.split('\n')
        def one(m):
            plain = re.fullmatch(r'[a-z]+(\.\w+)*', m[1]) and not m[1].startswith('urepa.')
            if plain: return m[0] # a preset, a value, a file, an attribute, a word that is also a function
            return f'[{m[0]}]({up}{place})' if (place := self.page(m[1], here)) else m[0]
        for i,line in enumerate(lines):
            if line.startswith('```'): fenced = not fenced
            if not fenced and not line.startswith(('#', '    ')):
                lines[i] = re.sub(r'(?<![`\[])`([\w.]+(?:\(\))?)`(?![`\]])', one, line)
        return '\n'.join(lines)

def parsed(code): return ast.parse('\n'.join(o for o in code.splitlines() if not o.startswith(('%', '!')))).body

def kinds(cell):
    "What a cell shows, as MIME types."
    return {kind for o in cell.get('outputs', []) for kind in o.get('data', {})}

def checks(statement):
    "Does a statement only check something?"
    if isinstance(statement, ast.With): statement = ast.Expr(statement.items[0].context_expr)
    call = getattr(statement, 'value', None)
    name = getattr(getattr(call, 'func', None), 'id', '')
    return isinstance(statement, ast.Assert) or name.startswith('test_') or name=='expect_fail'

def folded(cell, quiet=False): # quiet: all code is
    "What stands on the fold of a cell, on a page that is read for its prose; empty where the code is shown."
    body = parsed(cell.source)
    if not body or 'code-fold' in cell.source: return ''
    if all(isinstance(o, (ast.Import, ast.ImportFrom)) for o in body): return 'Imports'
    if 'image/png' in kinds(cell): return 'Code of the figure'
    if all(map(checks, body)): return 'Checked'
    if not quiet or 'text/markdown' in kinds(cell): return ''
    if left_out(cell): return 'How it was measured'
    return 'Code' if cell.get('outputs') else 'Set-up'

def left_out(cell):
    "Why a cell is not run with its page; empty where it is."
    from urepa.lab.slow import why_left_out
    return why_left_out(cell.source.splitlines())

def fold(nb, quiet=False):
    "On pages that are read for their prose: fold imports, figures and checks, hide what writes sentences."
    for cell in nb.cells:
        if cell.cell_type!='code' or 'echo: false' in cell.source: continue
        if words := folded(cell, quiet):
            cell.source = f'#| code-fold: true\n#| code-summary: {words}\n{cell.source}'
        elif 'text/markdown' in kinds(cell): cell.source = f'#| echo: false\n{cell.source}'

def mark_slow(nb, here):
    "Say which cells are not run with their page, why, and how they are."
    from nbdev.processors import mk_cell
    how = f"In Jupyter it runs after [`%slow on`]({'../'*here.count('/')}lab/91_slow.ipynb)."
    for cell in list(nb.cells):
        why = left_out(cell) if cell.cell_type=='code' else ''
        if not why: continue
        shows = ' Its output is from a run that asked for it.' if cell.outputs else ''
        words = f'[`make test` leaves this cell out, because it {why}.{shows} {how}]{{.slow}}'
        nb.cells.insert(nb.cells.index(cell), mk_cell(words, cell_type='markdown'))

def name_module(nb):
    "Below the title of a page that exports: the module, and how its names are imported."
    from nbdev.processors import mk_cell
    module = next((o.source.split()[2] for o in nb.cells if o.source.startswith('#| default_exp')), None)
    if not module: return
    public = [name for _,parts in exported(nb) for name,_ in parts if not name.startswith('_')]
    words = f'`from urepa.{module} import {", ".join(dict.fromkeys(public[:3]))}`' if public else f'`urepa.{module}`'
    at = next(i for i,o in enumerate(nb.cells) if o.cell_type=='markdown')+1
    told = f'[For those who call or change `urepa.{module}`: {words}]{{.module}}'
    nb.cells.insert(at, mk_cell(told, cell_type='markdown'))

def set_widths(nb):
    "One size of letters in all figures: they are stored at twice their size, and shown at half of that."
    for output in [o for cell in nb.cells for o in cell.get('outputs', [])]:
        png = output.get('data', {}).get('image/png')
        if not png or 'Figure size' not in ''.join(output['data'].get('text/plain', '')): continue
        width, height = struct.unpack('>II', base64.b64decode(''.join(png)[:64])[16:24])
        output['metadata'] = {'image/png': dict(width=width//2, height=height//2)}

def widths(staged):
    "PNG file of a figure, as text → its width on the page."
    from fastcore.nbio import read_nb
    outputs = [o for page in staged.rglob('*.ipynb') for cell in read_nb(page).cells for o in cell.get('outputs', [])]
    return {''.join(o['data']['image/png']).strip():o['metadata']['image/png']['width'] for o in outputs
            if o.get('metadata', {}).get('image/png')}

def with_widths(page, known):
    "The preview knows no width of an output; put it beside the picture."
    def one(m): return m[0] + (f' width="{known[m[1]]}"' if m[1] in known else '')
    return re.sub(r'src="data:image/png;base64,([^"]+)"', one, page)

def comments(code):
    "The comment that ends each line: number → text."
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return {o.start[0]:o.string.lstrip('# ') for o in tokens if o.type==tokenize.COMMENT}

def parameters(name, code):
    "A table of what a public function or class is called with, from the comments of its signature."
    node = next(o for o in ast.parse(code).body if isinstance(o, definitions) and o.name==name)
    notes = comments(code)
    if isinstance(node, ast.ClassDef):
        made = [o for o in node.body if isinstance(o, ast.FunctionDef) and o.name=='__init__']
        fields = [(o.target.id, o.annotation, o.value, o.end_lineno) for o in node.body if isinstance(o, ast.AnnAssign)]
        if not made: return parameter_table(fields, notes)
        node = made[0]
    given = node.args.posonlyargs+node.args.args
    values = [None]*(len(given)-len(node.args.defaults))+node.args.defaults
    pairs = [*zip(given, values), *zip(node.args.kwonlyargs, node.args.kw_defaults)]
    rows = [(o.arg, o.annotation, v, (v or o).end_lineno) for o,v in pairs if o.arg!='self']
    return parameter_table(rows, notes)

def dashed(text):
    "Markdown makes one dash of the two of an option, unless it is code."
    return re.sub(r'(`[^`]*`)|(?<![\w-])(--[a-z][\w.-]*)', lambda m: m[1] or f'`{m[2]}`', text)

def parameter_table(rows, notes):
    "Name, type, default and meaning of each, where all have a meaning."
    if not rows or not all(line in notes for *_,line in rows): return ''
    def cell(o): return f'`{ast.unparse(o)}`'.replace('|', '\\|') if o is not None else ''
    lines = [f"| `{name}` | {cell(kind)} | {cell(value)} | {dashed(notes[line]).replace('|', chr(92)+'|')} |"
             for name,kind,value,line in rows]
    head = '::: {.parameters}', '| parameter | type | default | meaning |', '|---|---|---|---|'
    return '\n'.join([*head, *lines, ':::'])

def show_code(nb, here, names, address):
    "Put what a page exports under headings, with a link to where it stands in the package; link names in the prose."
    from nbdev.processors import mk_cell
    parts_of, cells = {id(cell):parts for cell,parts in exported(nb)}, []
    for cell in nb.cells:
        if cell.cell_type=='markdown': cell.source = names.link(cell.source, here)
        if opening := re.match(r'(# [^\n]*\n+(?:> [^\n]*\n)+)(.+)', cell.source,
                               flags=re.S): # nbdev keeps the title and the `>` line, no more
            cells.append(mk_cell(opening[1], cell_type='markdown'))
            cell.source = opening[2].strip()
        for n,(name,code) in enumerate(parts_of.get(id(cell), [])):
            module = next(k for k,v in names.modules.items() if v==here)
            source = f'{address}/blob/main/{names.line(module, name)}'
            cells.append(mk_cell(f'[source]({source}){{style="float:right; font-size:smaller"}}\n\n### {name}',
                                 cell_type='markdown'))
            cells.append(copy.deepcopy(cell))
            cells[-1].update(source=code, id=f'{cell.id}-{n}')
            table = '' if name.startswith('_') else parameters(name, code)
            if table: cells.append(mk_cell(table, cell_type='markdown'))
        if id(cell) not in parts_of: cells.append(cell)
    nb.cells[:] = cells

def first_sentence(code, name):
    "What a docstring begins with."
    node = next(o for o in ast.parse(code).body if isinstance(o, definitions) and o.name==name)
    return (ast.get_docstring(node) or '').split('\n')[0]

def name_rows(pages, names):
    "Every public function and class: letter → rows of a table that leads to its page."
    rows = {}
    for path in names.modules.values():
        module = next(k for k,v in names.modules.items() if v==path)
        for _,parts in exported(pages[path]):
            for name,code in parts:
                if name.startswith('_') or '@patch' in code: continue
                said = first_sentence(code, name).replace('|', '\\|')
                row = f'| [`{name}`](../{path}#{name.lower()}) | urepa.{module} | {said} |'
                rows.setdefault(name[0].upper(), {}).setdefault(name.lower()+path, row)
    return {k:[v for _,v in sorted(o.items())] for k,o in sorted(rows.items())}

def add_names(page, pages, names):
    "The index of names, at the end of its page."
    from nbdev.processors import mk_cell
    for letter,rows in name_rows(pages, names).items():
        table = '\n'.join(['| name | module | what it is |', '|---|---|---|', *rows])
        page.cells += [mk_cell(f'## {letter}', cell_type='markdown'), mk_cell(table, cell_type='markdown')]

def link_colab(nb, here, address):
    "Below the title of a tutorial: where it can be run without a machine of one's own."
    from nbdev.processors import mk_cell
    place = address.removeprefix('https://github.com/')
    install = f'`!pip install git+{address}` comes first there.'
    words = f'[Open in Colab](https://colab.research.google.com/github/{place}/blob/main/nbs/{here}): {install}'
    at = next(i for i,o in enumerate(nb.cells) if o.cell_type=='markdown')+1
    nb.cells.insert(at, mk_cell(f'[{words}]{{.module}}', cell_type='markdown'))

documents = dict(changes='CHANGELOG.md', contributing='CONTRIBUTING.md') # page of the site → file of the repository

def stage_documents(staged, address):
    "Files of the repository as pages of the site; what they lead to is shown where it stands."
    for page,file in documents.items():
        title,_,text = (root/file).read_text(encoding='utf-8').partition('\n')
        def one(m): return m[0] if re.match(r'[a-z]+:|#', m[2]) else f'{m[1]}({address}/blob/main/{m[2]})'
        text = re.sub(r'(\])\(([^()\s]+)\)', one, text)
        (staged/f'{page}.qmd').write_text(f'---\ntitle: {title.removeprefix("# ")}\n---\n{text}', encoding='utf-8')

def stage():
    "What the website is rendered from, in `_proc`: pages with the code that they export, and the files beside them."
    from fastcore.nbio import read_nb, write_nb
    from nbdev.config import get_config
    from nbdev.processors import FilterDefaults
    class Prepare(FilterDefaults): # nbdev's own steps, but for those that replace code by signatures
        def base_procs(self):
            return [o for o in super().base_procs()
                    if o.__name__ not in ('add_show_docs', 'exec_show_docs', 'add_links')]
    staged, address = root/'_proc', get_config(root).git_url
    shutil.rmtree(staged, ignore_errors=True)
    pages = {o.relative_to(root/'nbs').as_posix():read_nb(o) for o in sources() if o.suffix=='.ipynb'}
    names = Names(pages)
    if index in pages: add_names(pages[index], pages, names)
    for file in sources():
        here = file.relative_to(root/'nbs').as_posix()
        (staged/here).parent.mkdir(parents=True, exist_ok=True)
        if here not in pages: shutil.copy(file, staged/here); continue
        name_module(pages[here])
        if here.startswith('tutorials/'): link_colab(pages[here], here, address)
        set_widths(pages[here])
        mark_slow(pages[here], here)
        door = here.split('/')[0]
        if door in prose: fold(pages[here], door in findings)
        show_code(pages[here], here, names, address)
        Prepare()(pages[here])
        write_nb(pages[here], staged/here)
    stage_documents(staged, address)
    return staged

def docs():
    if not shutil.which('quarto'):
        sys.exit('Quarto is not on PATH: install it from https://quarto.org/docs/get-started/ and run this again, '
                 'or look at the pages without it: make preview')
    staged = stage()
    if code := subprocess.run(['quarto', 'render', '.', '--no-execute'], cwd=staged).returncode: sys.exit(code)
    shutil.rmtree(root/'_site', ignore_errors=True)
    shutil.move(staged/'_site', root/'_site')
    print(f'The website is in {root/"_site"}')

def styled(m): # browsers that know MathML Core alone show 𝓛 as such, and not as an L with a style
    kind = {'script':'SCRIPT', 'double-struck':'DOUBLE-STRUCK', 'bold':'BOLD'}.get(m[1])
    case = 'CAPITAL' if m[2].isupper() else 'SMALL'
    for name in (f'MATHEMATICAL {kind} {case} {m[2].upper()}', f'{kind} {case} {m[2].upper()}'):
        try: return f'<mi>{unicodedata.lookup(name)}</mi>'
        except KeyError: continue
    return m[0]

def mathml(name, page):
    "Replace TeX by MathML, which browsers show without a script from elsewhere."
    from latex2mathml.converter import convert
    def one(m):
        tex, block = html.unescape(m[2])[2:-2].strip(), 'display' in m[1]
        tex = re.sub(r'\\(arg|deg|dim|ker|Pr)\b', r'\\operatorname{\1}', tex) # those that the converter lacks
        try: made = convert(tex, display='block' if block else 'inline')
        except Exception as e: sys.exit(f'{name}: the equation {tex!r} cannot be shown ({type(e).__name__} {e})')
        if unknown := re.search(r'>(\\[A-Za-z]+)<', made):
            sys.exit(f'{name}: the equation {tex!r} uses {unknown[1]}, which is not known')
        return re.sub(r'<mi mathvariant="([a-z-]+)">([A-Za-z])</mi>', styled, made)
    return re.sub(r'<span class="(math [a-z]+)">(.*?)</span>', one, page, flags=re.S)

def preview(port, serve=True):
    staged, site = stage(), root/'_preview'
    render = subprocess.run([Path(sys.executable).parent/'smalldocs', 'render', '--quiet', staged],
                            stderr=subprocess.PIPE, text=True)
    for o in render.stderr.splitlines():
        if 'output-file is not read' not in o and 'grid is ignored' not in o: print(o, file=sys.stderr)
    render.check_returncode()
    known = widths(staged)
    for page in (staged/'_site').rglob('*.html'):
        shown = with_widths(page.read_text(encoding='utf-8'), known)
        page.write_text(mathml(page.name, shown), encoding='utf-8')
    shutil.rmtree(site, ignore_errors=True)
    shutil.move(staged/'_site', site)
    if not serve: return
    handler = functools.partial(SimpleHTTPRequestHandler, directory=site)
    try: server = ThreadingHTTPServer(('127.0.0.1', port), handler)
    except OSError as e:
        sys.exit(f'port {port} cannot be used ({e.strerror}); choose another: make preview ARGS="--port 8000"')
    with server:
        print(f'http://127.0.0.1:{server.server_port}/  (Ctrl-C ends it)', flush=True)
        try: server.serve_forever()
        except KeyboardInterrupt: print()

if __name__=='__main__':
    os.chdir(root)
    os.environ.update(HF_HUB_OFFLINE='1', MPLBACKEND='Agg')
    sys.path.insert(0, str(root))
    parser = argparse.ArgumentParser()
    parser.add_argument('what', choices=['stage', 'docs', 'preview'])
    parser.add_argument('--port', type=int, default=4200)
    parser.add_argument('--no-serve', action='store_true')
    args = parser.parse_args()
    if args.what=='stage': print(stage())
    if args.what=='docs': docs()
    if args.what=='preview': preview(args.port, not args.no_serve)
