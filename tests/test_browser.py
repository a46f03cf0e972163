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

legible = '#quarto-sidebar .sidebar-link:not(.active)', 'main p', 'pre code'
colours = """selector => {
    const at = document.querySelector(selector), seen = o => getComputedStyle(o).backgroundColor
    let behind = at
    while (behind.parentElement && /, 0(\\.\\d+)?\\)$/.test(seen(behind))) behind = behind.parentElement
    return [getComputedStyle(at).color, seen(behind)].map(o => o.match(/[\\d.]+/g).slice(0, 3).map(Number))
}"""

def contrast(letters, ground):
    "How many times brighter one colour is than the other, as WCAG 2 counts; 4.5 is the least for text."
    def brightness(colour):
        shares = [o/255 for o in colour]
        linear = [o/12.92 if o<=.04045 else ((o+.055)/1.055)**2.4 for o in shares]
        return sum(a*b for a, b in zip((.2126, .7152, .0722), linear, strict=True))
    low, high = sorted([brightness(letters), brightness(ground)])
    return (high+.05)/(low+.05)

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
    pale = [f'{o} stands out by {v:.1f} only' for o in legible if (v := contrast(*tab.evaluate(colours, o)))<4.5]
    return told + [f'no picture at {o}' for o in mute] + pale

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

@pytest.mark.parametrize('kind', ['_preview', '_site'])
def test_search(browser, site, kind):
    "A function is found by its name."
    folder = site/kind if kind=='_preview' else root/kind
    if not (folder/'search.json').exists(): pytest.skip('make docs has not rendered the site: no search to try')
    server = served(folder)
    tab = browser.new_page()
    tab.goto(f'http://127.0.0.1:{server.server_port}/')
    tab.click('#quarto-search button, #quarto-search input')
    tab.keyboard.type('manifold_loss')
    tab.wait_for_selector('.search-result-title, .aa-Item', timeout=20_000)
    found = tab.inner_text('.smalldocs-search-results, .aa-Panel')
    tab.close()
    server.shutdown()
    assert 'def manifold_loss' in found
