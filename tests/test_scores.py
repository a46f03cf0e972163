"From a run to a table row: drawn by two processes and killed once, scored, compared, exported."
import json
import os
import shutil
import subprocess
import sys
import time
from hashlib import sha256

import numpy as np
import pytest
from checkout import read_pages
from forks import Ranks
from PIL import Image


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    "Two seeds of a run, and a file in the layout of Inception's weights with random numbers."
    from urepa.config import preset, replace_fields
    from urepa.score.features import random_inception
    from urepa.training.train import train
    folder = tmp_path_factory.mktemp('made')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('UREPA_CACHE', str(folder/'cache'))
        for seed in (0, 1): train(replace_fields(preset('tiny'), {'run.seed':seed}), folder/f'run-{seed}', show=False)
    random_inception(folder/'inception.pth')
    return folder

@pytest.fixture
def urepa(tmp_path, monkeypatch, capsys):
    "The command, in this process; `urepa.refused` for what it must not do."
    from urepa.app.cli import main
    monkeypatch.chdir(tmp_path)
    def call(*words):
        main([str(o) for o in words])
        return capsys.readouterr().out
    def refused(*words):
        with pytest.raises(SystemExit) as stop: main([str(o) for o in words])
        told = capsys.readouterr().err
        assert stop.value.code in (1, 2) and 'Traceback' not in told, told[-3000:]
        return told.splitlines()[-1]
    call.refused = refused
    return call

def digest(path): return sha256(path.read_bytes()).hexdigest()

def killed_once(words, folder):
    "A set that two processes draw, killed after the first block and continued with another batch size."
    ranks = Ranks(2, *words, '--batch-size', 32, '--out', 'two.npz', cwd=folder)
    parts = folder/'two.npz.parts'
    while not list(parts.glob('*.npy')) and not ranks.ended(): time.sleep(.01)
    ranks.kill()
    assert list(parts.glob('*.npy')) and not (folder/'two.npz').exists(), ranks.done().stderr[-4000:]
    done = Ranks(2, *words, '--batch-size', 100, '--out', 'two.npz', cwd=folder).done()
    assert done.returncode==0 and 'process 1 of 2' in done.stderr, done.stderr[-4000:]
    assert not parts.exists()

def test_from_a_run_to_a_table(urepa, made, tmp_path):
    "Drawn by two processes and killed once, scored by embedded nets and by Inception's code with random weights."
    def words(seed):
        return ['sample', made/f'run-{seed}', '--count', 66, '--steps', 40, '--solver', 'euler_maruyama', '--guidance',
                1.5, '--interval', 0, .7, '--labels', 'random']
    killed_once(words(0), tmp_path)
    urepa(*words(0), '--out', 'one.npz')
    assert digest(tmp_path/'one.npz')==digest(tmp_path/'two.npz')
    urepa(*words(1), '--out', 'other.npz')
    for name in ('two', 'other'):
        told = urepa('evaluate', f'{name}.npz', '--out', f'{name}-fashion.json')
        for what in ('Fréchet distance, autoencoder', 'kernel distance', 'biased', 'real images'):
            assert what in told, told
    inception = ['--features', 'inception', '--weights', made/'inception.pth']
    np.savez(tmp_path/'real.npz', arr_0=np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8))
    urepa('evaluate', 'real.npz', *inception, '--statistics', 'statistics.npz')
    held = np.load(tmp_path/'statistics.npz', allow_pickle=False)
    assert held['mu'].shape==(2048,) and held['sigma_s'].shape==(2023, 2023) and held['arr_0'].shape==(12, 32, 32, 3)
    urepa('sample', made/'run-0', '--count', 12, '--steps', 2, '--out', 'few.npz')
    told = urepa('evaluate', 'few.npz', *inception, '--reference', 'statistics.npz', '--out', 'few-inception.json')
    for name in ('FID', 'sFID', 'KID', 'Inception score', 'precision', 'recall'):
        assert f'{name}, inception' in told, told
    told = urepa('compare', 'two-fashion.json', 'other-fashion.json', '--out', 'compare.png')
    assert '| 2 |' in told and '±' in told
    assert (tmp_path/'compare.md').exists() and Image.open(tmp_path/'compare.png').size[0]>300
    assert 'FID, inception' in urepa('compare', 'few-inception.json', '--out', 'inception.png')
    np.savez(tmp_path/'large.npz', arr_0=np.zeros((5, 64, 64, 3), np.uint8))
    assert 'one resolution' in urepa.refused('evaluate', 'large.npz', *inception, '--reference', 'real.npz')
    check_records(made, tmp_path)

