"Offline, without a window, one thread a process: tests run side by side."
import os

import pytest
from checkout import copy_to, scripts, succeed
from filelock import FileLock
from forks import command

os.environ.update(OMP_NUM_THREADS='1', HF_HUB_OFFLINE='1', MPLBACKEND='Agg')

def shared(tmp_path_factory):
    "The folder of all processes that test."
    base = tmp_path_factory.getbasetemp()
    return base.parent if 'PYTEST_XDIST_WORKER' in os.environ else base

@pytest.fixture
def urepa(tmp_path, tmp_path_factory):
    "The command in a process of its own, begun in the test's folder; what nets say of references is known to all."
    cache, features = tmp_path/'cache', shared(tmp_path_factory)/'features'
    for o in (cache, features): o.mkdir(exist_ok=True)
    (cache/'features').symlink_to(features)
    env = dict(os.environ, UREPA_CACHE=str(cache))
    def call(*words): return command(*words, cwd=tmp_path, env=env).done()
    def good(*words):
        done = call(*words)
        said = ' '.join(map(str, words))
        assert done.returncode==0, f'urepa {said} ended with {done.returncode}:\n{done.stderr[-4000:]}'
        return done.stdout
    call.good, call.env = good, env
    return call

@pytest.fixture(scope='session')
def site(tmp_path_factory):
    "This checkout with the website in `_preview`, rendered without Quarto once for all processes."
    folder = shared(tmp_path_factory)/'website'
    with FileLock(f'{folder}.lock'):
        if not folder.exists():
            partial = folder.with_suffix('.partial')
            succeed(scripts/'python', '.ci/website.py', 'preview', '--no-serve', cwd=copy_to(partial))
            partial.rename(folder)
    return folder

def pytest_collection_modifyitems(items):
    "Pages last: they are short, so that no process waits long for the other at the end."
    items.sort(key=lambda o: o.path.name=='test_pages.py')
