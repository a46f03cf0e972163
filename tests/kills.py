"""Kills a run with SIGKILL at random moments, within saves too, and lets it go on, until it was killed often enough.

    python tests/kills.py --kills 60 --out data/results/kills.json        what the page on training shows; `make kills`

After each kill: every checkpoint under its name is whole, none is lost, the log has no hole. At the end: the same
weights, averages, optimizer and log, bit for bit, as a run that nobody disturbed. The lives are forks of this process,
which has imported all they need."""
import argparse
import os
import random
import signal
import tempfile
import time
from hashlib import sha256
from pathlib import Path

os.environ.update(OMP_NUM_THREADS='1', HF_HUB_OFFLINE='1')
import torch

from urepa.config import presets, replace_fields, to_dict
from urepa.core import progress, provenance, write_json
from urepa.data.images import embedded_source
from urepa.data.prepare import Recipe, prepare
from urepa.training.checkpoint import checkpoints, verify
from urepa.training.run import Run
from urepa.training.train import train


def live(config, folder):
    "Begin a life: train in a process of its own."
    if child := os.fork(): return child
    code = 1
    try:
        train(config, folder, resume=Run.is_run(folder), show=False)
        code = 0
    finally: os._exit(code)

def ended(child, options=0):
    "How a life ended; `None` while it lasts."
    number, status = os.waitpid(child, options)
    return os.waitstatus_to_exitcode(status) if number else None

def begun(folder):
    "Saves that have begun and not ended, the remains of earlier lives included."
    found = set()
    for o in (folder/'checkpoints').glob('*.partial'):
        try: found.add((o.name, o.stat().st_ino))
        except FileNotFoundError: pass # just put in place
    return found

def kill_within(child, folder, old, life, within):
    "Kill at a random moment of a life, or of a save; how the life ended, and when."
    start, after, how = time.perf_counter(), random.uniform(0, life), None
    while how is None:
        time.sleep(.0005)
        if begun(folder)-old if within else time.perf_counter()-start>after:
            if within: time.sleep(random.uniform(0, .03))
            os.kill(child, signal.SIGKILL)
            how = ended(child)
        else: how = ended(child, os.WNOHANG)
    return how, time.perf_counter()-start

def look(folder, before):
    "Steps of the checkpoints, and of the log; complains of what is lost or half."
    found = checkpoints(folder/'checkpoints')
    for o in found: verify(o)
    steps, logged = [int(o.name) for o in found], [o['step'] for o in Run(folder, new=True).log]
    assert max(steps, default=0)>=before, f'checkpoint {before} is lost, {steps} are left'
    assert logged==list(range(1, len(logged)+1)), f'the log has a hole: {logged}'
    assert len(logged)>=max(steps,
                            default=0), f'checkpoint {max(steps)} is ahead of the log, which ends at {len(logged)}'
    return max(steps, default=0), len(logged)

def held(folder):
    "The last checkpoint's tensors by checksum, and the log without its clock."
    newest = checkpoints(folder/'checkpoints')[0]
    log = [{k:v for k,v in o.items() if k!='seconds'} for o in Run(folder, new=True).log]
    return newest.name, {str(o.relative_to(newest)):sha256(o.read_bytes()).hexdigest()
                         for o in newest.rglob('*.safetensors')}, log

def undisturbed(config, folder):
    "A run from start to end; how long it took."
    start = time.perf_counter()
    assert ended(live(config, folder))==0, 'the run failed by itself'
    return time.perf_counter()-start

def kill_often(config, folder, kills):
    "Kill, look, go on; whenever a run comes to its end, compare it with the one that nobody disturbed."
    whole, lives, runs, before = undisturbed(config, folder/'whole'), [], 0, 0
    with progress(None, 'kill', total=kills, unit=' kills') as bar:
        while True:
            run = folder/f'{runs}'
            old, child = begun(run), live(config, run)
            how, when = kill_within(child, run, old, whole/2,
                                    within=len(lives)%2==1) if len(lives)<kills else (ended(child), 0)
            assert how in (0, -signal.SIGKILL), f'the run ended by itself with {how}'
            if how:
                before, logged = look(run, before)
                lives.append(dict(run=runs, seconds=round(when, 3), checkpoint=before, logged=logged,
                                  within_save=bool(begun(run)-old)))
                bar.update()
                continue
            assert held(run)==held(folder/'whole'), f'run {runs} ended with other weights or another log'
            runs, before = runs+1, 0
            if len(lives)==kills: break
    return dict(kills=len(lives), within_saves=sum(o['within_save'] for o in lives), runs=runs,
                seconds_undisturbed=round(whole, 2), lives=lives)

if __name__=='__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('--kills', type=int, default=60)
    parser.add_argument('--steps', type=int, default=12)
    parser.add_argument('--seed', type=int, default=0, help='of the moments')
    parser.add_argument('--out', type=Path, help='JSON file for the result')
    args = parser.parse_args()
    torch.set_num_threads(1)
    random.seed(args.seed)
    changes = {'optim.steps':args.steps, 'run.save_every':3, 'run.log_every':1, 'run.keep':2, 'run.device':'cpu'}
    with tempfile.TemporaryDirectory() as folder:
        prepare(embedded_source(256), f'{folder}/store', Recipe('pixels', 'embedded', 32, grey=True), device='cpu',
                show=False)
        config = replace_fields(presets['tiny'], changes|{'data.store':f'{folder}/store'})
        result = kill_often(config, Path(folder), args.kills)
    result = dict(config=to_dict(replace_fields(config, {'data.store':'store'})), seed=args.seed,
                  provenance=provenance(), **result)
    if args.out: write_json(args.out, result)
    print(f"{result['kills']} kills, {result['within_saves']} of them within a save, {result['runs']} runs: "
        'no checkpoint lost, none half, the same end')