def check_records(made, folder):
    "All that is needed to repeat a number stands beside it."
    result, scored = [json.loads((folder/o).read_text()) for o in ('two-fashion.json', 'few-inception.json')]
    record = result['samples']['made']
    how = dict(solver='euler_maruyama', steps=40, guidance=1.5, interval=[0, .7], labels='random')
    assert result['count']==66 and how.items()<=record['sampling'].items()
    assert 'generator' in record['seed_rule'] and record['decoder']['name']=='pixels'
    assert result['reference']['checksum'] and len(result['features'])==2 and result['provenance']['versions']['torch']
    assert scored['features']['inception']==digest(made/'inception.pth')
    assert min(scored['inception']['frechet'], scored['inception']['floor']['frechet'])>0
    assert scored['reference']==dict(source='statistics.npz', count=12, checksum=digest(folder/'statistics.npz'))
    assert scored['samples']['checksum']==digest(folder/'few.npz')

def test_forms_of_a_set(urepa, made, tmp_path):
    "An array and a folder of PNG files hold the same images and labels."
    words = ['sample', made/'run-0', '--count', 40, '--steps', 2, '--labels', 'random']
    urepa(*words, '--out', 'a.npz')
    urepa(*words, '--batch-size', 7, '--out', 'pngs')
    whole = np.load(tmp_path/'a.npz', allow_pickle=False)
    assert whole['arr_0'].shape==(40, 32, 32, 1)
    assert whole['arr_1'].tolist()==json.loads((tmp_path/'pngs'/'labels.json').read_text())
    for i in range(40): assert (np.asarray(Image.open(tmp_path/'pngs'/f'{i:06d}.png'))==whole['arr_0'][i,:,:,0]).all()

def test_exported_pipeline(urepa, made, tmp_path):
    "The folder, a fresh process, diffusers and the package: the images of `urepa sample`."
    urepa('export', made/'run-0', '--out', 'model')
    urepa('sample', made/'run-0', '--count', 12, '--steps', 4, '--guidance', 1.65, '--interval', 0, .7, '--out',
          'a.npz')
    code = """
import numpy as np
{opened}
from urepa.flow.sample import image_generators
labels, generator = [i%10 for i in range(12)], image_generators(0, range(12))
guidance = dict(guidance_scale=1.65, guidance_interval=(0, .7))
images = pipe(class_labels=labels, num_inference_steps=4, solver='heun', generator=generator, **guidance).images
assert (np.load('a.npz')['arr_0'][...,0]==np.stack([np.asarray(o) for o in images])).all()
"""
    ours = "from urepa import UREPAPipeline; pipe = UREPAPipeline.from_pretrained('model')" # none of the folder's code
    theirs = "from diffusers import DiffusionPipeline as P; pipe = P.from_pretrained('model', trust_remote_code=True)"
    for opened, runs in ((ours, False), (theirs, True)):
        subprocess.run([sys.executable, '-c', code.format(opened=opened)], check=True, cwd=tmp_path, timeout=300,
                       env=dict(os.environ, HF_MODULES_CACHE=str(tmp_path/'modules')))
        assert (tmp_path/'modules').exists()==runs
    assert 'already exists' in urepa.refused('export', made/'run-0', '--out', 'model')
    for words, n in (((), 5000), (('--count', 20), 20)):
        assert f'urepa sample model --count {n} --out samples.npz' in urepa.refused('evaluate', 'model', *words)

def test_adms_published_numbers_have_a_road(made, tmp_path, monkeypatch):
    "The function that repeats them, on small files of ADM's form and random weights: fetches, scores, names."
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    from urepa.score import evaluate
    from urepa.score.features import Inception
    page = next(o for o in read_pages() if o.name=='score/62_evaluate')
    cell = next(o for o in page.code if 'def adm_scores' in o)
    assert [o for o in page.code if o.startswith('#| net') and 'adm_scores(' in o and 'published' in o]
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path))
    (tmp_path/'checkpoints').mkdir()
    shutil.copy(made/'inception.pth', tmp_path/'checkpoints'/URL_INCEPTION_V3.split('/')[-1])
    rng, fetched = np.random.default_rng(0), []
    def fetch(address, path):
        fetched.append(address.split('/')[-1])
        arrays = dict(mu=np.zeros(2048), sigma=np.eye(2048), mu_s=np.zeros(2023), sigma_s=np.eye(2023))
        if 'VIRTUAL' not in path.name: arrays = {}
        np.savez(path, arr_0=rng.integers(0, 256, (8, 16, 16, 3), dtype=np.uint8), **arrays)
    names = dict(vars(evaluate), Inception=Inception)
    exec(cell, names)
    scores = names['adm_scores'](fetch)
    assert len(fetched)==2 and names['published'].keys()<=scores.keys(), scores
    assert all(np.isfinite(scores[k]) for k in names['published']), scores

