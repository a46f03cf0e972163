"A sweep that is killed: its processes end with it, and the next call goes on."
import json
import time

import psutil
from checkout import root
from forks import command

text = '''
title = "killed"
preset = "tiny"
seeds = [0]
score_at = [12]
count = 50
fields = {"run.log_every" = 1}
sampling = {steps = 1}
rows.long = {"optim.batch_size" = 256}
'''

words = 'sweep', 's.toml', '--out', 's.json', '--folder', 'runs', '--workers', 1

def finish(folder):
    done = command(*words, cwd=folder).done()
    assert done.returncode==0, done.stderr[-4000:]

def test_a_killed_sweep_ends_whole_and_goes_on(tmp_path):
    (tmp_path/'s.toml').write_text(text)
    log = tmp_path/'runs'/'s'/'long-0'/'log.jsonl'
    def step(): return len(log.read_text().splitlines()) if log.exists() else 0
    sweep = command(*words, cwd=tmp_path)
    while step()<2 and not sweep.ended(): time.sleep(.01)
    workers = psutil.Process(sweep.process.pid).children(recursive=True)
    sweep.kill()
    gone, alive = psutil.wait_procs(workers, timeout=20)
    for o in alive: o.kill()
    assert workers and not alive, f'{len(alive)} of {len(workers)} processes outlived their sweep'
    assert 2<=step()<12, 'the run was over before it was killed'
    finish(tmp_path)
    result = json.loads((tmp_path/'s.json').read_text())
    assert [(o['row'], o['step']) for o in result['scores']]==[('long', 12)] and not result['missing']
    assert [json.loads(o)['step']
            for o in log.read_text().splitlines()]==list(range(1, 13)), 'the log has a hole, or two writers'

def test_a_run_that_diverges_in_a_process_of_its_own_is_an_outcome(tmp_path):
    (tmp_path/'s.toml').write_text(text.replace('"optim.batch_size" = 256', '"align.dispersive" = 1e38'))
    finish(tmp_path)
    result = json.loads((tmp_path/'s.json').read_text())
    assert [(o['row'], o['seed'], o['step']) for o in result['diverged']]==[('long', 0, 10)]
    assert 'not finite (in gradient)' in result['diverged'][0]['why']
    assert not result['scores'] and not result['missing']

def test_the_repositorys_own_sweeps_could_begin():
    "All rows but those that say they wait for a store."
    from urepa.core import UserError
    from urepa.score.sweep import check_row, read_sweep
    told = {}
    for path in [*(root/'nbs'/'experiments').glob('*.toml'), root/'data'/'paper_geometry.toml']:
        sweep = read_sweep(path)
        for row in sweep['rows']:
            try: check_row(sweep, row)
            except UserError as e: told[path.stem, row] = str(e)
    waiting = {('tokens', o):'is no folder' for o in ('float16', 'int8', 'pca24', 'pca6')}
    assert not [f'{k}: {v}' for k, v in told.items() if waiting.get(k, '?') not in v]
