"What the tests know of this checkout."
import json
import shutil
import subprocess
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent
scripts = Path(sys.executable).parent

def run(*command, timeout=300, cwd=root, **kwargs):
    "Run a command; its status, what it printed and what it complained of."
    return subprocess.run([str(o) for o in command], cwd=cwd, capture_output=True, text=True, timeout=timeout, **kwargs)

def succeed(*command, **kwargs):
    "Run a command that has to succeed; what it printed."
    done = run(*command, **kwargs)
    told = f'{done.stdout[-3000:]}\n{done.stderr[-6000:]}'
    assert done.returncode==0, f"{' '.join(map(str, command))} ended with {done.returncode}:\n{told}"
    return done.stdout

def git(*args): return succeed('git', '-c', f'safe.directory={root}', *args).splitlines()

def files(): # whatever is or may become part of a commit
    return sorted({o for o in git('ls-files', '--cached', '--others', '--exclude-standard') if (root/o).exists()})

def copy_to(folder):
    "This checkout as a commit of all its files would hold it."
    for name in files():
        (folder/name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root/name, folder/name, follow_symlinks=False)
    return folder

def pages(): return sorted(o for o in (root/'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in o.parts)

def name(page): return page.relative_to(root/'nbs').with_suffix('').as_posix()

class Page:
    "A notebook, read."
    def __init__(self, path):
        self.path, self.name = path, name(path)
        self.cells = json.loads(path.read_text(encoding='utf-8'))['cells']
        self.code = [''.join(o['source']) for o in self.cells if o['cell_type']=='code']
        self.prose = [''.join(o['source']) for o in self.cells if o['cell_type']=='markdown']
        self.outputs = [out for o in self.cells if o['cell_type']=='code' for out in o['outputs']]
        found = [o for o in self.code if o.startswith('#| default_exp')]
        self.module = found[0].splitlines()[0].split()[-1] if found else None
        self.lessons = [o for o in self.code if not o.startswith(('#| export', '#| default_exp'))]

def read_pages(): return [Page(o) for o in pages()]
