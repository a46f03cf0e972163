"""Puts faults into the mathematics, one at a time, and lists those that neither pages nor tests notice.

    python tests/faults.py --each 15 --out data/results/faults.json       what the page on faults shows; `make faults`
    python tests/faults.py --sample 30                                    a sample of all, without writing anything

A fault changes one operator, constant, argument or order of a function, in the module and in its page alike, within a
copy of this checkout. Then the page that defines the function and whatever else should notice runs, the quick ones
first, until one fails; before its first fault each has to pass without one. faults.json holds faults written by
hand, which are always among those tried, and changes that are none, each with its reason, which never are.
An interrupted measurement goes on where it stopped: what stands in `--out` is not tried again."""
import argparse
import ast
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from checkout import copy_to, root

golden = 'tests/test_golden.py'
noticing = { # module → what should notice its faults, the quick ones first; its own page leads unless it is named
    'nets.mixing': ['nets/20_layers', 'nets/21_unet'],
    'nets.layers': ['nets/21_unet', golden],
    'nets.unet': ['nets/22_describe', golden],
    'flow.paths': ['flow/31_solvers', 'flow/32_sample', 'training/57_fields', golden],
    'flow.solvers': ['flow/32_sample', golden],
    'flow.sample': [golden, 'score/56_draw'],
    'align.project': ['align/45_objective', golden],
    'align.token': ['align/45_objective', golden],
    'align.manifold': ['align/45_objective', golden],
    'align.objective': ['align/45_objective', golden, 'training/57_fields'],
    'training.ema': ['training/50_ema', golden, 'training/54_train'],
    'training.train': [golden, 'training/54_train', 'training/53_run', 'app/66_watch', 'training/57_fields'],
    'data.order': ['data/08_order', 'data/15_batches'],
    'data.batches': ['data/15_batches', golden, 'training/57_fields'],
    'score.metrics': ['score/62_evaluate'],
    'inside.cka': ['analysis/cka'],
}
written = json.loads(Path(__file__).with_suffix('.json').read_text(encoding='utf-8'))

# ---- What a fault is -------------------------------------------------------------------------------------------------

operators = {ast.Add:('+', '-'), ast.Sub:('-', '+'), ast.Mult:('*', '/'), ast.Div:('/', '*'), ast.FloorDiv:('//', '*'),
             ast.Mod:('%', '//'), ast.Pow:('**', '*'), ast.BitAnd:('&', '|'), ast.BitOr:('|', '&'),
             ast.Lt:('<', '<='), ast.LtE:('<=', '<'), ast.Gt:('>', '>='), ast.GtE:('>=', '>'), ast.Eq:('==', '!='),
             ast.NotEq:('!=', '=='), ast.Is:('is', 'is not'), ast.IsNot:('is not', 'is'), ast.In:('in', 'not in'),
             ast.NotIn:('not in', 'in'), ast.And:('and', 'or'), ast.Or:('or', 'and')}
pairs = 'min max, sum mean, any all, cos sin, floor ceil, minimum maximum, argmin argmax, zeros_like ones_like'
names = {a:b for pair in pairs.split(', ') for a,b in (pair.split(), reversed(pair.split()))}

kinds = {'constant':(ast.Constant,), 'argument':(ast.Call,), 'order':(ast.stmt, ast.IfExp)} # else an operator

class Fault(NamedTuple):
    "One change of one cell."
    kind:str # 'operator', 'constant', 'argument', 'order' or 'by hand'
    module:str # 'nets.layers'
    cell:str # Its id
    old:bytes # Text of the cell, in the module
    new:bytes
    line:int # In the module
    change:str # 'old line → new line'
    key:str # What names it as long as the line stays what it is

