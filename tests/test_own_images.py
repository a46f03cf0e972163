"`urepa demo --images`: folders as people have them, and one sentence for what is none."
import pytest
import torch
from PIL import Image
from test_commands import complaint
from test_prepare import inside  # noqa: F401

from urepa.core import read_json


def loose(folder, count, size=(32, 32), mode='L', suffix='.png'):
    folder.mkdir(parents=True)
    for k in range(count): Image.new(mode, size, k%256 if mode=='L' else (k%256, 80, 9)).save(folder/f'{k}{suffix}')
    return folder

def spoilt(folder, count):
    folder.mkdir()
    for k in range(count): (folder/f'{k}.jpg').write_bytes(b'\xff\xd8 no picture')

makes = {
    'no folder': (lambda o: None, '', 'does not exist'),
    'an empty folder': (lambda o: o.mkdir(), '', 'holds no images'),
    'three images': (lambda o: loose(o, 3), '', '3 images; a trial'),
    'one image': (lambda o: loose(o, 1), '', '1 image; a trial'),
    'nothing readable': (lambda o: spoilt(o, 120), '', 'not one of 64 images of'),
    'a text in its place': (lambda o: o.write_text('no folder'), '', 'tar'),
    'two splits': (lambda o: [loose(o/s/'cat', 60) for s in ('train', 'val')], '', '--split'),
    'a size between': (lambda o: loose(o, 100), '--size 30', 'give a multiple of 16'),
    'a size beyond': (lambda o: loose(o, 100), '--size 4096', 'give a multiple of 16'),
    'no samples': (lambda o: loose(o, 100), '--count 0', '0 images cannot be scored'),
    'an unknown teacher': (lambda o: loose(o, 100), '--teacher nobody', 'unknown teacher'),
}

@pytest.mark.parametrize('what', makes)
def test_one_sentence(what, inside, tmp_path): # noqa: F811
    make, options, named = makes[what]
    make(tmp_path/'images')
    told = complaint(inside('demo', '--images', 'images', '--out', 'run', *options.split()))
    assert named in told and not (tmp_path/'run'/'config.json').exists(), told

def test_colour_photographs_of_all_sizes(tmp_path, monkeypatch):
    "JPEG files larger than asked for, some broken, classes with one folder each; then a second call from what stands."
    from urepa.app.own_images import own_demo
    from urepa.training.run import Run
    from urepa.training.train import train
    for k, name in enumerate(('hills', 'sea')): loose(tmp_path/'images'/name, 55, (90+60*k, 70), 'RGB', '.jpg')
    (tmp_path/'images'/'sea'/'cut.jpg').write_bytes(b'\xff\xd8')
    def quick(config, out, resume, again): train(config, out, resume, show=False)
    few = dict(steps=2, count=8, learning=dict(judges=1, teacher=1))
    page = own_demo(str(tmp_path/'images'), tmp_path/'run', quick, **few)
    config = Run(tmp_path/'run').config
    assert (config.model.image_size, config.model.patch_size, config.model.n_classes) == (64, 8, 2)
    assert config.model.in_channels==3 and config.data.labelled==1
    assert config.optim.prediction=='data', 'noise of 8×8×3 does not fit through a token'
    assert read_json(tmp_path/'run'/'data'/'training'/'store.json')['skipped']+read_json(
        tmp_path/'run'/'data'/'held-out'/'store.json')['skipped']==1
    assert '1 image could not be read.' in page.read_text(encoding='utf-8')
    scores = Run(tmp_path/'run').scores
    assert 'Drawn by multistep, 12 steps, no guidance, seed 0, as scored below' in page.read_text(encoding='utf-8')
    assert (scores[-1]['sampling']['solver'], scores[-1]['sampling']['steps'])==('multistep', 12)
    monkeypatch.setattr('urepa.app.own_images.write_report', lambda out: page)
    monkeypatch.setattr('urepa.app.own_images.draw', lambda out, count: (torch.zeros(1, 3, 64, 64).byte(), None))
    own_demo(str(tmp_path/'images'), tmp_path/'run', quick, **few)
    assert Run(tmp_path/'run').scores==scores, 'scored twice'
    assert 'aligned with a teacher that learned from the' in page.read_text(encoding='utf-8')
