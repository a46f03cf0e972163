"Training as teams run it: in several processes, asked to stop, killed, on a full disk, with steps that are not finite."
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
from checkout import root, scripts, succeed
from forks import command


def logged(folder):
    return [json.loads(o)
            for o in (folder/'log.jsonl').read_text().splitlines()] if (folder/'log.jsonl').exists() else []

def steps_kept(folder): return sorted(int(o.name) for o in (folder/'checkpoints').iterdir() if o.name.isdigit())

@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('UREPA_CACHE', str(tmp_path/'cache'))

@pytest.fixture
def urepa(tmp_path, monkeypatch, capfd, cache):
    "The command, in this process; `urepa.refused` for the sentence of what it must not do."
    from urepa.app.cli import main
    monkeypatch.chdir(tmp_path)
    def call(*words):
        main([str(o) for o in words])
        return capfd.readouterr()
    def refused(*words, codes=(1, 2)): # 1: a mistake of the run; 2: of the words
        with pytest.raises(SystemExit) as stop: main([str(o) for o in words])
        told = capfd.readouterr().err
        assert stop.value.code in codes and 'Traceback' not in told, told[-3000:]
        return told.splitlines()[-1]
    call.refused = refused
    return call

def test_killed_often():
    "SIGKILL at random moments, within saves too; `make kills` does it sixty times."
    assert '6 kills' in succeed(sys.executable, root/'tests'/'kills.py', '--kills', 6, timeout=600)

def test_asked_to_end_by_the_system(tmp_path):
    "SIGTERM, as schedulers and shutdowns send it: the run saves where it is, says how to go on, and ends."
    words = [scripts/'urepa', 'train', 'tiny', '--optim.steps', 100_000, '--run.log-every', 1, '--run.device', 'cpu',
             '--out', 'run']
    process = subprocess.Popen([str(o) for o in words], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not logged(tmp_path/'run'): time.sleep(.05)
    process.terminate()
    told = process.communicate(timeout=60)[1]
    step = steps_kept(tmp_path/'run')[-1]
    assert process.returncode==130 and f'stopped after step {step:,} of 100,000' in told, told
    assert 'Traceback' not in told, told
    assert logged(tmp_path/'run')[-1]['step']==step

def test_a_tracker_hears_what_the_log_holds(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    words = ['--optim.steps', 10, '--run.trackers', 'tensorboard', '--run.device', 'cpu', '--out', 'run']
    done = command('train', 'tiny', *words, cwd=tmp_path).done()
    assert done.returncode==0, done.stderr[-4000:]
    heard = EventAccumulator(str(tmp_path/'run'/'urepa')).Reload()
    for k in ('loss', 'gap', 'gradient'):
        assert [(o.step, round(o.value, 5)) for o in heard.Scalars(k)]==[(o['step'], round(o[k], 5))
                                                                         for o in logged(tmp_path/'run')], k

class Started:
    "A training command in two processes on the CPU."
    def __init__(self, launcher, folder, *words):
        words = [*launcher, 'train', 'tiny', '--run.log-every', 1, '--run.device', 'cpu', '--out', 'two', *words]
        self.told, self.folder = open(folder/'told', 'w+'), folder
        self.process = subprocess.Popen([str(o) for o in words], cwd=folder, stdout=self.told, stderr=self.told,
                                        env=dict(os.environ, ACCELERATE_USE_CPU='1'), start_new_session=True)

    def until(self, step):
        while not (now := logged(self.folder/'two')) or now[-1]['step']<step:
            assert self.process.poll() is None, self.text()
            time.sleep(.02)
        return self

    def workers(self):
        return [o for o in psutil.Process(self.process.pid).children(recursive=True) if 'train' in o.cmdline()
                and any('urepa' in part for part in o.cmdline())]

    def text(self):
        self.process.wait(300)
        self.told.seek(0)
        return self.told.read()

torchrun = [scripts/'torchrun', '--standalone', '--nproc_per_node', 2, '-m', 'urepa']
accelerate = [scripts/'accelerate', 'launch', '--multi_gpu', '--num_processes', 2, '--num_machines', 1,
              '--mixed_precision', 'no', '--dynamo_backend', 'no', '--main_process_port', 0, '--module', 'urepa']

def test_two_processes_stop_die_and_go_on(urepa, tmp_path):
    "One of two is asked to stop: both do. One is killed: the other says so. One goes on: the losses of a run in one."
    urepa('train', 'tiny', '--run.log-every', 1, '--run.device', 'cpu', '--out', 'one')
    started = Started(torchrun, tmp_path).until(3)
    workers = started.workers()
    assert len(workers)==2, [o.cmdline() for o in workers]
    workers[1].send_signal(signal.SIGTERM)
    told = started.text()
    step = steps_kept(tmp_path/'two')[-1]
    assert f'stopped after step {step} of 20' in told and step<20, told
    assert '8 a device × 2 devices × 1 accumulated = 16 images a step' in told
    assert len(logged(tmp_path/'two'))==step
    started = Started(accelerate, tmp_path, '--resume').until(step+2)
    started.workers()[1].kill()
    told = started.text()
    assert started.process.returncode and 'because process 2 of 2 has ended' in told, told
    step = steps_kept(tmp_path/'two')[-1]
    told = urepa('train', 'tiny', '--run.log-every', 1, '--run.device', 'cpu', '--out', 'two', '--resume').err
    assert f'from step {step} to step 20' in told, told
    one, two = [{o['step']: o for o in logged(tmp_path/name)} for name in ('one', 'two')]
    lacking = {*one}-{*two}
    assert {*two}<={*one} and lacking<={step}, lacking # killed before its line: the next one has a mean with that step
    for k in ('loss', 'velocity', 'token', 'manifold', 'gradient'):
        for at in {*two}-{o+1 for o in lacking}:
            assert abs(one[at][k]-two[at][k])<1e-4*max(1, abs(one[at][k])), (k, one[at], two[at])

def test_a_full_disk_ends_no_run(urepa, tmp_path):
    "A file system of a few megabytes, filled after the first checkpoint, emptied before the end; then one kept full."
    disk = tmp_path/'disk'
    disk.mkdir()
    if os.geteuid() or subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', str(disk)],
                                      capture_output=True).returncode:
        pytest.skip('no file system of its own here')
    try:
        words = ['train', 'tiny', '--run.log-every', 1, '--run.save-every', 5, '--run.keep', 1, '--run.device', 'cpu',
                 '--out', 'disk/run']
        refuse_after(urepa, disk, 7, words)
        (disk/'ballast').unlink()
        urepa(*words, '--resume')
        urepa(*[*words[:-1], 'other'])
        logs = [[{k:v for k,v in o.items() if k!='seconds'} for o in logged(place)]
                for place in (disk/'run', tmp_path/'other')]
        assert logs[0]==logs[1]
    finally: subprocess.run(['umount', str(disk)])

def refuse_after(urepa, disk, step, words):
    "Fill the disk once a step is logged; the run ends, keeps its old checkpoint, and says what was not written."
    from urepa.training import run as page
    add = page.Log.add
    def fill(log, row):
        add(log, row)
        if row['step']==step: fill_up(disk)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page.Log, 'add', fill)
        told = urepa.refused(*words)
    assert 'could not be written' in told and 'older checkpoints are untouched' in told, told
    assert steps_kept(disk/'run')==[5]