mistakes = {
    'interval reversed': ('sample RUN --count 4 --steps 1 --guidance 2 --interval .7 0 --out x.npz',
                          'the smaller first'),
    'unknown labels': ('sample RUN --count 4 --steps 1 --labels cats --out x.npz', 'balanced'),
    'label out of range': ('sample RUN --count 4 --steps 1 --labels 11 --out x.npz', 'out of range'),
    'no images': ('sample RUN --count 0 --out x.npz', '0 images'),
    'no average': ('sample bare --count 4 --steps 1 --step 20 --out x.npz',
                   'ema/config.json is missing'),
    'writing over something': ('sample RUN --count 4 --steps 1 --out floats.npz', 'already exists'),
    'floats': ('evaluate floats.npz', 'uint8'),
    'wrong shape': ('evaluate flat.npz', 'shape'),
    'truncated': ('evaluate cut.npz', 'truncated'),
    'mixed sizes': ('evaluate mixed', '1.png'),
    'alpha': ('evaluate alpha', 'RGBA'),
    'foreign files': ('evaluate foreign', 'notes.txt'),
    'too few': ('evaluate few.npz', 'at least 4'),
    'embedded nets want 32': ('evaluate sixty.npz', '64'),
    'no such weights': ('evaluate few.npz --features dinov2 --weights none.pth', 'give the file with the weights'),
    'nothing to compare': ('compare few.npz', 'is not valid JSON'),
    'no scores to compare': ('compare labels.json', 'holds no scores'),
    'labels that are none': ('sample RUN --count 4 --steps 1 --labels "" --out x.npz', 'balanced'),
    'negative label': ('sample RUN --count 4 --steps 1 --labels=-1 --out x.npz', 'balanced'),
    'guidance without labels': ('sample plain --count 4 --steps 1 --guidance 2 --out x.npz', 'without labels'),
    'reference of another net': ('evaluate grey.npz --reference other.npz', 'made with the net'),
    'reference of other features': ('evaluate grey.npz --reference wide.npz', 'wide.npz holds mu of width 5'),
    'reference of another resolution': ('evaluate grey.npz --reference sixty.npz', 'one resolution'),
    'exporting no run': ('export nowhere --out model', 'is not a run folder'),
    'no reference': ('evaluate grey.npz --reference nowhere.npz', 'does not exist'),
    'record of the samples': ('evaluate grey.npz --out grey.json', 'is the record of grey.npz'),
    'no covariance': ('evaluate grey.npz --reference half.npz', 'half.npz holds no statistics'),
    'mean that is text': ('evaluate grey.npz --reference text.npz', 'text.npz holds no statistics'),
    'mean that is NaN': ('evaluate grey.npz --reference nan.npz', 'nan.npz holds no statistics'),
    'flipped byte': ('evaluate grey.npz --reference flipped.npz', 'flipped.npz cannot be read'),
    'labels that are text': ('evaluate named.npz', 'arr_1 is'),
    'labels on two axes': ('evaluate tall.npz', 'arr_1 is'),
    'truncated picture': ('evaluate torn', '2.png cannot be read'),
    'sampling options for a file': ('evaluate grey.npz --steps 3', 'nothing to act on'),
    'a count for a file': ('evaluate grey.npz --count 3', 'nothing to act on'),
    'no steps': ('sample RUN --count 4 --steps 0 --out x.npz', 'steps is 0'),
    'last step before the first': ('sample RUN --count 4 --last-step 2 --out x.npz', 'last_step is 2'),
    'no shift': ('sample RUN --count 4 --shift 0 --out x', 'shift is 0.0'),
    'batches of nothing': ('sample RUN --count 4 --batch-size 0 --out x.png', 'batch_size is 0'),
    'guidance that is NaN': ('sample RUN --count 4 --guidance nan --out x.npz', 'guidance is nan'),
    'negative seed': ('sample RUN --count 4 --seed -1 --out x.npz', 'seed is -1'),
    'weak run without guidance': ('sample RUN --count 4 --weak RUN --out x.npz', 'give guidance too'),
    'weak step without a run': ('sample RUN --count 4 --guidance 2 --weak-step 20 --out x.npz', 'give weak too'),
    'an image file that is no PNG': ('sample RUN --count 4 --steps 1 --out x.jpg', 'or a folder for PNG files'),
    'weak run of another kind': ('sample RUN --count 4 --steps 1 --guidance 2 --weak cosine --out x.npz',
                                 'another kind'),
}

