"The `urepa` command from end to end, in folders far from the checkout, on the preset `tiny`."
import json
import random
import shutil
import signal
import subprocess
import time
from hashlib import sha256

import numpy as np
import pytest
from checkout import run, scripts
from forks import command, on_a_full_disk


def complaint(done, *codes):
    "The one sentence that a command ends with when it cannot do what it was asked (1), or does not understand it (2)."
    everything = f'{done.stdout[-1000:]}\n{done.stderr[-3000:]}'
    assert done.returncode in (codes or (1, 2)), f'ended with {done.returncode}:\n{everything}'
    assert 'Traceback' not in done.stderr, done.stderr[-3000:]
    told = [o for o in done.stderr.splitlines() if o.startswith('urepa: ')]
    assert len(told)==1, f'not one last line that starts with "urepa: ":\n{done.stderr}'
    assert done.stderr.rstrip().splitlines()[-1]==told[0], f'no last line "urepa: …":\n{done.stderr}'
    return told[0]

def test_info_prints_the_papers_numbers(urepa):
    told = urepa.good('info', 'sit_down_xl')
    for number in ('954.4', '109.3'): assert number in told, told

def test_doctor(urepa):
    told = urepa.good('doctor')
    for what in ('python', 'torch', 'bfloat16', 'all whole'): assert what in told, told

def test_help(urepa):
    assert 'urepa demo' in urepa.good('--help')
    assert urepa.good()==urepa.good('--help')
    assert 'sit_down_xl' in urepa.good('train', '--help')
    assert '--align.manifold' in urepa.good('train', 'tiny', '--help')

@pytest.mark.parametrize('words',
                         ['', '--help', '--version', 'train tiny --help', 'trian', 'train fashoin --out r',
                          'train tiny --out r --align.manifol 0'])
def test_answers_before_torch_is_loaded(words):
    tried = f'try: main({words.split()})\nexcept SystemExit: pass'
    code = f'import sys; from urepa.app.cli import main\n{tried}\nprint("torch" in sys.modules)'
    done = run(scripts/'python', '-c', code)
    assert done.stdout.splitlines()[-1]=='False', done.stderr

def test_debug_shows_where(urepa):
    assert 'Traceback' in urepa('train', '--config', 'nowhere', '--debug').stderr

def test_misunderstood_words_end_with_2(urepa):
    complaint(urepa('trian'), 2)
    complaint(urepa('train', '--config', 'nowhere'), 1)

mistakes = {
    'unknown command': ('trian tiny --out run', 'train'),
    'unknown preset': ('train fashoin --out run', 'fashion'),
    'no preset': ('train --out run', 'tiny'),
    'unknown field': ('train tiny --out run --align.manifol 0', 'align.manifold'),
    'not a number': ('train tiny --out run --optim.steps many', 'steps'),
    'grid does not divide': ('train tiny --out run --model.patch-size 5', '5'),
    'heads do not divide': ('train tiny --out run --model.heads 5', '5'),
    'block outside the network': ('train tiny --out run --align.block 99', '99'),
    'unknown teacher': ('train tiny --out run --align.teacher nobody', 'nobody'),
    'more than there is': ('train tiny --out run --data.limit 1000000', '1000000'),
    'no such device': ('train tiny --out run --run.device cuda:77', 'cuda:77'),
    'sampling no run': ('sample nowhere --out run', 'nowhere'),
    'scoring no run': ('evaluate nowhere', 'nowhere'),
    'timing on no such device': ('bench --device cuda:77 --out run', 'cuda:77'),
    'planning for no GPU': ('plan tiny --gpus 0', '0 GPUs train nothing'),
    'planning for an unknown GPU': ('plan tiny --gpu h10', 'h100'),
    'planning a batch that does not divide': ('plan tiny --gpus 3', '3 processes'),
    'planning what does not fit': ('plan tiny --model.width 32768 --gpus 2 --gpu 4090', 'more than it has'),
    'timing no images': ('bench --batch 0 --out run', '--batch is 0'),
    'scoring no images': ('demo --count 0 --out run', '0 images'),
    'no such weights': ('evaluate file --features inception --weights nofile.pth', 'nofile.pth does not exist'),
    'an early head without a middle': ('train tiny --out run --model.depths 4 --model.early-block middle',
                                       'no middle whose end'),
    'an early head behind the last block': ('train tiny --out run --model.early-block 4', 'the final layer itself'),
    'attention that is none': ('train tiny --out run --model.attention far-2', "unknown attention 'far-2'"),
    'a factor that fits no grid': ('train tiny --out run --model.scale 1.5', 'as 36×36'),
    'tokens of no label': ('train tiny --out run --model.class-tokens 2 --data.labelled 0', 'no image has a label'),
    'Muon for pieces of a matrix': ('train tiny --out run --optim.optimizer muon --run.fsdp', 'FSDP2 cuts'),
    'writing below a file': ('train tiny --out file/run', 'file'),
}

@pytest.mark.parametrize('mistake', mistakes)
def test_mistake(mistake, urepa, tmp_path):
    words, named = mistakes[mistake]
    (tmp_path/'file').write_text('not a folder')
    told = complaint(urepa(*words.split()))
    assert named in told, f'{named!r} is not in: {told}'
    assert not (tmp_path/'run').exists(), 'a run folder was left behind'

@pytest.fixture(scope='module')
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp('made')
    done = command('train', 'tiny', '--out', 'run', cwd=folder).done()
    assert done.returncode==0, done.stderr[-4000:]
    return folder/'run'