def fill_up(disk):
    with open(disk/'ballast', 'wb', buffering=0) as f:
        try:
            while True: f.write(bytes(4096))
        except OSError: pass

def test_steps_that_are_not_finite(urepa, tmp_path):
    told = urepa.refused('train', 'tiny', '--optim.lr', '1e30', '--optim.max_grad_norm', '1e30', '--out', 'run')
    for part in ('not finite', 'velocity', 'optim.lr'): assert part in told, told
    assert logged(tmp_path/'run')[-1]['skipped']==5
    assert str(steps_kept(tmp_path/'run')[-1]) in told

def test_a_config_repeats_a_run(urepa, tmp_path):
    from kills import held
    words = ['--optim.steps', 6, '--run.log-every', 1, '--run.save-every', 2, '--run.keep', 1, '--run.keep-every', 4]
    urepa('train', 'tiny', '--align.manifold', 1, '--run.seed', 3, *words, '--out', 'a')
    urepa('train', '--config', 'a/config.json', '--out', 'b')
    assert held(tmp_path/'a')==held(tmp_path/'b')
    assert steps_kept(tmp_path/'a')==[4, 6]

mistakes = {
    'another preset': ('train fashion --out run --resume', 'of the preset tiny, not fashion'),
    'not shared evenly': ('train tiny --out new --optim.grad_accum 3', 'optim.batch_size 16'),
    'a loss across images': ("train tiny --out new --optim.grad_accum 2 --align.pairs samples",
                             "the loss 'manifold' compares images"),
    'no steps': ('train tiny --out new --optim.steps 0', 'optim.steps is 0'),
    'no line of a log': ('train tiny --out new --run.log-every 0', 'run.log_every is 0'),
    'a store that is none': ('train tiny --data nowhere --out new', 'nowhere is no folder'),
    'fewer steps than done': ('train tiny --optim.steps 1 --out run --resume', 'has done 2 steps'),
    'no config': ('train --config nowhere.json --out new', 'nowhere.json'),
    'config without a file': ('train --config', 'wants a run folder'),
}

def test_what_the_machine_lacks(urepa, tmp_path, monkeypatch):
    "bfloat16 without the arithmetic for it, compilation without a compiler: said before anything is built."
    from urepa.app.cli import call_of
    monkeypatch.setattr('torch.ops.mkldnn._is_mkldnn_bf16_supported', lambda: False)
    monkeypatch.setattr(shutil, 'which', lambda *args, **kwargs: None)
    for option, named in (('--run.precision=bfloat16', '--run.precision float32'),
                          ('--run.compile', '--run.no-compile')):
        told = urepa.refused('train', 'tiny', '--run.device', 'cpu', *option.split('='), '--out', 'new')
        assert named in told, told
        call_of(['train', 'tiny', '--out', 'new', *named.split()]) # there is such an option
        assert not (tmp_path/'new').exists()

def test_mistakes(urepa, tmp_path):
    urepa('train', 'tiny', '--optim.steps', 2, '--out', 'run')
    for mistake, (words, named) in mistakes.items():
        told = urepa.refused(*words.split())
        assert named in told, f'{mistake}: {named!r} is not in: {told}'
        assert not (tmp_path/'new').exists(), f'{mistake}: a run folder was left behind'
