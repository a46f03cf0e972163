"Every page runs from top to bottom in a process of its own."
import multiprocessing
import os
import sys

import pytest
from checkout import name, pages, root

# Imports take three seconds of every page's time: a server has the libraries, not the package, and forks for each page
server = multiprocessing.get_context('forkserver')
server.set_forkserver_preload('torch matplotlib.pyplot sklearn.manifold accelerate nbdev.test nbdev.showdoc'.split())

def run_page(page, log):
    "What `nbdev-test PAGE` does, in this process; what is printed goes to a file."
    with open(log, 'w') as file:
        for stream in (1, 2): os.dup2(file.fileno(), stream)
    for stream in ('stdout', 'stderr', '__stdout__', '__stderr__'):
        setattr(sys, stream, open(1 if 'out' in stream else 2, 'w', buffering=1, closefd=False))
    os.chdir(root)
    from nbdev.test import nbdev_test
    nbdev_test(str(page))

def left_behind():
    return {o for o in (root/'nbs').rglob('*') if not {'__pycache__', '.ipynb_checkpoints'} & set(o.parts)}

@pytest.mark.parametrize('page', pages(), ids=name)
def test_page(page, tmp_path):
    before, log = left_behind(), tmp_path/'log.txt'
    process = server.Process(target=run_page, args=(page, log))
    process.start()
    process.join(550)
    if process.is_alive(): process.kill()
    if process.exitcode!=0: pytest.fail(f'ended with {process.exitcode}:\n{log.read_text()[-8000:]}', pytrace=False)
    assert left_behind()==before, 'the page leaves files in nbs/; let it write to a temporary folder'