def images_to_refuse(folder):
    rng = np.random.default_rng(0)
    def array(*shape): return rng.integers(0, 256, shape, dtype=np.uint8)
    np.savez(folder/'floats.npz', arr_0=rng.random((5, 32, 32, 1)))
    np.savez(folder/'flat.npz', arr_0=array(5, 32, 32))
    np.savez(folder/'grey.npz', arr_0=array(5, 32, 32, 1))
    np.savez(folder/'wide.npz', mu=np.zeros(5), sigma=np.eye(5))
    np.savez(folder/'other.npz', mu=np.zeros(96), sigma=np.eye(96), net='classifier', net_checksum='0'*64)
    good, cov = dict(arr_0=array(5, 32, 32, 1)), np.eye(96)
    statistics = dict(half=dict(mu=np.zeros(96)), text=dict(mu='mean', sigma=cov),
                      nan=dict(mu=np.full(96, np.nan), sigma=cov), flipped=dict(mu=np.zeros(96), sigma=cov))
    labels = dict(named=dict(good, arr_1=['shirt']*5), tall=dict(good, arr_1=np.zeros((5, 1), int)))
    for name, arrays in (statistics|labels).items(): np.savez(folder/f'{name}.npz', **arrays)
    flipped = bytearray((folder/'flipped.npz').read_bytes())
    flipped[600] ^= 1
    (folder/'flipped.npz').write_bytes(flipped)
    (folder/'labels.json').write_text('{}')
    np.savez(folder/'few.npz', arr_0=array(1, 32, 32, 1))
    np.savez(folder/'sixty.npz', arr_0=array(5, 64, 64, 3))
    np.savez(folder/'cut.npz', arr_0=array(5, 32, 32, 1))
    (folder/'cut.npz').write_bytes((folder/'cut.npz').read_bytes()[:2000])
    for name, arrays in dict(mixed=[array(size, size) for size in (32, 16, 32, 32)], alpha=(array(32, 32, 4),),
                             foreign=(array(32, 32),), torn=[array(32, 32)]*5).items():
        (folder/name).mkdir()
        for i,o in enumerate(arrays): Image.fromarray(o).save(folder/name/f'{i}.png')
    (folder/'foreign'/'notes.txt').write_text('mine')
    (folder/'torn'/'2.png').write_bytes((folder/'torn'/'2.png').read_bytes()[:300])

@pytest.mark.parametrize('mistake', mistakes)
def test_mistake(mistake, urepa, made, tmp_path):
    words, named = mistakes[mistake]
    images_to_refuse(tmp_path)
    for name, changes in dict(bare={}, plain=dict(data=dict(labelled=0.)),
                              cosine=dict(optim=dict(path='cosine'))).items():
        shutil.copytree(made/'run-0', tmp_path/name)
        config = json.loads((tmp_path/name/'config.json').read_text())
        (tmp_path/name/'config.json').write_text(json.dumps({**config,
                                                             **{k:{**config[k], **v} for k,v in changes.items()}}))
    for o in (tmp_path/'bare').rglob('ema'): shutil.rmtree(o)
    told = urepa.refused(*[made/'run-0' if o=='RUN' else o for o in words.split()])
    assert named in told, f'{named!r} is not in: {told}'
    assert not [*tmp_path.glob('x*'), *tmp_path.glob('model*')]

def test_weights_that_are_not_numbers(urepa, made, tmp_path):
    import torch
    broken = torch.load(made/'inception.pth', weights_only=True)
    broken['Conv2d_1a_3x3.conv.weight'][0] = torch.nan
    torch.save(broken, tmp_path/'broken.pth')
    np.savez(tmp_path/'grey.npz', arr_0=np.zeros((5, 32, 32, 1), np.uint8))
    told = urepa.refused('evaluate', 'grey.npz', '--reference', 'grey.npz', '--features', 'inception', '--weights',
                         'broken.pth', '--out', 'x.json')
    assert 'image 0 of grey.npz are not finite' in told and 'check the weights' in told
    assert not (tmp_path/'x.json').exists()

