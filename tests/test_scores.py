"From a run to a table row: drawn by two processes and killed once, scored by embedded nets and by Inception's code, compared, exported."
import json, os, shutil, signal, subprocess, sys, time
from hashlib import sha256
import numpy as np
import pytest
from PIL import Image
from checkout import scripts

@pytest.fixture(scope='module')
def made(tmp_path_factory):
    "Two seeds of a run, and a file in the layout of Inception's weights with random numbers."
    from urepa.config import preset, replace_fields
    from urepa.features import random_inception
    from urepa.train import train
    folder = tmp_path_factory.mktemp('made')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('UREPA_CACHE', str(folder/'cache'))
        for seed in (0, 1): train(replace_fields(preset('tiny'), {'run.seed':seed}), folder/f'run-{seed}', show=False)
    random_inception(folder/'inception.pth')
    return folder

@pytest.fixture
def urepa(tmp_path, monkeypatch, capsys):
    "The command, in this process; `urepa.refused` for what it must not do."
    from urepa.cli import main
    monkeypatch.chdir(tmp_path)
    def call(*words):
        main([str(o) for o in words])
        return capsys.readouterr().out
    def refused(*words):
        with pytest.raises(SystemExit) as stop: main([str(o) for o in words])
        told = capsys.readouterr().err
        assert stop.value.code==1 and 'Traceback' not in told, told[-3000:]
        return told.splitlines()[-1]
    call.refused = refused
    return call

def torchrun(n, *words, **kwargs):
    "The command as n processes on the CPU."
    command = [scripts/'torchrun', '--standalone', '--nproc_per_node', n, '--no-python', '--', scripts/'urepa', *words]
    env = dict(os.environ, OMP_NUM_THREADS='1')
    return subprocess.Popen([str(o) for o in command], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, **kwargs)

def digest(path): return sha256(path.read_bytes()).hexdigest()

def test_two_processes_killed_once_draw_the_same_bytes(urepa, made, tmp_path):
    words = ['sample', made/'run-0', '--n', 300, '--steps', 20, '--solver', 'euler_maruyama', '--guidance', 1.5, '--interval', 0, .7, '--labels', 'random']
    process = torchrun(2, *words, '--batch-size', 32, '--out', 'two.npz', cwd=tmp_path)
    parts = tmp_path/'two.npz.parts'
    while not list(parts.glob('*.npy')) and process.poll() is None: time.sleep(.01)
    assert process.poll() is None, process.communicate()[0][-4000:]
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
    assert list(parts.glob('*.npy')) and not (tmp_path/'two.npz').exists()
    process = torchrun(2, *words, '--batch-size', 100, '--out', 'two.npz', cwd=tmp_path)
    told, _ = process.communicate(timeout=500)
    assert process.returncode==0 and 'process 1 of 2' in told, told[-4000:]
    urepa(*words, '--out', 'one.npz')
    assert digest(tmp_path/'one.npz')==digest(tmp_path/'two.npz') and not parts.exists()
    record = json.loads((tmp_path/'two.json').read_text())
    assert record['n']==300 and record['sampling']['labels']=='random' and record['sampling']['interval']==[0, .7]
    urepa(*words, '--batch-size', 7, '--out', 'pngs')
    whole = np.load(tmp_path/'one.npz', allow_pickle=False)
    assert whole['arr_0'].shape==(300, 32, 32, 1) and len(set(whole['arr_1'].tolist()))==10
    for i in (0, 149, 299): assert (np.asarray(Image.open(tmp_path/'pngs'/f'{i:06d}.png'))==whole['arr_0'][i,:,:,0]).all()

def test_evaluate_and_compare(urepa, made, tmp_path):
    for seed in (0, 1):
        urepa('sample', made/f'run-{seed}', '--n', 64, '--steps', 3, '--out', f'{seed}.npz')
        told = urepa('evaluate', f'{seed}.npz', '--out', f'{seed}-fashion.json')
        assert 'Fréchet distance, autoencoder' in told and 'biased' in told and 'real images' in told
    told = urepa('compare', '0-fashion.json', '1-fashion.json', '--out', 'compare.png')
    assert '| 2 |' in told and '±' in told and (tmp_path/'compare.md').exists() and Image.open(tmp_path/'compare.png').size[0]>300
    result = json.loads((tmp_path/'0-fashion.json').read_text())
    record = result['samples']['made']
    assert record['sampling']['steps']==3 and record['decoder']['name']=='pixels' and 'generator' in record['seed_rule'] and record['sampling']['labels']=='balanced'
    assert result['reference']['checksum'] and len(result['features'])==2 and result['provenance']['versions']['torch'] and result['count']==64

