"The website holds every page, and nothing on it leads nowhere. Rendered without Quarto, from what Quarto would get."
import json
import re
from dataclasses import fields
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from checkout import Page, name, pages, read_pages, root, run, scripts
from fastcore.docments import docments

from urepa.app.cli import commands, fetched
from urepa.config import Sampling, Selection, field_names, presets


def entries(contents):
    "The pages that a sidebar names, in its order."
    for o in contents:
        if isinstance(o, str): yield o
        elif 'contents' in o: yield from entries(o['contents'])
        else: yield o['href']

def test_every_page_is_in_the_sidebar():
    site = yaml.safe_load((root/'_quarto.yml').read_text(encoding='utf-8'))['website']
    listed, exist = list(entries(site['sidebar']['contents'])), [f'{name(o)}.ipynb' for o in pages()]
    assert len(listed)==len(set(listed)), 'the sidebar of _quarto.yml names a page twice'
    assert not set(exist)-set(listed), f'the sidebar of _quarto.yml lacks {sorted(set(exist)-set(listed))}'
    gone = sorted(set(listed)-set(exist))
    assert not gone, f'the sidebar of _quarto.yml names {gone}, which nbs/ lacks'
    assert (root/'nbs'/'_quarto.yml').resolve()==root/'_quarto.yml', 'let nbs/_quarto.yml be a link to ../_quarto.yml'

class Links(HTMLParser):
    "What an HTML page refers to, and what can be referred to in it."
    def __init__(self, text):
        super().__init__()
        self.to, self.ids = [], set()
        self.feed(text)
    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids |= {attrs.get('id'), attrs.get('name')}
        self.to += [attrs[o] for o in ('href', 'src') if attrs.get(o)]

def dead(site):
    "Links of a rendered site to files or headings that it lacks."
    found = {o:Links(o.read_text(encoding='utf-8')) for o in site.rglob('*.html')}
    for page,links in found.items():
        for link in links.to:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc: continue
            base = site if parts.path.startswith('/') else page.parent
            target = (base/unquote(parts.path).lstrip('/')).resolve() if parts.path else page
            if target.is_dir(): target = target/'index.html'
            lost = parts.fragment and target in found and unquote(parts.fragment) not in found[target].ids
            lacks = not target.exists() or lost
            if lacks: yield f'{page.relative_to(site)} leads to {link}'

def beginnings(prose):
    "How each paragraph below a page's title and `>` line begins, as far as nothing in it can become a link."
    return [re.split(r'[`"\n]', o)[0] for o in re.split(r'\n\n+', prose) if not o.startswith(('# ', '> '))]

def test_website(site):
    site, staged = site/'_preview', site/'_proc'
    rendered = {o.relative_to(site).with_suffix('').as_posix() for o in site.rglob('*.html')}
    assert {name(o) for o in pages()}<=rendered, f'not rendered: {({name(o) for o in pages()})-rendered}'
    assert not (broken := sorted(set(dead(site)))), 'dead links:\n' + '\n'.join(broken)
    shown = {o.name:(staged/f'{o.name}.ipynb').read_text(encoding='utf-8') for o in read_pages()}
    lost = [(o.name, start) for o in read_pages() for start in beginnings(o.prose[0]) if start not in shown[o.name]]
    assert not lost, f'the website leaves out paragraphs: {lost}'
    failing = [o.name for o in staged.rglob('*.ipynb')
               if 'Traceback (most recent call last)' in json.dumps(json.loads(o.read_text(encoding='utf-8')))]
    assert not failing, f'{failing} show a traceback'
    unrendered = [o.name for o in site.rglob('*.html')
                  if re.search(r'class="math (inline|display)"', o.read_text(encoding='utf-8'))]
    assert not unrendered, f'{unrendered} hold an equation that cannot be shown'

def test_file_names_are_no_functions(site):
    text = (site/'_preview'/'reference'/'formats.html').read_text(encoding='utf-8')
    assert '<code>changes.json</code>' in text
    taken = re.findall(r'<a [^>]*><code>([\w.]+\.(?:json|html))</code></a>', text)
    assert not taken, f'files that lead to functions of their name: {taken}'

def test_every_picture_says_what_is_seen():
    "Alternative text stands in the cell that draws; a line in Markdown has it between its brackets."
    mute = []
    for page in pages():
        for cell in json.loads(page.read_text(encoding='utf-8'))['cells']:
            source = ''.join(cell['source'])
            drawn = any('image/png' in o.get('data', {}) for o in cell.get('outputs', []))
            told = re.search(r"^#\| fig-alt: '.{10,}'$", source, flags=re.M)
            linked = cell['cell_type']=='markdown' and re.search(r'!\[\s*\]\(', source)
            if linked or drawn and not told: mute.append((name(page), cell['id']))
    assert not mute, f'pictures without `#| fig-alt: ...`: {mute}'