def same_numbers(a, b, where=''):
    "Equal, and numbers to nine digits: sums over processes are in another order."
    if isinstance(a, dict):
        assert a.keys()==b.keys(), where
        for k in a: same_numbers(a[k], b[k], f'{where}.{k}')
    elif isinstance(a, float): assert a==pytest.approx(b, rel=1e-9, abs=1e-9), where
    else: assert a==b, where

def test_scores_from_two_processes(urepa, made, tmp_path):
    "A run, drawn and scored by one process and by two, which also share the reference."
    np.savez(tmp_path/'real.npz', arr_0=np.random.default_rng(0).integers(0, 256, (100, 32, 32, 1), dtype=np.uint8))
    shutil.copytree(made/'run-0', tmp_path/'run')
    words = ['evaluate', 'run', '--count', 66, '--steps', 2, '--guidance', 1.5, '--interval', 0, .7, '--reference',
             'real.npz', '--subset', 50]
    urepa(*words, '--out', '1.json')
    done = Ranks(2, *words, '--out', '2.json', cwd=tmp_path).done()
    assert done.returncode==0 and done.stdout.count('precision, autoencoder')==1, done.stderr[-4000:]
    one, two = [{k:v for k,v in json.loads((tmp_path/f'{i}.json').read_text()).items() if k!='provenance'}
                for i in (1, 2)]
    same_numbers(one, two)
    scores = json.loads((tmp_path/'run'/'results.json').read_text())['scores']
    assert len(scores)==1 and scores[0]['sampling']['interval']==[0, .7]
    assert (scores[0]['count'], scores[0]['keep'])==(66, 50)
    assert one['reference']['count']==100 and one['compared']==dict(samples=66, reference=50)
    assert one['classifier']['floor']['count']==25 and one['classifier']['floor']['compared']['reference']==25
    assert one['classifier']['bias'] is None # fewer than two images for each feature

def test_latents_as_images(urepa, made, tmp_path):
    "A run in the latents of a small autoencoder: the same file for any batch size, and from the exported folder."
    import torch
    from diffusers import AutoencoderKL
    torch.manual_seed(0)
    AutoencoderKL(in_channels=1, out_channels=1, latent_channels=1, block_out_channels=(8, 8), norm_num_groups=4,
                  scaling_factor=.5, down_block_types=['DownEncoderBlock2D']*2,
                  up_block_types=['UpDecoderBlock2D']*2).save_pretrained(tmp_path/'vae')
    run = shutil.copytree(made/'run-0', tmp_path/'run')
    config = json.loads((run/'config.json').read_text())
    config['data'] |= dict(codec=str(tmp_path/'vae'), scale=[.5], bias=[0.])
    (run/'config.json').write_text(json.dumps(config))
    for size in (32, 64, 96):
        urepa('sample', run, '--count', 100, '--steps', 1, '--batch-size', size, '--out', f'{size}.npz')
    assert np.load(tmp_path/'32.npz')['arr_0'].shape==(100, 64, 64, 1)
    assert len({digest(tmp_path/f'{size}.npz') for size in (32, 64, 96)})==1
    urepa('export', run, '--out', 'model')
    shutil.rmtree(tmp_path/'vae') # the folder brings its own
    urepa('sample', 'model', '--count', 100, '--steps', 1, '--out', 'model.npz')
    assert digest(tmp_path/'model.npz')==digest(tmp_path/'32.npz')
    from urepa.app.pipeline import UREPAPipeline
    from urepa.flow.sample import image_generators
    pipe, labels = UREPAPipeline.from_pretrained(tmp_path/'model'), [i%10 for i in range(4)]
    generator = image_generators(0, range(4))
    images = pipe(class_labels=labels, num_inference_steps=1, generator=generator).images
    assert (np.stack([np.asarray(o) for o in images])==np.load(tmp_path/'32.npz')['arr_0'][:4,...,0]).all()