class Cell:
    "An exported cell: offsets of its nodes, in bytes as `ast` counts them."
    def __init__(self, text):
        self.text = text
        self.starts = [0]
        for line in text.splitlines(keepends=True): self.starts.append(self.starts[-1]+len(line))

    def start(self, node): return self.starts[node.lineno-1]+node.col_offset
    def end(self, node): return self.starts[node.end_lineno-1]+node.end_col_offset
    def of(self, node): return self.text[self.start(node):self.end(node)]

    def swapped(self, a, b):
        "Two parts exchanged."
        between = self.text[self.end(a):self.start(b)]
        return self.start(a), self.end(b), self.of(b)+between+self.of(a)

    def operator(self, left, right, kind):
        "Another operator between two operands."
        if type(kind) not in operators: return
        was, becomes = operators[type(kind)]
        between = self.text[self.end(left):self.start(right)]
        if b'#' in between: return
        yield self.end(left), self.start(right), between.replace(was.encode(), becomes.encode(), 1)

    def call(self, node):
        "Arguments dropped or exchanged, another function of the same kind."
        name = node.func
        called = getattr(name, 'attr', getattr(name, 'id', ''))
        if called in names:
            end = self.end(name)
            yield end-len(called), end, names[called].encode()
        if called=='require': return
        given = [*node.args, *node.keywords]
        if len(node.args)>1 and not any(isinstance(o, ast.Constant|ast.UnaryOp|ast.Starred) for o in node.args[:2]):
            yield self.swapped(*node.args[:2])
        for before, o in zip(given, given[1:]):
            elsewhere = isinstance(o, ast.keyword) and o.arg=='device' # which a processor cannot notice
            if o not in node.args[:-1] and not elsewhere: yield self.end(before), self.end(o), b''

    def order(self, body):
        "Statements dropped, or exchanged where both concern a name that stood before."
        for o in body:
            call = isinstance(o, ast.Expr) and isinstance(o.value, ast.Call) and b'super()' not in self.of(o)
            if call or isinstance(o, ast.AugAssign): yield self.start(o), self.end(o), b'pass'
        for a, b in zip(body, body[1:]):
            if not all(isinstance(o, (ast.Assign, ast.AugAssign, ast.Expr)) for o in (a, b)): continue
            bound = {o.id for t in getattr(a, 'targets', [getattr(a, 'target', None)]) if t for o in ast.walk(t)
                     if isinstance(o, ast.Name) and isinstance(o.ctx, ast.Store)}
            known = {o.id for o in ast.walk(a) if isinstance(o, ast.Name) and isinstance(o.ctx, ast.Load)}
            read = {o.id for o in ast.walk(b) if isinstance(o, ast.Name) and isinstance(o.ctx, ast.Load)}
            if bound & known & read: yield self.swapped(a, b)

    def changes(self, node):
        "Changes that a node allows: start, end, new text."
        match node:
            case ast.BinOp(): yield from self.operator(node.left, node.right, node.op)
            case ast.AugAssign(): yield from self.operator(node.target, node.value, node.op)
            case ast.BoolOp(): yield from self.operator(*node.values[:2], node.op)
            case ast.Compare():
                for left, right, kind in zip([node.left, *node.comparators], node.comparators, node.ops):
                    yield from self.operator(left, right, kind)
            case ast.UnaryOp(op=ast.Not()|ast.USub()|ast.Invert()):
                yield self.start(node), self.start(node.operand), b''
            case ast.Constant(value=bool()): yield self.start(node), self.end(node), str(not node.value).encode()
            case ast.Constant(value=int()): yield self.start(node), self.end(node), str(node.value+1).encode()
            case ast.Constant(value=float()):
                yield self.start(node), self.end(node), str(2*node.value if node.value else 1.).encode()
            case ast.Call(): yield from self.call(node)
            case ast.Subscript(slice=ast.Slice(step=ast.UnaryOp())): yield self.end(node.value), self.end(node), b''
            case ast.IfExp(): yield self.swapped(node.body, node.orelse)
            case ast.If(): yield self.start(node.test), self.end(node.test), b'not ('+self.of(node.test)+b')'
            case ast.Return(value=ast.Tuple()) | ast.Assign(value=ast.Tuple()) if len(node.value.elts)>1:
                yield self.swapped(*node.value.elts[:2])
        for body in (getattr(node, o, []) for o in ('body', 'orelse')):
            if isinstance(body, list): yield from self.order(body)

def nodes(node, scope=''):
    "What may be changed, and where it stands: no annotations, no messages."
    match node:
        case ast.JoinedStr() | ast.Raise() | ast.Import() | ast.ImportFrom(): return
        case ast.arg(): return
        case ast.FunctionDef() if node.name.startswith('plot'): return # only looks
        case ast.FunctionDef() | ast.ClassDef(): scope = f'{scope}.{node.name}'.lstrip('.')
    yield node, scope
    for name, inside in ast.iter_fields(node):
        if name in ('annotation', 'returns', 'decorator_list', 'bases'): continue
        if isinstance(node, ast.Call) and name=='args' and getattr(node.func, 'id', '')=='require': inside = inside[:1]
        for o in inside if isinstance(inside, list) else [inside]:
            if isinstance(o, ast.AST): yield from nodes(o, scope)