def test_addresses_in_mistakes_lead_somewhere():
    from urepa.app.cli import explained, site
    page = next(o for o in read_pages() if o.name=='howto/troubleshooting')
    headings = re.findall(r'^## (.*)$', '\n'.join(page.prose), flags=re.M)
    sections = {re.sub('[^a-z0-9 ]', '', o.lower()).replace(' ', '-') for o in headings}
    assert set(explained.values())<=sections, f'no section {set(explained.values())-sections}'
    assert site==yaml.safe_load((root/'_quarto.yml').read_text(encoding='utf-8'))['website']['site-url']

def test_titles_differ():
    titles = [o.prose[0].splitlines()[0] for o in read_pages()]
    assert len(titles)==len(set(titles)), f'pages share a title: {sorted(o for o in titles if titles.count(o)>1)}'

def test_fences_have_a_language():
    "Without one a command has neither colour nor a button to copy it."
    bare = [(o.name, text[:50]) for o in read_pages() for text in o.prose
            if any(fence=='```' for fence in re.findall(r'^```.*$', text, flags=re.M)[::2])]
    assert not bare, f'fences without a language: {bare}'

def test_spelling(tmp_path):
    "Words that are often misspelt; what is right and looks wrong stands in words.txt."
    for o in read_pages(): (tmp_path/f"{o.name.replace('/', ' ')}.txt").write_text('\n\n'.join([*o.prose, *o.code]))
    texts = [root/o for o in ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'data/README.md', '.ci', 'tests')]
    done = run(scripts/'codespell', '--ignore-words', root/'tests'/'words.txt', '--skip', '*.json,words.txt', tmp_path,
               *texts)
    assert not done.returncode, done.stdout.replace(str(tmp_path), 'nbs')

def shown_by(place):
    "The Markdown that the cells of a page show."
    page = Page(root/'nbs'/f'{place}.ipynb')
    return '\n'.join(''.join(o.get('data', {}).get('text/markdown', '')) for o in page.outputs)

def test_reference_is_current():
    "What the reference pages show is what commands and presets say now."
    text, sizes, verbs = shown_by('reference/commands'), shown_by('reference/presets'), []
    for o in commands.values(): verbs += [o] if callable(o) else o.values()
    whole = 'config', 'how', 'select', 'reading', *fetched # their fields are listed instead
    notes = [note for f in verbs for name,note in docments(f, returns=False).items() if name not in whole]
    def plain(o): return o.replace('|', '\\|').replace('`', '') # options are code there
    old = [o for o in notes if plain(o) not in text.replace('`', '')]
    names = [*field_names(), *(o.name for part in (Sampling, Selection) for o in fields(part))]
    old += [k for k in names if f"--{k.replace('_', '-')}`" not in text.replace('no-', '')]
    old += [o for o in presets if f'`{o}`' not in sizes]
    assert not old, f'run nbs/reference/commands.ipynb and presets.ipynb again (make pages): they lack {old[:5]}'

def open_code(cells):
    "Lines of code that a reader meets without opening a fold."
    closed = r'^#\| (code-fold: true|echo: false|include: false)'
    sources = [''.join(o['source']) for o in cells if o['cell_type']=='code']
    shown = '\n'.join(o for o in sources if not re.search(closed, o, flags=re.M)).split('\n')
    return [o for o in shown if o.strip() and not o.startswith('#|')]

def staged_cells(site, page):
    return json.loads((site/'_proc'/f'{name(page)}.ipynb').read_text(encoding='utf-8'))['cells']

def for_prose(page):
    "Is a page read for its prose?"
    kinds = 'index', 'tutorials', 'explanations', 'howto', 'experiments', 'analysis', 'reference'
    return name(page).split('/')[0] in kinds

def test_shown_code_fits_its_column(site):
    "A page that is read for its prose shows 100 characters of a line; the rest would have to be scrolled to."
    wide = [f'{name(page)}: {len(line)} {line.strip()[:60]!r}' for page in pages() if for_prose(page)
            for line in open_code(staged_cells(site, page)) if len(line)>100]
    assert not wide, f'lines of more than 100 characters are shown: {wide}'

def words(cells):
    "Words of the prose, and of what cells show as such."
    said = [''.join(o['source']) for o in cells if o['cell_type']=='markdown']
    said += [''.join(out.get('data', {}).get('text/markdown', '')) for o in cells for out in o.get('outputs', [])]
    return len(' '.join(said).split())

def test_pages_keep_their_budget(site):
    "Lines of code for 100 words: few where one reads, more where a module is shown."
    over = []
    for page in pages():
        cells = staged_cells(site, page)
        share, most = 100*len(open_code(cells))/words(cells), 30 if for_prose(page) else 60
        if share>most: over.append(f'{name(page)} shows {share:.0f} lines of code for 100 words; {most} are allowed')
    assert not over, f'{"; ".join(over)}: fold what is not read, or say more'

@pytest.mark.parametrize('file', ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'data/README.md'])
def test_links_of(file):
    text = (root/file).read_text(encoding='utf-8')
    links = [o for o in re.findall(r'\]\(([^()\s]+)\)', text) if not re.match(r'[a-z]+:|#', o)]
    missing = [o for o in links if not ((root/file).parent/o.split('#')[0]).exists()]
    assert not missing, f'{file} leads to {missing}'
