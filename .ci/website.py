"""Stages the pages for the website, renders it, shows it.

    website.py stage                 the pages as nbdev prepares them, in _proc: signatures of what they export, links from prose to it
    website.py docs                  those rendered by Quarto, in _site
    website.py preview [--port N] [--no-serve]    those rendered without Quarto, in _preview, and served on this machine"""
import argparse, functools, html, os, re, shutil, subprocess, sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

root = Path(__file__).resolve().parent.parent

def page_names(): # e.g. {'core.html': '00_core.ipynb'}; nbdev links to the first, and both renderers resolve the second
    from nbdev.config import nbpath2html
    pages = [o.relative_to(root/'nbs') for o in (root/'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in o.parts]
    return {nbpath2html(o).as_posix():o.as_posix() for o in pages}

def stage():
    "Pages with documentation in place of exported cells; links to names of the package become relative links to pages."
    from nbdev.serve import proc_nbs
    staged, names = proc_nbs(str(root/'nbs'), n_workers=0, force=True), page_names()
    for page in staged.rglob('*.ipynb'):
        up = '../'*(len(page.relative_to(staged).parts)-1)
        link = lambda m: f"]({up}{names[m[1]]}{m[2]})" if m[1] in names else m[0]
        page.write_text(re.sub(r'\]\(/([\w/]+\.html)(#[\w.]*)\)', link, page.read_text(encoding='utf-8')), encoding='utf-8')
    return staged

def docs():
    if not shutil.which('quarto'):
        sys.exit('Quarto is not on PATH: install it from https://quarto.org/docs/get-started/ and run this again, or look at the pages '
                 'without it: make preview')
    staged = stage()
    if code := subprocess.run(['quarto', 'render', '.', '--no-execute'], cwd=staged).returncode: sys.exit(code)
    shutil.rmtree(root/'_site', ignore_errors=True)
    shutil.move(staged/'_site', root/'_site')
    print(f'The website is in {root/"_site"}')

def mathml(page):
    "Replace TeX by MathML, which browsers show without a script from elsewhere."
    from latex2mathml.converter import convert
    def one(m):
        tex, block = html.unescape(m[2])[2:-2], 'display' in m[1]
        return convert(tex.strip(), display='block' if block else 'inline')
    return re.sub(r'<span class="(math [a-z]+)">(.*?)</span>', one, page, flags=re.S)

def preview(port, serve=True):
    staged, site = stage(), root/'_preview'
    subprocess.run([sys.executable, '-m', 'smalldocs', 'render', '--quiet', str(staged)], check=True)
    for page in (staged/'_site').rglob('*.html'): page.write_text(mathml(page.read_text(encoding='utf-8')), encoding='utf-8')
    shutil.rmtree(site, ignore_errors=True)
    shutil.move(staged/'_site', site)
    if not serve: return
    handler = functools.partial(SimpleHTTPRequestHandler, directory=site)
    with ThreadingHTTPServer(('127.0.0.1', port), handler) as server:
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
