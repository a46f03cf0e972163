"Several processes: unlike ones are refused, one that is stopped, hangs or never comes is named, what can be saved is."
import json
import os
import re
import signal
import subprocess
import time

import pytest
from checkout import scripts
from forks import Ranks, urepa_command

words = ['train', 'tiny', '--run.log-every', 1, '--run.device', 'cpu', '--out', 'run']

def steps_logged(folder):
    log = folder/'run'/'log.jsonl'
    return [json.loads(o)['step'] for o in log.read_text().splitlines()] if log.exists() else []

def kept(folder): return sorted(int(o.name) for o in (folder/'run'/'checkpoints').glob('*') if o.name.isdigit())

@pytest.fixture(scope='module')
def cache(tmp_path_factory):
    "The store of the embedded images is made by the first processes that want it."
    return tmp_path_factory.mktemp('cache')

@pytest.fixture
def ranks(tmp_path, cache):
    "Begins processes with a patience of seconds; none outlives the test."
    begun = []
    def begin(n, *more, patience=30, command=words, **options):
        env = dict(os.environ, UREPA_CACHE=str(cache), UREPA_PATIENCE=str(patience), ACCELERATE_USE_CPU='1',
                   OMP_NUM_THREADS='1')
        begun.append(Ranks(n, *command, *more, cwd=tmp_path, env=env, **options))
        return begun[-1].forks
    yield begin
    for o in begun: o.kill()

def until_step(folder, forks, step):
    while step not in steps_logged(folder):
        assert not any(o.ended() for o in forks), [o.done().stderr for o in forks if o.ended()]
        time.sleep(.02)

def until_told(fork, words, seconds=60):
    "Wait for words on stderr."
    end = time.monotonic()+seconds
    while words not in (told := fork.told[1].read_text(encoding='utf-8') if fork.told[1].exists() else ''):
        assert time.monotonic()<end and not fork.ended(), told
        time.sleep(.02)

def pause(fork): os.kill(fork.process.pid, signal.SIGSTOP)

def other_code(*said):
    "The command with other code of the package."
    from urepa import processes as page
    page.source_digest = lambda: 'changed'
    urepa_command(*said)

def other_torch(*said):
    import torch
    torch.__version__ = '2.6.0'
    urepa_command(*said)

def other_timm(*said):
    from urepa import processes as page
    version = page.package_version
    page.package_version = lambda name: '0.4' if name=='timm' else version(name)
    urepa_command(*said)

def halting(*said):
    "The command, whose main thread hangs after its third step."
    from urepa.training.train import Recorder
    log = Recorder.log_step
    def halt(self):
        log(self)
        if self.state.step==3: time.sleep(60)
    Recorder.log_step = halt
    urepa_command(*said)

def halting_inside(*said):
    "The command, whose main thread hangs within its third step."
    from urepa.training.train import State
    backward = State.backward
    def halt(self, *args, **options):
        if self.step==2: time.sleep(60)
        return backward(self, *args, **options)
    State.backward = halt
    urepa_command(*said)

def halting_before(*said):
    "The command, whose main thread hangs before the first step."
    from urepa.training import train as page
    page.TrainingData = lambda *args: time.sleep(60)
    urepa_command(*said)

def without_memory(*said):
    "The command, whose first image does not fit into memory."
    import torch

    from urepa.score.draw import Sampler
    call = Sampler.__call__
    def fails(self, *args, **options):
        Sampler.__call__ = call
        raise torch.OutOfMemoryError('CUDA out of memory')
    Sampler.__call__ = fails
    urepa_command(*said)

def halting_draw(*said):
    "The command, whose main thread hangs before its first image."
    from pathlib import Path

    from urepa.score.draw import Sampler
    def halt(self, *args, **options):
        Path('drawing').touch()
        time.sleep(60)
    Sampler.__call__ = halt
    urepa_command(*said)

@pytest.fixture
def stores(tmp_path):
    "Two small stores of unlike size, and two build files."
    from urepa.data.images import embedded_source
    from urepa.data.prepare import Recipe, prepare
    for name, n in (('a', 256), ('b', 260)):
        recipe = Recipe('pixels', 'embedded', 32, grey=True)
        prepare(embedded_source(n), tmp_path/name, recipe, device='cpu', show=False)
    for name in ('a', 'b'): (tmp_path/f'{name}.py').write_text(f'from urepa import build # {name}\n')

