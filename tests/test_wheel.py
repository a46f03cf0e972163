"What `pip install urepa` brings: every module and the embedded data, usable from any folder."
import ast
import configparser
import os
import re
import sys
import zipfile
from importlib.metadata import packages_distributions

import pytest
from checkout import copy_to, root, scripts, succeed


def requirements(*keys):
    parser = configparser.ConfigParser(delimiters=['='], interpolation=None)
    parser.read(root/'settings.ini', encoding='utf-8')
    listed = '\n'.join(parser['DEFAULT'][o] for o in keys)
    return {re.split(r'[<>=\[; ]', o)[0].lower().replace('_', '-') for o in listed.split('\n') if o.strip()}

def imported(tree):
    "Packages that some code imports."
    for o in ast.walk(tree):
        names = []
        if isinstance(o, ast.Import): names = [a.name for a in o.names]
        if isinstance(o, ast.ImportFrom) and not o.level: names = [o.module]
        yield from {n.split('.')[0] for n in names}-{'urepa', *sys.stdlib_module_names}

def test_imports_are_required():
    "What a module imports is required; what a function imports may be optional, and then the tests have it."
    owners, lacking = packages_distributions(), []
    needed, tested = requirements('requirements'), requirements('requirements', 'dev_requirements')
    for module in (root/'urepa').rglob('*.py'):
        for o in ast.parse(module.read_text(encoding='utf-8')).body:
            known = tested if isinstance(o, (ast.FunctionDef, ast.ClassDef)) else needed
            lacking += [f'{module.name} imports {top}' for top in imported(o)
                        if not {n.lower().replace('_', '-') for n in owners.get(top, [])}&known]
    assert not lacking, f'{lacking}, which the requirements of settings.ini lack'

@pytest.fixture
def wheel(tmp_path):
    copy = copy_to(tmp_path/'checkout')
    succeed(scripts/'python', '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-build-isolation', '--wheel-dir',
            tmp_path, copy, cwd=tmp_path)
    return next(tmp_path.glob('urepa-*.whl'))

def test_wheel(wheel, tmp_path):
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = {o.relative_to(root).as_posix() for o in (root/'urepa').rglob('*.py')}
    wanted |= {f"urepa/assets/{o.relative_to(root/'data').as_posix()}" for o in (root/'data').rglob('*') if o.is_file()}
    assert wanted<=held, f'the wheel lacks {sorted(wanted-held)}'
    assert not (extra := sorted(o for o in held if o.split('/')[0]!='urepa'
                                and '.dist-info/' not in o)), f'the wheel also holds {extra}'
    # An environment with the wheel, and with the other packages of this one but without its link to the checkout
    python, away = tmp_path/'venv'/'bin'/'python', tmp_path/'elsewhere'
    succeed(scripts/'python', '-m', 'venv', '--without-pip', tmp_path/'venv')
    site = next((tmp_path/'venv').glob('lib/python*/site-packages'))
    (site/'others.pth').write_text(str(next(scripts.parent.glob('lib/python*/site-packages')))+'\n')
    succeed(scripts/'python', '-m', 'pip', '--python', python, 'install', '--quiet', '--no-deps', '--force-reinstall',
            wheel)
    succeed(python, root/'.ci'/'mend_torchvision.py')
    away.mkdir()
    here = dict(cwd=away, env={k:v for k,v in os.environ.items() if k!='PYTHONPATH'})
    where = succeed(python, '-c', 'import urepa; print(urepa.__file__)', **here).strip()
    assert str(site) in where, f'urepa came from {where}, not from the wheel'
    succeed(python, '-c', used, **here)
    assert 'encoder' in succeed(python.parent/'urepa', 'info', 'tiny', **here)

def test_beside_the_clone(tmp_path):
    "In the folder that holds a clone called urepa, that folder hides a package that only a finder knows."
    clone = copy_to(tmp_path/'urepa')
    made = f'from setuptools.build_meta import build_editable; build_editable({str(tmp_path)!r})'
    succeed(scripts/'python', '-c', made, cwd=clone)
    with zipfile.ZipFile(next(tmp_path.glob('*.whl'))) as made: made.extractall(site := tmp_path/'site')
    code = f'import site; site.addsitedir({str(site)!r}); from urepa import fashion; print(len(fashion("test")[1]))'
    here = {k:v for k,v in os.environ.items() if k!='PYTHONPATH'}
    assert succeed(scripts/'python', '-c', code, cwd=tmp_path, env=here).split()==['10000']

used = """
from urepa import embedded_pipeline, embedded_teacher, fashion, to_model
from urepa.score.features import autoencoder, classifier
images, labels = fashion('test')
x = to_model(images[:4])
assert embedded_teacher()(x).shape[0]==classifier().features(x).shape[0]==autoencoder().features(x).shape[0]==4
assert len(embedded_pipeline()([0, 1], num_inference_steps=1).images)==2
"""
