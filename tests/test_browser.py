"The website in a real browser: wide and narrow, light and dark. Needs playwright and chromium, else it is left out."
import functools
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from checkout import root

chosen = ('index', 'tutorials/get_started', 'tutorials/from_scratch', 'explanations/background', 'reference/commands',
          'reference/names', 'align/44_manifold', '01_config', 'experiments/paper', 'experiments/head_start')
chromium = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)

class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_): pass

def served(folder):
    "A server of a folder, in a thread."
    server = ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server

@pytest.fixture(scope='session') # as `site`, and named before it: nothing is rendered where there is no browser
def browser():
    reason = 'pages are not looked at in a browser: pip install playwright, and install chromium'
    sync_api = pytest.importorskip('playwright.sync_api', reason=reason)
    if not chromium: pytest.skip(reason)
    with sync_api.sync_playwright() as p:
        opened = p.chromium.launch(executable_path=chromium, args=['--no-sandbox', '--disable-gpu'])
        yield opened
        opened.close()

def faults(tab, own, page, width):
    "What a reader would stumble over on a page, as sentences; what comes from elsewhere is blocked and not asked for."
    told = []
    def listen(o):
        if o.type=='error' and o.location.get('url', own).startswith(own): told.append(f'console: {o.text}')
    tab.on('console', listen)
    tab.on('pageerror', lambda o: told.append(f'script: {o}'))
    tab.goto(f'{own}/{page}.html', wait_until='load')
    wide = tab.evaluate('document.documentElement.scrollWidth')
    if wide>width: told.append(f'{wide} pixels wide in a window of {width}')
    mute = tab.evaluate('[...document.images].filter(o => !o.complete || !o.naturalWidth).map(o => o.src)')
    return told + [f'no picture at {o}' for o in mute]

@pytest.mark.parametrize('width', [1440, 390])
@pytest.mark.parametrize('theme', ['light', 'dark'])
def test_pages(browser, site, width, theme):
    server = served(site/'_preview')
    own = f'http://127.0.0.1:{server.server_port}'
    context = browser.new_context(viewport=dict(width=width, height=900), color_scheme=theme)
    context.route('**', lambda route: route.continue_() if route.request.url.startswith(own) else route.abort())
    if theme=='dark': context.add_init_script("localStorage.setItem('quarto-color-scheme', 'alternate')")
    found = {o:faults(context.new_page(), own, o, width) for o in chosen}
    context.close()
    server.shutdown()
    wrong = {k:v for k,v in found.items() if v}
    assert not wrong, wrong

def test_search(browser):
    "Only a site that Quarto has rendered has its search."
    if not (root/'_site'/'search.json').exists(): pytest.skip('make docs has not rendered the site: no search to try')
    server = served(root/'_site')
    tab = browser.new_page()
    tab.goto(f'http://127.0.0.1:{server.server_port}/')
    tab.click('#quarto-search button, #quarto-search input')
    tab.keyboard.type('manifold_loss')
    tab.wait_for_selector('.search-result-title, .aa-Item', timeout=20_000)
    found = tab.inner_text('.aa-Panel')
    server.shutdown()
    assert 'anifold' in found