def test_inception(urepa, made, tmp_path):
    "torch-fidelity's net and layout, with random weights."
    rng = np.random.default_rng(0)
    for name, low in (('real', 0), ('samples', 60)): np.savez(tmp_path/f'{name}.npz', arr_0=rng.integers(low, 256, (12, 32, 32, 3), dtype=np.uint8))
    words = ['--features', 'inception', '--weights', made/'inception.pth']
    urepa('evaluate', 'real.npz', *words, '--statistics', 'statistics.npz')
    held = np.load(tmp_path/'statistics.npz', allow_pickle=False)
    assert held['mu'].shape==(2048,) and held['sigma_s'].shape==(2023, 2023) and held['arr_0'].shape==(12, 32, 32, 3)
    told = urepa('evaluate', 'samples.npz', *words, '--reference', 'real.npz', '--out', 'result.json')
    for name in ('FID', 'sFID', 'KID', 'Inception score', 'precision', 'recall'): assert f'{name}, inception' in told, told
    result = json.loads((tmp_path/'result.json').read_text())
    assert result['features']['inception']==digest(made/'inception.pth') and result['inception']['frechet']>result['inception']['floor']['frechet']>0
    assert 'FID, inception' in urepa('compare', 'result.json', '--out', 'compare.png')
    np.savez(tmp_path/'large.npz', arr_0=np.zeros((5, 64, 64, 3), np.uint8))
    assert 'one resolution' in urepa.refused('evaluate', 'large.npz', *words, '--reference', 'real.npz')

def test_exported_pipeline(urepa, made, tmp_path):
    "The folder, a fresh process, diffusers and the package: the images of `urepa sample`."
    urepa('export', made/'run-0', '--out', 'model')
    urepa('sample', made/'run-0', '--n', 12, '--steps', 4, '--guidance', 1.65, '--interval', 0, .7, '--out', 'a.npz')
    code = """
import numpy as np
from urepa.pipeline import UREPAPipeline
from urepa.sample import image_generators
pipe = UREPAPipeline.from_pretrained('model')
images = pipe(class_labels=[i%10 for i in range(12)], guidance_scale=1.65, guidance_interval=(0, .7), num_inference_steps=4, solver='heun', generator=image_generators(0, range(12))).images
assert (np.load('a.npz')['arr_0'][...,0]==np.stack([np.asarray(o) for o in images])).all()
"""
    subprocess.run([sys.executable, '-c', code], check=True, cwd=tmp_path, timeout=300)
    assert 'already exists' in urepa.refused('export', made/'run-0', '--out', 'model')

mistakes = {
    'interval reversed': ('sample RUN --n 4 --steps 1 --guidance 2 --interval .7 0 --out x.npz', 'the smaller first'),
    'unknown labels': ('sample RUN --n 4 --steps 1 --labels cats --out x.npz', 'balanced'),
    'label out of range': ('sample RUN --n 4 --steps 1 --labels 11 --out x.npz', 'out of range'),
    'no images': ('sample RUN --n 0 --out x.npz', '0 images'),
    'no average': ('sample bare --n 4 --steps 1 --step 20 --out x.npz', 'ema'),
    'writing over something': ('sample RUN --n 4 --steps 1 --out floats.npz', 'already exists'),
    'floats': ('evaluate floats.npz', 'uint8'),
    'wrong shape': ('evaluate flat.npz', 'shape'),
    'truncated': ('evaluate cut.npz', 'truncated'),
    'mixed sizes': ('evaluate mixed', '1.png'),
    'alpha': ('evaluate alpha', 'RGBA'),
    'foreign files': ('evaluate foreign', 'notes.txt'),
    'too few': ('evaluate few.npz', 'at least 4'),
    'embedded nets want 32': ('evaluate sixty.npz', '64'),
    'no such weights': ('evaluate few.npz --features dinov2 --weights none.pth', 'none.pth'),
    'nothing to compare': ('compare few.npz', 'few.npz'),
    'exporting no run': ('export nowhere --out model', 'nowhere'),
}

def images_to_refuse(folder):
    rng = np.random.default_rng(0)
    def array(*shape): return rng.integers(0, 256, shape, dtype=np.uint8)
    np.savez(folder/'floats.npz', arr_0=rng.random((5, 32, 32, 1)))
    np.savez(folder/'flat.npz', arr_0=array(5, 32, 32))
    np.savez(folder/'few.npz', arr_0=array(1, 32, 32, 1))
    np.savez(folder/'sixty.npz', arr_0=array(5, 64, 64, 3))
    np.savez(folder/'cut.npz', arr_0=array(5, 32, 32, 1))
    (folder/'cut.npz').write_bytes((folder/'cut.npz').read_bytes()[:2000])
    for name, arrays in dict(mixed=[array(size, size) for size in (32, 16, 32, 32)], alpha=(array(32, 32, 4),), foreign=(array(32, 32),)).items():
        (folder/name).mkdir()
        for i,o in enumerate(arrays): Image.fromarray(o).save(folder/name/f'{i}.png')
    (folder/'foreign'/'notes.txt').write_text('mine')

@pytest.mark.parametrize('mistake', mistakes)
def test_mistake(mistake, urepa, made, tmp_path):
    words, named = mistakes[mistake]
    images_to_refuse(tmp_path)
    shutil.copytree(made/'run-0', tmp_path/'bare')
    for o in (tmp_path/'bare').rglob('ema'): shutil.rmtree(o)
    told = urepa.refused(*[made/'run-0' if o=='RUN' else o for o in words.split()])
    assert named in told, f'{named!r} is not in: {told}'
    assert not [o for o in ('x.npz', 'x.json', 'model') if (tmp_path/o).exists()]

def test_more_processes_than_images(made, tmp_path):
    process = torchrun(3, 'sample', made/'run-0', '--n', 2, '--steps', 1, '--out', 'x.npz', cwd=tmp_path)
    told, _ = process.communicate(timeout=300)
    assert process.returncode and 'no more processes than there are images' in told and not (tmp_path/'x.npz').exists()