unlike = {
    'learning rate': (['--optim.lr', '.01'], 'optim.lr is 0.01 there and 0.001 elsewhere'),
    'lines of the log': (['--run.log-every', 2], 'run.log_every is 2 there and 1 elsewhere'),
    'no alignment': (['--align.weight', 0], 'align.weight is 0.0 there'),
}

def refused(tmp_path, forks, named):
    told = [o.done(120) for o in forks]
    for o in told:
        assert o.returncode==1 and 'Traceback' not in o.stderr, o.stderr
        last = o.stderr.splitlines()[-1]
        assert 'process 2 of 2 has another task' in last and named in last, o.stderr
    assert not (tmp_path/'run').exists()

@pytest.mark.parametrize('what', unlike)
def test_an_unlike_process_is_refused(ranks, tmp_path, what):
    more, named = unlike[what]
    refused(tmp_path, ranks(2, own={1: more}), named)

def test_another_store_or_build_file_is_refused(ranks, stores, tmp_path):
    refused(tmp_path, ranks(2, own={0: ['--data', 'a'], 1: ['--data', 'b']}), 'the store is')
    refused(tmp_path, ranks(2, own={0: ['--build', 'a.py'], 1: ['--build', 'b.py']}), 'the build file is')

codes = [(other_code, 'the code of urepa'), (other_torch, "torch is '2.6.0'"), (other_timm, "timm is '0.4'")]

@pytest.mark.parametrize(('function', 'named'), codes)
def test_unlike_code_is_refused(ranks, tmp_path, function, named):
    refused(tmp_path, ranks(2, functions={1: function}), named)

def test_a_store_may_lie_elsewhere(ranks, stores, tmp_path):
    (tmp_path/'a again').symlink_to('a')
    told = [o.done(120) for o in ranks(2, '--optim.steps', 2, own={0: ['--data', 'a'], 1: ['--data', 'a again']})]
    assert [o.returncode for o in told]==[0, 0], told

def test_the_words_of_one_that_ends_early_are_passed_on(ranks, stores, tmp_path):
    told = [o.done(120) for o in ranks(2, own={0: ['--data', 'a'], 1: ['--data', 'nowhere']})]
    assert all(o.returncode==1 for o in told)
    assert 'because process 2 of 2 has ended: nowhere is no folder' in told[0].stderr, told[0].stderr

def test_a_process_that_stands_still(ranks, tmp_path):
    "It is named, then lost: the step before is saved, and a run in one process goes on from it."
    forks = ranks(2, patience=5)
    until_step(tmp_path, forks, 3)
    start = time.perf_counter()
    pause(forks[1])
    told = forks[0].done(60)
    assert told.returncode==1 and 5<time.perf_counter()-start<20, told.stderr
    *_, saved, last = told.stderr.splitlines()
    assert 'process 2 of 2 has not answered for 1 s; the others wait' in told.stderr, told.stderr
    assert 'urepa: process 1 of 2 stops because process 2 of 2 has not answered for 5 s' in last, told.stderr
    step = kept(tmp_path)[-1]
    assert saved==f'step {step} is saved, the last that was finished' and step==steps_logged(tmp_path)[-1]>=3
    forks[1].kill()
    told = ranks(1, '--resume')[0].done(120)
    assert told.returncode==0 and f'from step {step} to step 20' in told.stderr, told.stderr
    assert steps_logged(tmp_path)==list(range(1, 21))

def test_the_first_process_stands_still(ranks, tmp_path):
    "It holds the lines of the others; they end all the same."
    forks = ranks(3, '--optim.batch_size', 18, patience=5)
    until_step(tmp_path, forks, 3)
    pause(forks[0])
    for o in forks[1:]:
        told = o.done(60)
        assert told.returncode==1 and 'because process 1 of 3 has not answered for 5 s' in told.stderr, told.stderr
    assert 'process 1 of 3 has not answered for 1 s; the others wait' in forks[1].done().stderr

