"`urepa prepare` from a folder of files to training, and what it makes of bad ones."
import json
import subprocess
import tarfile
import time

import pytest
import torch
from forks import Ranks, command, on_a_full_disk
from PIL import Image
from test_commands import complaint

from urepa.app.cli import main
from urepa.core import read_json, sha256
from urepa.data.images import class_names, fashion
from urepa.data.store import Store


@pytest.fixture
def inside(tmp_path, monkeypatch, capsys):
    "`urepa` within this process: the one sentence of a mistake, or what was printed."
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('UREPA_CACHE', str(tmp_path/'cache'))
    def call(*words):
        code = 0
        try: main(list(words))
        except SystemExit as e: code = e.code
        told = capsys.readouterr()
        return subprocess.CompletedProcess(words, code, told.out, told.err)
    def good(*words):
        done = call(*words)
        assert done.returncode==0, done.stderr
        return done.stdout
    call.good = good
    return call

small = ['--codec', 'pixels', '--teacher', 'embedded', '--image-size', '32', '--grey', '--device', 'cpu']

def garments(folder, count):
    "Files in folders, every third a JPEG; names with spaces and umlauts."
    for k,(image,label) in enumerate(zip(*[o[:count] for o in fashion('train')])):
        path = folder/f'{label} {class_names[label]}'/f'Bild {k:05d} ä.{"jpg" if k%3==0 else "png"}'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(path)
    return folder