def cells(folder, module):
    "Exported cells as they stand in a module: id → text, and the line of the module where it begins."
    text = (folder/'urepa'/f"{module.replace('.', '/')}.py").read_bytes()
    found = [*re.finditer(rb'^# %% \S+ #(\w+)\n', text, flags=re.M)]
    ends = [*(o.start() for o in found[1:]), len(text)]
    return {o[1].decode():(text[o.end():end].rstrip(), text[:o.end()].count(b'\n')+1) for o, end in zip(found, ends)}

def fault(module, cell, start, end, new, scope='', kind='by hand'):
    "A change of a cell, named by its lines."
    name, (old, line) = cell
    head, tail = old.rfind(b'\n', 0, start)+1, len(old)-(old+b'\n').index(b'\n', end)
    changed = old[:start]+new+old[end:]
    lines = [' ⏎ '.join(map(str.strip, o[head:len(o)-tail].decode().splitlines())) for o in (old, changed)]
    change = ' → '.join(lines)
    where = f'{module} {scope}'.strip()
    return Fault(kind, module, name, old, changed, line+old.count(b'\n', 0, start), change, f'{where}: {change}')

def faults_of(folder, module):
    "All faults of a module that leave it a program: key → fault."
    found = {}
    for name, (text, line) in cells(folder, module).items():
        cell = Cell(text)
        for node, scope in nodes(ast.parse(text)):
            kind = next((k for k, o in kinds.items() if isinstance(node, o)), 'operator')
            for change in cell.changes(node):
                one = fault(module, (name, (text, line)), *change, scope, kind)
                if one.new==text or any(o.new==one.new for o in found.values()): continue
                try: ast.parse(one.new)
                except SyntaxError: continue
                again = sum(k==one.key or k.startswith(f'{one.key} (') for k in found)
                key = f'{one.key} ({again+1})' if again else one.key # the same lines twice
                found[key] = one._replace(key=key)
    return found

def by_hand(folder):
    "The faults of faults.json."
    for o in written['faults']:
        old, new = o['old'].encode(), o['new'].encode()
        where = [(k, v) for k, v in cells(folder, o['module']).items() if old in v[0]]
        assert len(where)==1 and where[0][1][0].count(old)==1, f"{o['module']} has {o['old']!r} not once"
        start = where[0][1][0].index(old)
        one = fault(o['module'], where[0], start, start+len(old), new)
        yield one._replace(key=f"{o['module']}, by hand: {o['what']}")

def all_faults(folder):
    "Key → fault: those by hand, and all of every module but the changes that are none."
    found = {o.key:o for o in by_hand(folder)}
    texts = {o.new for o in found.values()}
    for module in noticing:
        found |= {k:o for k, o in faults_of(folder, module).items()
                  if o.new not in texts and k not in written['equivalent']}
    return found

def chosen(faults, modules, each, sample, seed):
    "Keys of the faults to try: those by hand, and so many of each module or of all, in turns of their kinds."
    known = [k for k, o in faults.items() if o.kind=='by hand' and o.module in modules]
    def place(key): return hashlib.sha256(f'{seed} {key}'.encode()).hexdigest()
    def in_turns(module):
        own = [sorted((k for k, o in faults.items() if (o.module, o.kind)==(module, kind)), key=place)
               for kind in ('operator', *kinds)]
        return [o for turn in zip_longest(*own) for o in turn if o]
    groups = [in_turns(o)[:each] for o in modules]
    found = [o for group in groups for o in group]
    return known+(sorted(found, key=place)[:sample] if sample else found)

# ---- Whether it is noticed -------------------------------------------------------------------------------------------

libraries = ('torch torchvision matplotlib.pyplot sklearn.manifold accelerate diffusers.models.modeling_utils timm '
             'scipy.linalg nbdev.test nbdev.showdoc pytest').split()

