"Every page runs from top to bottom in a process of its own."
import os
from tempfile import TemporaryDirectory

import pytest
from checkout import name, pages, root
from forks import Fork


def run_page(page):
    "What `nbdev-test PAGE` does."
    from nbdev.test import nbdev_test
    nbdev_test(str(page))

def left_behind():
    return {o for o in (root/'nbs').rglob('*') if not {'__pycache__', '.ipynb_checkpoints'} & set(o.parts)}

@pytest.mark.parametrize('page', pages(), ids=name)
def test_page(page):
    before = left_behind()
    with TemporaryDirectory(prefix='page-', ignore_cleanup_errors=True) as folder: # runs and stores, up to a gigabyte
        done = Fork(run_page, page, cwd=root, env=dict(os.environ, TMPDIR=folder)).done(550)
    if done.returncode: pytest.fail(f'ended with {done.returncode}:\n{done.stdout}{done.stderr[-8000:]}', pytrace=False)
    assert left_behind()==before, 'the page leaves files in nbs/; let it write to a temporary folder'
