"Wide and tall images from prepare to the pipeline, and sizes that cannot be."
import json

import numpy as np
import pytest
import torch
from PIL import Image
from test_commands import complaint
from test_prepare import inside  # noqa: F401

from urepa.app.pipeline import UREPAPipeline
from urepa.core import read_json
from urepa.data.store import Store
from urepa.training.run import Run


class Means(torch.nn.Module):
    "A net that judges images of any size: their mean colours by quarters."
    name, checksum, widths = 'means', '0'*16, dict(pool=12)

    def forward(self, images):
        x = torch.nn.functional.adaptive_avg_pool2d(images.float().expand(-1, 3, -1, -1), 2)
        return dict(pool=x.flatten(1)/255)

def pictures(folder, count=16):
    "Wide at the left dark, at the right bright; the cut of 16×32 is known by its halves."
    for k in range(count):
        path = folder/'ab'[k%2]/f'{k}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        array = np.full((40, 64, 3), 20+k, np.uint8)
        array[:,32:] = 220-k
        array[:4] = 0 # cut off
        Image.fromarray(array).save(path)

def test_from_prepare_to_pipeline(inside, tmp_path, monkeypatch): # noqa: F811
    pictures(tmp_path/'images')
    said = inside.good('prepare', '--images', 'images', '--out', 'store', '--codec', 'pixels', '--teacher', 'embedded',
                       '--size', '16x32', '--batch', '4')
    assert said.splitlines()[-1].startswith('train with: urepa train fashion --data store')
    store = Store(tmp_path/'store')
    assert store.meta['recipe']['image_size']==[16, 32] and store.meta['teacher']['grid']==[8, 16]
    rows = store.read(range(16))
    assert rows['moments'].shape==(16, 3, 16, 32) and rows['tokens'].shape==(16, 128, 96)
    assert all(rows['moments'][:,:,:,:15].flatten(1).max(1)[0]<40) and rows['moments'][...,17:].min()>190
    again = inside.good('prepare', '--images', 'images', '--out', 'store', '--codec', 'pixels', '--teacher',
                        'embedded', '--image-size', '16x32', '--batch', '4')
    assert again==said
    inside.good('store', 'show', 'store')
    tiny = ['train', 'tiny', '--data', 'store', '--data.limit', '0', '--optim.batch-size', '4', '--optim.steps', '4',
            '--run.log-every', '1', '--run.sample-every', '4', '--out', 'run']
    inside.good(*tiny)
    run = Run(tmp_path/'run')
    assert run.config.model.image_size==(16, 32) and run.log[-1]['manifold']>0
    sheet = Image.open(next((tmp_path/'run'/'samples').glob('*.png')))
    assert sheet.size==(8*34-2, 8*18-2)
    inside.good('train', '--config', 'run', '--optim.steps', '6', '--resume', '--out', 'run')
    inside.good('sample', 'run', '--count', '9', '--steps', '2', '--out', 'drawn.npz')
    inside.good('sample', 'run', '--count', '4', '--steps', '2', '--out', 'drawn')
    drawn = np.load(tmp_path/'drawn.npz')['arr_0']
    assert drawn.shape==(9, 16, 32, 3) and Image.open(next((tmp_path/'drawn').glob('*.png'))).size==(32, 16)
    monkeypatch.setattr('urepa.score.features.feature_nets', lambda *_, **__: [Means()])
    inside.good('evaluate', 'drawn.npz', '--reference', 'images', '--features', 'inception', '--out', 'a.json')
    inside.good('evaluate', 'drawn.npz', '--reference', 'store', '--features', 'inception', '--out', 'b.json')
    a, b = (read_json(tmp_path/f'{o}.json')['means']['frechet'] for o in 'ab')
    assert a==pytest.approx(b, rel=1e-6) # the reference is cut as prepare cuts
    inside.good('report', 'run')
    inside.good('export', 'run', '--out', 'model')
    assert '3×16×32' in (tmp_path/'model'/'README.md').read_text()
    pipe = UREPAPipeline.from_pretrained(tmp_path/'model')
    made = pipe([0, 1], num_inference_steps=2, output_type='pt', generator=torch.Generator().manual_seed(0)).images
    assert made.shape==(2, 3, 16, 32)
    assert inside.good('sample', 'model', '--count', '9', '--steps', '2', '--out', 'again.npz')
    assert np.array_equal(np.load(tmp_path/'again.npz')['arr_0'], drawn)

few = 'train tiny --data.images images --data.limit 0 --optim.batch-size 4 --out run'
wrong = { # words → what the sentence names
    'a word': ('prepare --images images --out store --size wide', "'wide' is no size"),
    'three sides': ('prepare --images images --out store --size 8x8x8', 'such as 32x64'),
    'no pixels': ('prepare --images images --out store --size 0x8 --codec pixels', '--image-size is 0'),
    'no patches': (f'{few} --model.image-size 16x30', '16×32'),
    'no levels': (f'{few} --model.image-size 12x16', '16×16'),
    'another store': ('train tiny --data store --model.image-size 32 --out run', 'model.image_size is set to 32'),
    'a grid too coarse': ('prepare --images images --out other --size 16x32 --codec pixels '
                          '--teacher vit_tiny_patch16_224 --grid 1x', "'1x' is no size"),
}

@pytest.mark.parametrize('case', wrong)
def test_sizes_that_cannot_be(case, inside, tmp_path): # noqa: F811
    words, told = wrong[case]
    pictures(tmp_path/'images')
    if '--data store' in words:
        inside.good('prepare', '--images', 'images', '--out', 'store', '--codec', 'pixels', '--teacher', 'none',
                    '--size', '16x32')
    assert told in complaint(inside(*words.split()), 2 if 'is no size' in told or 'such as' in told else 1)

def test_a_latent_store_of_tall_images(inside, tmp_path): # noqa: F811
    from diffusers import AutoencoderKL
    torch.manual_seed(0)
    AutoencoderKL(block_out_channels=(8, 8), down_block_types=('DownEncoderBlock2D',)*2, norm_num_groups=4,
                  up_block_types=('UpDecoderBlock2D',)*2, latent_channels=2).save_pretrained(tmp_path/'codec')
    pictures(tmp_path/'images')
    words = ['prepare', '--images', 'images', '--out', 'store', '--codec', 'codec', '--teacher', 'pixels']
    assert '32×16' in complaint(inside(*words, '--size', '31x17'))
    inside.good(*words, '--size', '32x16')
    store = Store(tmp_path/'store')
    assert store.meta['tensors']['moments'][1]==[4, 16, 8] and store.meta['teacher']['grid']==[16, 8]
    inside.good('train', 'tiny', '--data', 'store', '--data.limit', '0', '--optim.batch-size', '4', '--optim.steps',
                '2', '--model.patch-size', '2', '--out', 'run')
    inside.good('sample', 'run', '--count', '2', '--steps', '1', '--out', 'drawn.npz')
    assert np.load(tmp_path/'drawn.npz')['arr_0'].shape==(2, 32, 16, 3)
    direct = ['train', 'tiny', '--data.images', 'images', '--data.limit', '0', '--optim.batch-size', '4',
              '--optim.steps', '1', '--model.image-size', '16x32', '--out', 'direct']
    inside.good(*direct)
    assert json.loads((tmp_path/'direct'/'config.json').read_text())['model']['image_size']==[16, 32]
