"""Writes README.md from nbs/index.ipynb; `readme.py --print` shows it instead.
Prose as it stands, code in fences, what cells showed as text;
a cell that shows Markdown is replaced by it."""
import json
import posixpath
import re
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent

def link(m): # links of the page start in nbs/, those of the README above it
    return m[0] if re.match(r'[a-z]+:|#|/', m[2]) else f"{m[1]}({posixpath.normpath('nbs/'+m[2])})"

def prose(text): # fences of divisions and sizes of pictures are the website's
    return re.sub(r'(\])\(([^()\s]+)\)', link, re.sub(r'^:::.*\n?|(?<=\))\{width=\d+\}', '', text, flags=re.M))

def shown(output):
    data = output.get('data', {})
    if any(o.startswith('image') for o in data):
        sys.exit('nbs/index.ipynb shows a picture from a cell; '
            'save the picture in nbs/images and show it with ![what](images/name.png)')
    return ''.join(output.get('text', data.get('text/plain', ''))).strip()

def table(output): # what a cell shows as Markdown
    return prose(''.join(output.get('data', {}).get('text/markdown', '')).strip())

def code(cell):
    source = ''.join(cell['source'])
    if re.search(r'^#\|\s*(hide|export|default_exp)', source, flags=re.M): return ''
    if tables := '\n\n'.join(filter(None, map(table, cell['outputs']))): return tables
    if re.search(r'^#\|\s*echo:\s*false', source, flags=re.M): return ''
    said = '\n'.join(filter(None, map(shown, cell['outputs'])))
    source = re.sub(r'^#\|.*\n', '', source, flags=re.M)
    return f'```python\n{source.strip()}\n```' + (f'\n\n```\n{said}\n```' if said else '')

def readme():
    cells = json.loads((root/'nbs'/'index.ipynb').read_text(encoding='utf-8'))['cells']
    parts = [prose(''.join(o['source'])).strip() if o['cell_type']=='markdown' else code(o) for o in cells]
    head = '<!-- Written by `make export` from nbs/index.ipynb: change that page. -->'
    return '\n\n'.join(filter(None, [head, *parts])) + '\n'

if __name__=='__main__':
    if sys.argv[1:]==['--print']: sys.stdout.write(readme())
    else: (root/'README.md').write_text(readme(), encoding='utf-8')
