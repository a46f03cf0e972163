"Every page runs from top to bottom in a process of its own."
import pytest
from checkout import name, pages, root, run, scripts


def left_behind():
    return {o for o in (root/'nbs').rglob('*') if not {'__pycache__', '.ipynb_checkpoints'} & set(o.parts)}

@pytest.mark.parametrize('page', pages(), ids=name)
def test_page(page):
    before = left_behind()
    done = run(scripts/'nbdev-test', page, timeout=550)
    if done.returncode: pytest.fail(f'{done.stdout[-2000:]}\n{done.stderr[-6000:]}', pytrace=False)
    assert left_behind()==before, 'the page leaves files in nbs/; let it write to a temporary folder'