def look(folder, check, log):
    "In a new process: run a page or a test."
    file = os.open(log, os.O_WRONLY|os.O_CREAT|os.O_TRUNC)
    for stream in (1, 2): os.dup2(file, stream)
    os.setsid()
    os.environ.update(UREPA_CACHE=tempfile.mkdtemp(dir=log.parent), PYTHONPATH=str(folder), TMPDIR=str(log.parent))
    tempfile.tempdir = None
    sys.path[:] = [str(folder), *(o for o in sys.path if Path(o)!=Path(__file__).parent)]
    del sys.modules['checkout'] # the copy has its own
    os.chdir(folder)
    if check.endswith('.py'):
        import pytest
        return pytest.main(['-q', '-x', '-p', 'no:cacheprovider', '-p', 'no:xdist', check])
    from nbdev.test import nbdev_test
    nbdev_test(f'nbs/{check}.ipynb')
    return 0

class Outcome(NamedTuple):
    "How a page or a test ended."
    passed:bool
    seconds:float
    late:bool # It was stopped
    log:str

def attempt(folder, check, limit=600):
    "Run a page or a test in a fork of this process, which has the libraries and not the package."
    sys.stdout.flush()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as own:
        log, begin = Path(own)/'log.txt', time.perf_counter()
        child = os.fork()
        if not child:
            code = 1
            try: code = int(look(folder, check, log))
            except SystemExit as e: code = e.code if isinstance(e.code, int) else 1
            except BaseException: traceback.print_exc()
            finally: os._exit(code)
        try:
            while not (ended := os.waitpid(child, os.WNOHANG))[0] and time.perf_counter()-begin<limit: time.sleep(.02)
        finally:
            try: os.killpg(child, signal.SIGKILL) # what it began, too
            except ProcessLookupError: pass
        if not ended[0]: os.waitpid(child, 0)
        told = log.read_text(errors='replace') if log.exists() else ''
        return Outcome(ended[0]!=0 and ended[1]==0, time.perf_counter()-begin, ended[0]==0, told)

def page_of(folder, module):
    name = module.split('.')[-1]
    return next(o for o in (folder/'nbs'/module.split('.')[0]).glob(f'[0-9][0-9]_{name}.ipynb'))

def check_names(folder, module):
    own = page_of(folder, module).relative_to(folder/'nbs').with_suffix('').as_posix()
    return noticing[module] if own in noticing[module] else [own, *noticing[module]]

def put(folder, one):
    "Write the fault into page and module; what stood there before: path → bytes."
    module, page = folder/'urepa'/f"{one.module.replace('.', '/')}.py", page_of(folder, one.module)
    before = {o:o.read_bytes() for o in (module, page)}
    notebook = json.loads(before[page])
    cell = next(o for o in notebook['cells'] if o.get('id')==one.cell)
    source = ''.join(cell['source'])
    assert source.count(one.old.decode())==1, f'page and module differ in cell {one.cell}; export first'
    cell['source'] = source.replace(one.old.decode(), one.new.decode())
    page.write_text(json.dumps(notebook, ensure_ascii=False), encoding='utf-8')
    module.write_bytes(before[module].replace(one.old, one.new))
    return before

def without_fault(folder, check, seconds):
    "Make sure, once, that a page or test passes by itself; stops where it fails."
    if check in seconds: return
    done = attempt(folder, check)
    if not done.passed: raise SystemExit(f'{check} fails without any fault:\n{done.log[-3000:]}')
    seconds[check] = round(done.seconds, 1)
    print(f'  {done.seconds:5.1f} s  {check} without a fault', flush=True)

def noticed_by(folder, one, seconds):
    "The first page or test that fails with a fault, `None` if all pass; its last words."
    for check in check_names(folder, one.module):
        without_fault(folder, check, seconds)
        before = put(folder, one)
        try: done = attempt(folder, check, limit=60+5*seconds[check])
        finally:
            for path, data in before.items(): path.write_bytes(data)
        if done.passed: continue
        words = [o for o in done.log.splitlines() if re.match(r'(E +)?[\w.]*(Error|Exception|Exit|Failed)\b', o)]
        return check, 'took too long' if done.late else (words or [''])[-1][:200]
    return None, ''

# ---- What is told ----------------------------------------------------------------------------------------------------

def by_assertion(row):
    "Whether a lesson noticed; other faults end in an error by themselves."
    return bool(row['noticed_by']) and 'AssertionError' in row['words']