def spoil(folder):
    "Files that hold no image, and one that promises too many pixels; how many there are."
    good = next(folder.rglob('*.png')).read_bytes()
    place = next(o for o in folder.iterdir() if o.is_dir())
    (place/'cut.png').write_bytes(good[:len(good)//2])
    (place/'empty.png').write_bytes(b'')
    (place/'text.jpg').write_text('not an image')
    Image.new('1', (20_000, 20_000)).save(place/'bomb.png')
    Image.new('L', (20_000, 1)).save(place/'strip.png') # odd, yet an image
    Image.new('RGBA', (1, 1)).save(place/'one.png')
    (place/'loop').symlink_to(place)
    return 4

def shards(store): return {o.name:sha256(o) for o in sorted((store/'shards').glob('*.safetensors'))}

def test_from_files_to_training(urepa, tmp_path):
    "Two processes, killed once and continued, give the bytes of one that was left alone; then verify, look, and train."
    bad = spoil(garments(tmp_path/'images', 1500))
    words = ['prepare', '--images', 'images', *small, '--shard-size', '64', '--out']
    ranks = Ranks(2, *words, 'store', cwd=tmp_path, env=urepa.env)
    while len(list(tmp_path.glob('store/shards/*.json')))<4 and not ranks.ended(): time.sleep(.01)
    ranks.kill()
    made = len(list(tmp_path.glob('store/shards/*.json')))
    assert 4<=made<24 and not (tmp_path/'store'/'store.json').exists(), f'{made} shards were made before the kill'
    kept = {o:o.stat().st_mtime_ns for o in tmp_path.glob('store/shards/*.json')}
    done = Ranks(2, *words, 'store', cwd=tmp_path, env=urepa.env).done()
    assert done.returncode==0, done.stderr[-3000:]
    assert all(o.stat().st_mtime_ns==when for o,when in kept.items()), 'finished shards were made again'
    assert f'{bad} images could not be read' in done.stdout
    urepa.good(*words, 'alone')
    assert shards(tmp_path/'store')==shards(tmp_path/'alone')
    assert len(Store(tmp_path/'store'))==1502
    assert not list(tmp_path.rglob('*.partial'))
    assert '1,502 samples, all whole' in urepa.good('store', 'verify', 'store')
    told = urepa.good('store', 'show', 'store')
    assert told.count('left out:')==bad and 'bomb.png' in told
    assert Image.open(tmp_path/'store'/'inspect.png').size[0]>300
    urepa.good('train', 'tiny', '--data.limit', '0', '--data.store', 'store', '--optim.steps', '100', '--out', 'run')
    log = [json.loads(o) for o in (tmp_path/'run'/'log.jsonl').read_text().splitlines()]
    assert log[-1]['step']==100 and log[-1]['velocity']<log[0]['velocity'] and log[-1]['token']<log[0]['token']

def test_latents_and_a_vit_of_timm(inside, tmp_path):
    "An autoencoder's folder, a ViT's file, int8 tokens: prepared, checked, shown, trained on; no other scale."
    import timm
    from diffusers import AutoencoderKL
    AutoencoderKL(block_out_channels=(16, 16), norm_num_groups=8, layers_per_block=1,
                  down_block_types=('DownEncoderBlock2D',)*2,
                  up_block_types=('UpDecoderBlock2D',)*2).save_pretrained(tmp_path/'vae')
    torch.save(timm.create_model('vit_tiny_patch16_224', num_classes=0).state_dict(), tmp_path/'vit.pth')
    garments(tmp_path/'images', 60)
    inside.good('prepare', '--images', 'images', '--codec', 'vae', '--teacher', 'vit_tiny_patch16_224@vit.pth',
                '--image-size', '64', '--grid', '8', '--tokens', 'int8',
               '--shard-size', '32', '--device', 'cpu', '--out', 'store')
    meta = read_json(tmp_path/'store'/'store.json')
    assert meta['tensors']['moments']==['float16', [8, 32, 32]] and meta['tensors']['tokens']==['int8', [64, 192]]
    assert meta['codec']['scale']==[.18215]
    for verb in ('verify', 'show'): inside.good('store', verb, 'store')
    words = ['train', 'tiny', '--data.limit', '0', '--data.store', 'store', '--data.codec', 'vae',
             '--model.in-channels', '4', '--align.teacher', 'vit_tiny_patch16_224', '--out']
    assert '0.18215' in complaint(inside(*words, 'refused', '--data.scale', '.5')) # else the store decides
    inside.good(*words, 'run', '--data.scale', '.18215')
    assert 'data.scale was (0.18215,) and is now (0.5,)' in complaint(inside(*words, 'run', '--resume', '--data.scale',
                                                                             '.5'))
    wrong = inside(*words[:-3], '--align.teacher', 'embedded', '--data.scale', '.18215', '--out', 'other')
    assert "has 'vit_tiny_patch16_224@vit.pth'" in complaint(wrong)

def test_a_teacher_whose_grid_is_too_small(inside, tmp_path):
    garments(tmp_path/'images', 20)
    import timm
    torch.save(timm.create_model('vit_tiny_patch16_224', num_classes=0).state_dict(), tmp_path/'vit.pth')
    inside.good('prepare', '--images', 'images', '--codec', 'pixels', '--grey', '--teacher',
                'vit_tiny_patch16_224@vit.pth', '--image-size', '32', '--grid', '2', '--device', 'cpu',
                '--out', 'store')
    told = complaint(inside('train', 'tiny', '--data.limit', '0', '--data.store', 'store', '--align.teacher',
                            'vit_tiny_patch16_224', '--out', 'run'))
    assert '2×2 tokens, fewer than the 4×4' in told

def test_tar_files_and_datasets(inside, tmp_path):
    from datasets import load_dataset
    garments(tmp_path/'images', 40)
    (tmp_path/'tars').mkdir()
    for half in (0, 1):
        with tarfile.open(tmp_path/'tars'/f'{half}.tar', 'w') as tar:
            for k,o in enumerate(sorted((tmp_path/'images').rglob('*.*'))):
                if k%2==half: tar.add(o, o.relative_to(tmp_path/'images'))
    load_dataset('imagefolder', data_dir=str(tmp_path/'images'),
                 cache_dir=str(tmp_path/'hf'))['train'].to_parquet(str(tmp_path/'parquet'/'train.parquet'))
    labels = sorted(fashion('train')[1][:40].tolist())
    for name,words in dict(tars=['tars'], parquet=['hf:parquet'], streamed=['hf:parquet', '--streaming'],
                            source=['hf:parquet', '--order', 'source']).items():
        inside.good('prepare', '--images', *words, *small, '--shard-size', '16', '--out', name)
        store = Store(tmp_path/name)
        assert sorted(store.read(range(40), ('label',))['label'].tolist())==labels or name=='tars', name
        assert len(store)==40 and store.meta['classes'][0]=='0 t-shirt', store.meta['classes']
    assert shards(tmp_path/'source')==shards(tmp_path/'streamed')!=shards(tmp_path/'parquet')
    assert read_json(tmp_path/'streamed'/'store.json')['recipe']['order']=='source'

def test_a_sorted_store_with_a_window_is_named_once(inside, tmp_path):
    "Classes in folders, one after the other: permuted by default; in their order, a window says what it does."
    garments(tmp_path/'images', 400)
    words = ['prepare', '--images', 'images', *small, '--shard-size', '40', '--out']
    inside.good(*words, 'permuted')
    inside.good(*words, 'sorted', '--order', 'source')
    def told(store):
        done = inside('train', 'tiny', '--data.limit', '0', '--data.store', store, '--data.window', '1',
                      '--optim.steps', '2', '--optim.batch-size', '20', '--out', f'run {store}')
        assert done.returncode==0, done.stderr
        return [o for o in done.stderr.splitlines() if 'classes on average' in o]
    assert not told('permuted')
    [line] = told('sorted')
    assert line.startswith('sorted: a batch of 20 images from windows of 1 shards shows 1.')
    assert 'a full shuffle 8.' in line
    def first(store, name, count): return Store(tmp_path/store).read(range(count), (name,))[name].tolist()
    assert len(set(first('permuted', 'label', 40)))>8 and len(set(first('sorted', 'label', 40)))<3
    assert sorted(first('permuted', 'index', 400))==first('sorted', 'index', 400)==list(range(400))

def test_no_space_half_way(urepa, tmp_path):
    "Where no file may grow beyond 64 kB; with room the same command goes on."
    garments(tmp_path/'images', 40)
    words = ['prepare', '--images', 'images', *small, '--shard-size', '16', '--out', 'store']
    told = complaint(command(*words, cwd=tmp_path, env=urepa.env, function=on_a_full_disk).done())
    assert 'raise the limit' in told
    assert not list((tmp_path/'store').rglob('*.partial')) and not list((tmp_path/'store').rglob('*.safetensors'))
    urepa.good(*words)
    assert len(Store(tmp_path/'store'))==40

mistakes = {
    'empty folder': ('--images empty', 'no images'),
    'no labels': ('--images loose', '--unlabelled'),
    'nothing there': ('--images nowhere', 'nowhere'),
    'one class spelt in two ways': ('--images twins', 'twice'),
    'a tar file cut short': ('--images cut.tar', 'truncated'),
    'codec out of reach': ('--images garments --codec stabilityai/sd-vae-ft-ema', 'stabilityai/sd-vae-ft-ema'),
    'teacher out of reach': ('--images garments --teacher vit_small_patch14_dinov2', 'vit_small_patch14_dinov2@FILE'),
    'unknown teacher': ('--images garments --teacher vit_smal_patch14_dinov2', 'vit_smal_patch14_dinov2'),
    'unknown tokens': ('--images garments --tokens float8', 'pca64'),
    'too many components': ('--images garments --tokens pca500', '96 features'),
    'too many broken': ('--images broken --tolerance 3', 'more than the 3'),
    'data set out of reach': ('--images hf:nobody/nothing', 'nobody/nothing'),
    'no images': ('', '--images'),
    'no pixels': ('--images garments --image-size 0', '--image-size is 0; give 1 or more'),
    'no images in a file': ('--images garments --shard-size 0', '--shard-size is 0; give 1 or more'),
    'no images at once': ('--images garments --batch 0', '--batch is 0; give 1 or more'),
    'no threads': ('--images garments --threads 0', '--threads is 0; give 1 or more'),
}

@pytest.fixture
def sources(tmp_path):
    garments(tmp_path/'garments', 20)
    for k in range(4): (garments(tmp_path/'broken', 10)/'0 t-shirt'/f'{k}.png').write_text('no image')
    for name in ('empty', 'loose', 'twins/caf\u00e9', 'twins/cafe\u0301'): (tmp_path/name).mkdir(parents=True)
    for name in ('loose', 'twins/caf\u00e9', 'twins/cafe\u0301'): Image.new('L', (4, 4)).save(tmp_path/name/'a.png')
    with tarfile.open(tmp_path/'cut.tar', 'w') as tar: tar.add(tmp_path/'garments', 'garments')
    (tmp_path/'cut.tar').write_bytes((tmp_path/'cut.tar').read_bytes()[:5000])

@pytest.mark.parametrize('mistake', mistakes)
def test_mistake(mistake, inside, sources, tmp_path):
    words, named = mistakes[mistake]
    told = complaint(inside('prepare', '--out', 'store', *small, *words.split()))
    assert named in told, f'{named!r} is not in: {told}'
    left = [o.name for o in (tmp_path/'store').rglob('*') if o.is_file() and o.name!='plan.json']
    assert not left, f'left behind: {left}'

def test_damaged_stores_are_named(inside, sources, tmp_path):
    words = ['prepare', '--images', 'garments', *small, '--shard-size', '8', '--out', 'store']
    inside.good(*words)
    path = tmp_path/'store'/'shards'/'000001.safetensors'
    whole = path.read_bytes()
    path.write_bytes(whole[:-200]+bytes([whole[-200]^1])+whole[-199:])
    assert '000001' in complaint(inside('store', 'verify', 'store'))
    path.write_bytes(whole[:-1])
    train = ['train', 'tiny', '--data.limit', '0', '--data.store', 'store', '--out', 'run']
    assert '000001' in complaint(inside(*train))
    path.with_suffix('.json').unlink() # what the message advises
    (tmp_path/'store'/'store.json').unlink()
    inside.good(*words)
    assert path.read_bytes()==whole
    meta = read_json(tmp_path/'store'/'store.json')
    (tmp_path/'store'/'store.json').write_text(json.dumps(dict(meta, version=99)))
    assert 'version 99' in complaint(inside(*train[:-1], 'again'))

def test_going_on_with_another_recipe_is_refused(inside, sources, tmp_path):
    words = ['prepare', '--images', 'garments', *small, '--out', 'store']
    inside.good(*words)
    assert 'recipe.image_size was 32 and is now 16' in complaint(inside(*words, '--image-size', '16'))
    assert 'images was 20 and is now 14' in complaint(inside(*words, '--images', 'broken'))
    inside.good(*words)
    (tmp_path/'store'/'store.json').unlink()
    assert "was 'float16' and is now 'int8'" in complaint(inside(*words, '--tokens', 'int8'))
    Image.new('L', (4, 4)).save(tmp_path/'garments'/'0 t-shirt'/'new.png')
    assert 'images was 20 and is now 21' in complaint(inside(*words))