def test_a_published_network(urepa, tmp_path):
    "A file in the layout of SiT's becomes a run: drawn from, exported, and not trained further."
    import torch
    layers = {'t_embedder.mlp.0': (8, 256), 't_embedder.mlp.2': (8, 8), 'final_layer.linear': (24, 8),
              'final_layer.adaLN_modulation.1': (16, 8), 'x_embedder.proj': (8, 3, 2, 2), 'blocks.0.attn.qkv': (24, 8),
              'blocks.0.attn.proj': (8, 8), 'blocks.0.mlp.fc1': (32, 8), 'blocks.0.mlp.fc2': (8, 32),
              'blocks.0.adaLN_modulation.1': (48, 8)}
    shapes = {f'{k}.weight': o for k,o in layers.items()} | {f'{k}.bias': o[:1] for k,o in layers.items()}
    shapes |= {'y_embedder.embedding_table.weight': (4, 8), 'pos_embed': (1, 16, 8)}
    torch.manual_seed(0)
    torch.save({k: torch.randn(o)/4 for k,o in shapes.items()}, tmp_path/'sit.pt')
    assert 'heads' in urepa.refused('import', 'sit.pt', '--out', 'sit')
    urepa('import', 'sit.pt', '--out', 'sit', '--heads', 2)
    urepa('export', 'sit', '--out', 'model')
    for folder in ('sit', 'model'): urepa('sample', folder, '--count', 4, '--steps', 2, '--out', f'{folder}.npz')
    images = np.load(tmp_path/'sit.npz')['arr_0']
    assert images.shape==(4, 8, 8, 3) and images.std()>5
    assert digest(tmp_path/'sit.npz')==digest(tmp_path/'model.npz')
    assert 'another run' in urepa.refused('train', '--config', 'sit', '--out', 'sit', '--resume', '--optim.steps', 10)

def test_more_processes_than_images(made, tmp_path):
    done = Ranks(3, 'sample', made/'run-0', '--count', 2, '--steps', 1, '--out', 'x.npz', cwd=tmp_path).done()
    assert done.returncode and 'no more processes than there are images' in done.stderr
    assert not (tmp_path/'x.npz').exists()

@pytest.mark.parametrize('fields', [{}, {'optim.prediction':'data'}, {'data.labelled':0.}])
def test_a_seed_names_the_same_images_everywhere(fields, urepa, tmp_path):
    "Of `urepa sample`, of a call of the pipeline and of a report, each with its defaults, also past one pass of rows."
    from urepa import UREPAPipeline, draw
    from urepa.config import preset, replace_fields
    from urepa.training.train import train
    run = train(replace_fields(preset('tiny'), {'optim.steps':2, **fields}), tmp_path/'run', show=False)
    urepa('sample', run, '--seed', 3, '--count', 40, '--out', 'a.npz')
    drawn = np.load('a.npz')['arr_0'][...,0]
    urepa('export', run, '--out', 'model')
    pipe = UREPAPipeline.from_pretrained('model')
    pipe.set_progress_bar_config(disable=True)
    labels = [i%10 for i in range(40)] if fields.get('data.labelled', 1) else [10]*40
    piped = np.stack([np.asarray(o) for o in pipe(class_labels=labels, seed=3).images])
    assert (piped==drawn).all()
    assert (draw(run, 40, seed=3)[0][:,0].numpy()==drawn).all()

def test_statistics_of_photographs(urepa, made, tmp_path):
    "Cut as prepare cuts, whatever their size; a store serves as well, cut already."
    from urepa.data.images import load_image
    rng = np.random.default_rng(0)
    (tmp_path/'photos').mkdir()
    for k in range(6): Image.fromarray(rng.integers(0, 256, (50+9*k, 90, 3), np.uint8)).save(f'photos/{k}.png')
    inception = ['--features', 'inception', '--weights', made/'inception.pth', '--statistics', 'statistics.npz']
    for size in ('40', '32x48'):
        urepa('evaluate', 'photos', *inception, '--size', size)
        held = np.load('statistics.npz')
        sides = tuple(map(int, size.split('x')))*(1 if 'x' in size else 2)
        wanted = [load_image(lambda: Image.open(f'photos/{k}.png'), sides).movedim(0, -1).numpy() for k in range(6)]
        assert (held['arr_0']==np.stack(wanted)).all() and held['n']==6
    assert 'leave it out' in urepa.refused('evaluate', 'photos', '--size', 40, '--reference', 'photos')
    assert '--statistics, --size 256' in urepa.refused('evaluate', 'photos', *inception)
    assert '--size' in urepa.refused('evaluate', 'photos', *inception, '--size', 0)