@pytest.fixture
def trained(made, tmp_path): return shutil.copytree(made, tmp_path/'run')

def test_train_sample_evaluate_report(urepa, trained, tmp_path):
    assert (trained/'config.json').exists() and (trained/'versions.json').exists()
    log = [json.loads(o) for o in (trained/'log.jsonl').read_text().splitlines()]
    assert log[-1]['step']==20 and {'velocity', 'token', 'manifold'}<=log[-1].keys()
    urepa.good('sample', 'run', '--count', '60', '--steps', '2', '--out', 'images.npz')
    urepa.good('sample', 'run', '--count', '20', '--steps', '2', '--out', 'images')
    images = np.load(tmp_path/'images.npz', allow_pickle=False)['arr_0']
    assert images.dtype==np.uint8 and images.shape[:3]==(60, 32, 32) and images.std()>0
    assert len(list((tmp_path/'images').glob('*.png')))==20
    assert 'real images' in urepa.good('evaluate', 'images.npz')
    urepa.good('report', 'run')
    assert (trained/'report.html').stat().st_size>1000

def test_a_damaged_checkpoint_is_named(urepa, trained):
    newest = sorted((trained/'checkpoints').iterdir())[-1]
    for o in newest.rglob('*.safetensors'): o.write_bytes(o.read_bytes()[:-100])
    done = urepa('sample', 'run', '--count', '4', '--steps', '1', '--step', '20', '--out', 'images.npz')
    assert newest.name in complaint(done)

def test_resuming_another_run_is_refused(urepa, trained):
    assert 'model.width' in complaint(urepa('train', 'tiny', '--out', 'run', '--resume', '--model.width', '64'))

def test_starting_over_a_run_is_refused(urepa, trained):
    assert '--resume' in complaint(urepa('train', 'tiny', '--out', 'run'))

def test_full_disk(urepa, tmp_path):
    words = 'train', 'tiny', '--out', 'run', '--align.weight', '0'
    complaint(command(*words, cwd=tmp_path, env=urepa.env, function=on_a_full_disk).done())
    assert not list((tmp_path/'run').glob('checkpoints/*')), 'half a checkpoint was left behind'

def steps_logged(folder):
    log = folder/'log.jsonl'
    return len(log.read_text().splitlines()) if log.exists() else 0

def stopped(urepa, folder, after, how, *words):
    "A command that trains in `folder`, stopped once so many steps are logged."
    process = subprocess.Popen([scripts/'urepa', *words, '--out', folder.name], cwd=folder.parent, env=urepa.env,
                               stderr=subprocess.PIPE, text=True)
    while steps_logged(folder)<after and process.poll() is None: time.sleep(.005)
    process.send_signal(how)
    return subprocess.CompletedProcess([], process.wait(60), '', process.stderr.read())

def held(folder):
    "The last checkpoint's tensors by checksum, and the log without its clock."
    newest = sorted((folder/'checkpoints').iterdir())[-1]
    log = [{k:v for k,v in json.loads(o).items() if k!='seconds'}
           for o in (folder/'log.jsonl').read_text().splitlines()]
    return newest.name, {str(o.relative_to(newest)):sha256(o.read_bytes()).hexdigest()
                         for o in newest.rglob('*.safetensors')}, log

def test_resume_equals_never_having_stopped(urepa, tmp_path):
    "Stopped at random steps, by Ctrl-C and by SIGKILL, and continued: the same weights, optimizer, log, bit for bit."
    words = ['train', 'tiny', '--optim.steps', '60', '--run.save-every', '13', '--run.log-every', '1']
    urepa.good(*words, '--out', 'whole')
    for how in (signal.SIGINT, signal.SIGKILL):
        folder, stop = tmp_path/how.name, random.randrange(5, 45)
        done = stopped(urepa, folder, stop, how, *words)
        if how==signal.SIGINT: assert '--resume' in complaint(done, 130)
        else:
            assert done.returncode==-signal.SIGKILL, done.stderr[-2000:]
        assert steps_logged(folder)<60
        urepa.good(*words, '--out', how.name, '--resume')
        assert held(folder)==held(tmp_path/'whole'), f'stopped by {how.name} after step {stop}'

def test_demo(urepa, tmp_path):
    "Stopped, and called again."
    words = ['demo', '--train-steps', '20', '--count', '50']
    told = complaint(stopped(urepa, tmp_path/'demo', 1, signal.SIGINT, *words), 130)
    assert told.endswith('repeat the command to continue'), told
    urepa.good(*words, '--out', 'demo')
    page = (tmp_path/'demo'/'report.html').read_text(encoding='utf-8')
    assert 'data:image/png;base64,' in page, 'the report needs files beside it'
    assert not [o for o in ('src="http', "src='http", '<link') if o in page], 'the report needs files beside it'

wider = """
from urepa import UNet
from urepa.training.build import build as usual

def net(config): return UNet(**dict(config.model.sizes, width=64))
def build(config, **options): return usual(config, net=net, **options)
"""

def test_a_network_of_ones_own(urepa, tmp_path):
    "Trained, sampled and described, with the file kept in the run folder."
    (tmp_path/'wider.py').write_text(wider)
    urepa.good('train', 'tiny', '--optim.steps', '5', '--build', 'wider.py', '--out', 'run')
    (tmp_path/'wider.py').rename(tmp_path/'moved.py')
    urepa.good('sample', 'run', '--count', '4', '--steps', '1', '--out', 'images.npz')
    assert urepa.good('info', 'tiny', '--build', 'moved.py')!=urepa.good('info', 'tiny')