def test_asked_to_end_while_waiting(ranks, tmp_path):
    "SIGTERM is answered long before the patience is over."
    forks = ranks(2, patience=12)
    until_step(tmp_path, forks, 3)
    pause(forks[1])
    until_told(forks[0], 'process 2 of 2 has not answered for')
    start = time.perf_counter()
    forks[0].process.terminate()
    told = forks[0].done(60)
    assert told.returncode==130 and time.perf_counter()-start<8, (told.returncode, told.stderr)
    assert 'it was asked to while process 2 of 2 has not answered' in told.stderr, told.stderr
    assert kept(tmp_path)==[steps_logged(tmp_path)[-1]]

hangs = {halting: 'between steps 3 and 4', halting_inside: 'in step 3', halting_before: 'opening the data'}

@pytest.mark.parametrize('function', hangs)
def test_a_process_that_hangs_is_named_and_lost(ranks, tmp_path, function):
    "It answers, and does not go on: the others wait for twice the patience. The last finished step is saved."
    forks = ranks(2, patience=4, functions={1: function})
    until_told(forks[0], f'process 2 of 2 has been {hangs[function]} for 1 s; the others wait', 120)
    told = [o.done(60) for o in forks]
    for o in told:
        last = o.stderr.splitlines()[-1]
        assert o.returncode==1 and 'Traceback' not in o.stderr, o.stderr
        assert f'because process 2 of 2 has been {hangs[function]} for 8 s (twice UREPA_PATIENCE)' in last, o.stderr
    assert kept(tmp_path)==steps_logged(tmp_path)[-1:], told[0].stderr

@pytest.mark.parametrize('absent', [0, 1])
def test_a_process_that_never_comes(ranks, tmp_path, absent):
    start = time.perf_counter()
    [fork] = ranks(2, patience=1, absent=[absent])
    told = fork.done(60)
    assert told.returncode==1 and time.perf_counter()-start<20, told.stderr
    who = f'process {absent+1} of 2 has not come for'
    assert re.search(rf'{who} \d s; the others wait', told.stderr), told.stderr
    assert re.search(rf'stops because {who} [2-9] s', told.stderr.splitlines()[-1]), told.stderr # twice the patience
    assert not (tmp_path/'run').exists()

def test_one_that_dies_is_named_and_the_step_saved(ranks, tmp_path):
    forks = ranks(3, '--optim.batch_size', 18)
    until_step(tmp_path, forks, 3)
    forks[2].kill()
    told = [o.done(60) for o in forks[:2]]
    for o in told: assert o.returncode==1 and 'because process 3 of 3 has ended' in o.stderr, o.stderr
    assert kept(tmp_path)==[steps_logged(tmp_path)[-1]]

def test_one_of_two_that_draw_is_killed(ranks, tmp_path):
    "The other one says so. The command again gives the bytes of one process. Unlike tasks are refused here, too."
    [alone] = ranks(1, '--optim.steps', 2)
    assert alone.done(120).returncode==0
    drawing = ['sample', 'run', '--count', 70, '--steps', 2, '--device', 'cpu', '--out']
    forks = ranks(2, 'two.npz', command=drawing, functions={1: halting_draw})
    while not (tmp_path/'drawing').exists(): time.sleep(.02)
    forks[1].kill()
    told = forks[0].done(60)
    assert told.returncode==1 and 'Traceback' not in told.stderr, told.stderr
    assert 'process 1 of 2 stops because process 2 of 2 has ended' in told.stderr.splitlines()[-1], told.stderr
    for n in (2, 1):
        told = [o.done(120) for o in ranks(n, ['one.npz', 'two.npz'][n-1], command=drawing)]
        assert [o.returncode for o in told]==[0]*n, told
    assert (tmp_path/'two.npz').read_bytes()==(tmp_path/'one.npz').read_bytes()
    for command, more, named in (([*drawing, 'again.npz'], ['--seed', 1], 'seed is 1'),
                                 (['evaluate', 'one.npz'], ['--subset', 50], 'keep is 50')):
        told = [o.done(120) for o in ranks(2, command=command, own={1: more})]
        assert all(o.returncode==1 and named in o.stderr.splitlines()[-1] for o in told), told