def table(rows):
    "Faults and survivors of each module."
    modules = dict.fromkeys(o['module'] for o in rows)
    lines = []
    for module in modules:
        own = [o for o in rows if o['module']==module]
        noticed, asserted = (sum(map(bool, o)) for o in ([o['noticed_by'] for o in own], map(by_assertion, own)))
        lines.append(f'{module:18} {len(own):4} faults {noticed:4} noticed, {asserted:4} of them by an assertion')
    for o in rows:
        if not o['noticed_by']:
            old, new = o['change'].split(' → ', 1)
            lines.append(f"\nurepa/{o['module'].replace('.', '/')}.py:{o['line']}\n  - {old}\n  + {new}\n  {o['key']}")
    noticed = sum(bool(o['noticed_by']) for o in rows)
    return '\n'.join([*lines, f'\n{noticed} of {len(rows)} faults were noticed'])

def save(path, result):
    rest = path.with_suffix('.partial')
    rest.write_text(json.dumps(result, indent=1, ensure_ascii=False)+'\n', encoding='utf-8')
    rest.replace(path)

def contents(folder):
    "What names everything in a checkout."
    files = sorted(o for o in folder.rglob('*') if o.is_file())
    return hashlib.sha256(b''.join(hashlib.sha256(o.read_bytes()).digest() for o in files)).hexdigest()

def origin():
    code = 'import json; from urepa.core import provenance; print(json.dumps(provenance()))'
    return json.loads(subprocess.run([sys.executable, '-c', code], cwd=root, check=True, stdout=subprocess.PIPE).stdout)

def go(folder, faults, result, out):
    "Try faults, a line for each, and keep what has been tried."
    begin = time.perf_counter()
    try:
        for k, one in enumerate(faults, 1):
            now = time.perf_counter()
            by, words = noticed_by(folder, one, result['seconds'])
            seconds = time.perf_counter()-now
            result['faults'].append(dict(
                module=one.module, line=one.line, kind=one.kind, key=one.key, change=one.change, noticed_by=by,
                words=words, seconds=round(seconds, 1), revision=result['provenance']['revision']))
            if out: save(out, result)
            minutes = (time.perf_counter()-begin)/k*(len(faults)-k)/60
            print(f"{k:4}/{len(faults)} {seconds:4.0f} s, {minutes:.0f} min to go: {by or 'SURVIVED'}: {one.key}",
                  flush=True)
    except KeyboardInterrupt: print('interrupted; the same command goes on from here')

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--modules', nargs='*', default=list(noticing), choices=list(noticing), metavar='MODULE')
    parser.add_argument('--each', type=int, default=15, help='faults of each module')
    parser.add_argument('--sample', type=int, default=0, help='so many of those, of all modules together')
    parser.add_argument('--seed', type=int, default=0, help='which ones')
    parser.add_argument('--again', action='store_true', help='try the survivors of --out again')
    parser.add_argument('--only', default='', help='faults whose name holds this text')
    parser.add_argument('--list', action='store_true', help='name the faults, try none')
    parser.add_argument('--out', type=Path, help='JSON file for the result')
    args = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS='1', HF_HUB_OFFLINE='1', MPLBACKEND='agg', PYTHONDONTWRITEBYTECODE='1')
    sys.dont_write_bytecode = True
    out = args.out and args.out.resolve()
    result = json.loads(out.read_text(encoding='utf-8')) if out and out.exists() else dict(faults=[])
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = copy_to(Path(temporary))
        faults = all_faults(folder)
        named = {k:o for k, o in faults.items() if args.only in k}
        keys = chosen(named, args.modules, args.each, args.sample, args.seed)
        if args.list: return print('\n'.join(keys))
        print(f"{len(faults):,} faults are known, {len(keys)} are tried; {len(written['equivalent'])} changes are left "
              'out, as they are none', flush=True)
        result['faults'] = [o|dict(line=faults[o['key']].line) for o in result['faults'] if o['key'] in faults]
        if args.again: result['faults'] = [o for o in result['faults'] if o['noticed_by'] or o['key'] not in keys]
        tried = {o['key'] for o in result['faults']}
        left = [faults[o] for o in keys if o not in tried]
        state = contents(folder)
        seconds = result['seconds'] if result.get('contents')==state else {}
        result.update(seed=args.seed, each=args.each, sample=args.sample, provenance=origin(), contents=state,
                      equivalent=written['equivalent'])
        for o in libraries: __import__(o)
        result['seconds'] = seconds # of every page and test without a fault
        go(folder, left, result, out)
    order = list(faults)
    result['faults'].sort(key=lambda o: (list(noticing).index(o['module']), order.index(o['key'])))
    if out: save(out, result)
    print(table(result['faults']))

if __name__=='__main__': main()
