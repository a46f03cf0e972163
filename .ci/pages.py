"""Runs pages, each in a process of its own, two at a time, and stores in them what their cells show.

    pages.py [--flags "slow cuda net"] [nbs/align/43_token.ipynb ...]      without names: every page
    pages.py --results nbs/align/40_depth.ipynb      measures again what slow cells keep in this repository

A page that fails keeps what it showed before; the last line counts, and the exit status tells."""
import argparse
import base64
import io
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

root, here = Path(__file__).resolve().parent.parent, Path(sys.executable).parent

def is_bar(output):
    "Is it nothing but the bar of a library, drawn over itself?"
    return output.get('name')=='stderr' and '%|' in ''.join(output['text']).partition('\n')[0]

def rounded(text):
    "Numbers with more than eight digits behind the point, to four digits in all."
    return re.sub(r'-?\d+\.\d{9,}(e-?\d+)?', lambda m: f'{float(m[0]):.4g}', text)

def shorten(notebook):
    "Store no bars, and no digits that say nothing."
    for cell in notebook['cells']:
        if cell['cell_type']!='code': continue
        cell['outputs'] = [o for o in cell['outputs'] if not is_bar(o)]
        for data in [o['data'] for o in cell['outputs'] if o['output_type']=='execute_result']:
            if 'text/plain' in data: data['text/plain'] = [rounded(o) for o in data['text/plain']]

def shrink(page):
    "Store pictures with a palette of 256 colours: a third of the bytes, and no difference that an eye finds in a plot."
    notebook = json.loads((root/page).read_text(encoding='utf-8'))
    shorten(notebook)
    for output in [out for cell in notebook['cells'] for out in cell.get('outputs', [])
                   if 'image/png' in out.get('data', {})]:
        picture, small = Image.open(io.BytesIO(base64.b64decode(''.join(output['data']['image/png'])))), io.BytesIO()
        output['data'].pop('image/jpeg', None) # Pillow shows itself in both forms; one is enough
        if picture.mode=='P': continue
        picture.convert('RGB').quantize(256).save(small, format='PNG', optimize=True)
        output['data']['image/png'] = base64.b64encode(small.getvalue()).decode()
    (root/page).write_text(json.dumps(notebook, sort_keys=True, indent=1, ensure_ascii=False)+'\n', encoding='utf-8')

def run(page):
    start = time.time()
    with TemporaryDirectory(prefix='page-', ignore_cleanup_errors=True) as folder:
        limit = ['--cell-timeout', '0'] if 'slow' in args.flags.split() else [] # a sweep takes hours
        done = subprocess.run([here/'nbdev-test', page, '--save', '--flags', args.flags, *limit], cwd=root,
                              env=dict(env, TMPDIR=folder), capture_output=True, text=True)
    print(f'{time.time()-start:6.1f} s  {page}' + ('' if done.returncode==0
                                                   else f'  FAILED\n{done.stdout}{done.stderr}'), flush=True)
    if done.returncode==0: shrink(page)
    return done.returncode==0

parser = argparse.ArgumentParser()
parser.add_argument('pages', nargs='*')
parser.add_argument('--flags', default='', help='cells to run that are skipped by default: slow, cuda, net')
parser.add_argument('--results', action='store_true',
                    help='run slow cells, and let them write in place what `urepa.core.repository_file` guards')
args = parser.parse_args()
if args.results:
    if not args.pages: parser.error('name the page whose results are measured again: make results PAGE=nbs/...')
    args.flags = f'{args.flags} slow'
env = dict(os.environ, OMP_NUM_THREADS='1', MPLBACKEND='module://matplotlib_inline.backend_inline',
           UREPA_RESULTS='1' if args.results else '')
pages = args.pages or sorted(str(o.relative_to(root)) for o in (root/'nbs').rglob('*.ipynb')
                             if '.ipynb_checkpoints' not in o.parts)
with ThreadPoolExecutor(2) as pool: passed = list(pool.map(run, pages))
subprocess.run([here/'nbdev-clean'], cwd=root, check=True)
print(f'{sum(passed)} of {len(passed)} pages ran')
sys.exit(not all(passed))