def test_unlike_ways_to_prepare_are_refused(ranks, tmp_path):
    from PIL import Image
    for k in range(4):
        (tmp_path/'images'/f'{k%2}').mkdir(parents=True, exist_ok=True)
        Image.new('L', (32, 32), 60*k).save(tmp_path/'images'/f'{k%2}'/f'{k}.png')
    command = ['prepare', '--images', 'images', '--out', 'store', '--codec', 'pixels', '--teacher', 'embedded',
               '--image-size', 32, '--grey']
    told = [o.done(120) for o in ranks(2, command=command, own={1: ['--shard-size', 2]})]
    for o in told:
        assert o.returncode==1 and 'recipe.shard_size is 2 there' in o.stderr.splitlines()[-1], told
    assert not (tmp_path/'store').exists()

@pytest.mark.parametrize('split', [False, True])
def test_looking_is_shared_and_may_fail(ranks, tmp_path, split):
    "One of two has no memory for its share of the first sheet: the run goes on. The second is that of one process."
    from io import BytesIO

    from urepa.data.images import image_grid
    from urepa.score.draw import draw
    more = ['--run.fsdp'] if split else []
    forks = ranks(2, '--optim.steps', 6, '--run.sample-every', 3, *more, functions={1: without_memory})
    told = [o.done(120) for o in forks]
    assert [o.returncode for o in told]==[0, 0], told
    assert 'step 3 could not be looked at (CUDA out of memory); the run goes on' in told[0].stderr, told[0].stderr
    assert steps_logged(tmp_path)==list(range(1, 7))
    [sheet] = (tmp_path/'run'/'samples').iterdir()
    assert sheet.name=='0000006.png'
    alone = BytesIO()
    images, _ = draw(tmp_path/'run', 64, 6, solver='heun', steps=10, device='cpu') # as a sheet is drawn
    image_grid(images, 8).save(alone, format='PNG')
    assert sheet.read_bytes()==alone.getvalue()
    checkpoint = tmp_path/'run'/'checkpoints'/'0000006'
    assert len([*(checkpoint/'ema').glob('shard-*')])==2*split
    if split: as_planned(checkpoint)

def as_planned(checkpoint):
    "Each of two processes writes what `urepa plan` says, up to rows that an odd number cannot share evenly."
    from urepa.app.plan import plan_run
    from urepa.config import preset, replace_fields
    planned = plan_run(replace_fields(preset('tiny'), {'run.fsdp': True}), 2)
    written = [sum(map(data_bytes, checkpoint.rglob(f'shard-0000{k}-*'))) for k in (1, 2)]
    assert written==pytest.approx([planned.part]*2, rel=.01)
    assert sum(written)==pytest.approx(planned.checkpoint, rel=.001)

def data_bytes(file):
    "Of a safetensors file, what stands behind the header."
    with file.open('rb') as f: return file.stat().st_size-8-int.from_bytes(f.read(8), 'little')

torchrun = [scripts/'torchrun', '--standalone', '--nproc_per_node', 2, '--max-restarts', 1, '-m', 'urepa', *words]

def launch(folder, *more):
    env = dict(os.environ, ACCELERATE_USE_CPU='1', UREPA_CACHE=str(folder/'cache'))
    return subprocess.Popen([str(o) for o in (*torchrun, *more)], cwd=folder, env=env, stderr=subprocess.PIPE,
                            text=True)

def test_a_launcher_that_starts_again_goes_on(tmp_path):
    "One of two is killed: the second try continues by itself. A third launch is refused in both of its tries."
    import psutil
    launched = launch(tmp_path)
    while 3 not in steps_logged(tmp_path): time.sleep(.02)
    [*_, last] = [o for o in psutil.Process(launched.pid).children(recursive=True) if 'tiny' in o.cmdline()]
    last.kill()
    told = launched.communicate(timeout=200)[1]
    assert launched.returncode==0 and steps_logged(tmp_path)==list(range(1, 21)), told
    assert 'from step' in told
    before = (tmp_path/'run'/'log.jsonl').read_bytes()
    launched = launch(tmp_path, '--optim.steps', 22)
    told = launched.communicate(timeout=200)[1]
    assert launched.returncode and 'already holds a run' in told, told
    assert (tmp_path/'run'/'log.jsonl').read_bytes()==before
