"Offline, without a window, one thread a process: tests run side by side."
import os

import pytest
from checkout import run, scripts

os.environ.update(OMP_NUM_THREADS='1', HF_HUB_OFFLINE='1', MPLBACKEND='Agg')

@pytest.fixture
def urepa(tmp_path):
    env = dict(os.environ, UREPA_CACHE=str(tmp_path/'cache'))
    def call(*args, **kwargs):
        return run(scripts/'urepa', *args, **dict(dict(cwd=tmp_path, env=env, timeout=500), **kwargs))
    def good(*args):
        done = call(*args)
        words = ' '.join(map(str, args))
        assert done.returncode==0, f'urepa {words} ended with {done.returncode}:\n{done.stderr[-4000:]}'
        return done.stdout
    call.good, call.env = good, env
    return call
