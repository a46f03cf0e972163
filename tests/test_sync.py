"Pages, package and README say the same, and all of it is committed."
import ast

from checkout import copy_to, git, read_pages, root, scripts, succeed


def contents(folder):
    found = [o for part in ('nbs', 'urepa') for o in (folder/part).rglob('*') if o.is_file()
             and o.suffix in ('.py', '.ipynb')]
    return {o.relative_to(folder).as_posix():o.read_bytes() for o in found if '.ipynb_checkpoints' not in o.parts}

def test_export_changes_nothing(tmp_path):
    copy = copy_to(tmp_path/'urepa')
    by_hand = [copy/'urepa'/'__init__.py', copy/'urepa'/'__main__.py'] # nbdev leaves these as they are
    for module in (copy/'urepa').rglob('*.py'):
        if module not in by_hand: module.unlink() # a module whose page is gone would stay otherwise
    for step in ('nbdev-clean', 'nbdev-export'): succeed(scripts/step, cwd=copy)
    here, there = contents(root), contents(copy)
    differ = sorted(o for o in here.keys()|there.keys() if here.get(o)!=there.get(o))
    assert not differ, f'{differ} are not what the pages export; change the pages, not the package, then: make export'

def test_everything_is_committed():
    unknown = set(git('ls-files', '--others', '--exclude-standard', 'nbs', 'urepa', 'data', 'tests'))
    unknown |= set(contents(root))-set(git('ls-files')) # also what .gitignore hides
    assert not unknown, f'git does not know {sorted(unknown)}; git add them, or delete them'

def test_readme_is_the_index_page():
    written = succeed(scripts/'python', root/'.ci'/'readme.py', '--print')
    same = (root/'README.md').read_text(encoding='utf-8')==written
    assert same, 'README.md differs from nbs/index.ipynb; change the page, then: make export'

def rooms(tree, module):
    "What a module imports of the package: `from ..core import …`, and `from . import layers` for a neighbour."
    for o in ast.walk(tree):
        if isinstance(o, ast.ImportFrom) and o.level:
            above = module.split('.')[:-o.level]
            yield from ['.'.join([*above, o.module])] if o.module else ['.'.join([*above, a.name]) for a in o.names]

def digits(page): return page.split('/')[-1][:2]

def test_modules_import_only_rooms_before_them():
    pages = {o.module:o.name for o in read_pages() if o.module}
    def tree(module): return ast.parse((root/'urepa'/f"{module.replace('.', '/')}.py").read_text(encoding='utf-8'))
    imported = {o:set(rooms(tree(o), o)) for o in pages}
    assert {'core', 'nets.layers'}<=imported['nets.unet'], 'no imports were recognised; has nbdev changed?'
    unknown = [f'{pages[o]} imports {used}' for o in pages for used in imported[o] if used not in pages]
    assert not unknown, f'{unknown}, which no page exports'
    wrong = [f'{pages[o]} imports {pages[used]}' for o in pages for used in imported[o]
             if digits(pages[used])>=digits(pages[o])]
    assert not wrong, f'{wrong}: a room imports only from rooms before it'

def test_two_digits_are_one_room():
    found = [digits(o.name) for o in read_pages() if o.module]
    assert len(found)==len(set(found)), f'{sorted(o for o in found if found.count(o)>1)} stand before two pages each'
