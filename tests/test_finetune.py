"Fine-tuning as a command: images with captions, one process and two, and what diffusers loads."
import os

import pytest
import torch
from forks import Ranks, command
from PIL import Image
from safetensors.torch import load_file

from urepa.data.texts import quiet_libraries, random_pipeline

options = ('--teacher embedded --hidden 16 --lora 2 --lr 0.01 --steps 4 --batch-size 4 --save-every 2 --log-every 2 '
           '--device cpu').split()

@pytest.fixture(scope='module')
def place(tmp_path_factory):
    "A pipeline of Stable Diffusion XL's shape, and eight images with texts beside them."
    folder = tmp_path_factory.mktemp('finetune')
    random_pipeline(folder/'pipeline', xl=True)
    (folder/'images').mkdir()
    for k in range(8):
        Image.new('RGB', (40, 32), (30*k, 90, 200-20*k)).save(folder/'images'/f'{k}.png')
        (folder/'images'/f'{k}.txt').write_text(f'colour number {k}')
    return folder

def words(out, *more): return ['finetune', 'pipeline', '--out', out, *options, *more]

def adapters(folder): return load_file(folder/'lora'/'pytorch_lora_weights.safetensors')

def test_command(place):
    alone = dict(os.environ, OMP_NUM_THREADS='1')
    done = command(*words('one', '--images', 'images'), cwd=place, env=alone).done()
    assert done.returncode==0, done.stderr[-3000:]
    assert "load_lora_weights('one/lora')" in done.stdout
    again = [command(*words('one', *more), cwd=place, env=alone) for more in (
        ['--images', 'images'], ['--data', 'one/store', '--resume', '--seed', '1'], [], ['--data', 'images'])]
    sentences = 'pass --resume to continue', 'seed was 0 and is now 1', 'with --images, or a store', 'pass --resume'
    for o, sentence in zip(again, sentences, strict=True):
        failed = o.done()
        assert failed.returncode==1 and sentence in failed.stderr, failed.stderr
    both = Ranks(2, *words('two', '--data', 'one/store', '--grad-accum', '2'), cwd=place, env=alone).done()
    assert both.returncode==0, both.stderr[-3000:]
    first, second = (adapters(place/o) for o in ('one', 'two'))
    assert first.keys()==second.keys() and any(v.any() for k, v in first.items() if 'lora_B' in k or 'lora.up' in k)
    for k, v in first.items(): assert torch.allclose(v, second[k], atol=1e-4), k
    from diffusers import DiffusionPipeline
    with quiet_libraries():
        pipe = DiffusionPipeline.from_pretrained(place/'pipeline')
        pipe.load_lora_weights(place/'one'/'lora')
        drawn = pipe('colour number 3', num_inference_steps=2, height=32, width=32, output_type='np').images
    assert drawn.shape==(1, 32, 32, 3)
