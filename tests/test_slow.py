"A reader who runs all cells in Jupyter: a notebook in kernels of its own."
import nbformat
import pytest
from nbclient import NotebookClient

cells = ('%load_ext urepa.lab.slow', "#| slow\nprint('ran 1')", '%slow on', "#| fig-alt: 'A'\n#| net\nprint('ran 3')",
         '%slow off', "#| cuda\nprint('ran 5')", "print('ran 6')", '%unload_ext urepa.lab.slow',
         "#| slow\nprint('ran 8')")

@pytest.mark.parametrize('asked, runs', [('', [3, 6, 8]), ('1', [1, 3, 6, 8])])
def test_slow_cells(asked, runs, tmp_path, monkeypatch):
    monkeypatch.setenv('UREPA_SLOW', asked)
    monkeypatch.setenv('IPYTHONDIR', str(tmp_path))
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(o) for o in cells])
    NotebookClient(book, timeout=60, kernel_name='python3').execute()
    told = {n:''.join(o.get('text', '') for o in cell.outputs) for n,cell in enumerate(book.cells)}
    assert [n for n,text in told.items() if text==f'ran {n}\n']==runs
    passed = {n:text.split('.')[0] for n,text in told.items() if text.startswith('Passed over')}
    why = {1:'takes long', 5:'needs a GPU'}
    assert passed=={n:f'Passed over: this cell {why[n]}' for n in why if n not in runs}
