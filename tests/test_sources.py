"Data as people have them: each odd input of a kind, and neighbours of it, by the command."
import io
import json
import os
import shlex
import struct
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image
from test_commands import complaint
from test_prepare import inside, small  # noqa: F401

from urepa.data.prepare import unpack_captions
from urepa.data.store import Store


def picture(path, value=100, size=(32, 32), mode='L', **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path, **kwargs)

def folders(place, *names):
    for k,o in enumerate(names): picture(place/o, 10*k)
    return place

def deep(place, values, dtype, suffix='tif'):
    (place/'a').mkdir(parents=True)
    Image.fromarray(np.full((32, 32), values, dtype)).save(place/'a'/f'0.{suffix}')
    return place

def packed(path, **members):
    "Texts; images where the name ends so. `_` is a dot in a name, `__` a slash."
    with tarfile.open(path, 'w') as tar:
        for name,text in members.items():
            name = name.removeprefix('k').replace('__', '/').replace('_', '.')
            data = io.BytesIO(text.encode())
            if name.endswith(('jpg', 'png')): Image.new('L', (32, 32), 100).save(data:=io.BytesIO(), 'PNG')
            info = tarfile.TarInfo(name)
            info.size = len(data.getvalue())
            tar.addfile(info, io.BytesIO(data.getvalue()))

def dataset(path, **columns):
    from datasets import Dataset, Features, Value
    from datasets import Image as Stored
    kinds = {k:Stored() if 'image' in k else Value('string' if isinstance(v[0], str) else 'int64')
             for k,v in columns.items()}
    Dataset.from_dict(columns, Features(kinds)).save_to_disk(str(path))

def rows_of(*labels):
    from datasets import Dataset, Features, Value
    from datasets import Image as Stored
    columns = dict(image=[Image.new('L', (32, 32), 100)]*len(labels), label=list(labels))
    return Dataset.from_dict(columns, Features(image=Stored(), label=Value('int64')))

def make(kind, place):
    "The inputs that the tables below name."
    grey = Image.new('L', (32, 32), 100)
    match kind:
        case 'hidden':
            folders(place/kind, 'cat/a.png', 'dog/b.png', '.git/c.png', '.ipynb_checkpoints/d.png', '@eaDir/e.png',
                    'lost+found/f.png', '__MACOSX/._g.png', 'cat/._a.png', '#recycle/h.png')
        case 'splits': folders(place/kind, 'train/cat/a.png', 'train/dog/b.png', 'val/cat/c.png')
        case 'deep splits': folders(place/kind, 'data/train/cat/a.png', 'data/test/cat/b.png')
        case 'loose':
            folders(place/kind, 'cat/a.png', 'b.png', 'c.png')
            (place/kind/'empty').mkdir()
        case 'coco': folders(place/kind, 'train2017/cat/a.png', 'val2017/dog/b.png')
        case 'texts': (folders(place/kind, 'cat/a.png', 'dog/.hidden.png')/'dog'/'about.md').write_text('dogs')
        case 'numbers': folders(place/kind, *[f'{k}/a.png' for k in (0, 1, 2, 10, 11)])
        case 'keys.tar': packed(place/kind, k0_jpg='', k0_json='{"kind": "cat"}', k1_jpg='', k1_json='{"kind": "dog"}')
        case 'hidden.tar': packed(place/kind, **{'a__0_jpg':'', '@eaDir__0_jpg':'', 'b___0_jpg':'', 'a__Thumbs_db':''})
        case 'configurations':
            for name, value in (('one', 0), ('two', 7)): rows_of(value).to_parquet(place/kind/name/'train.parquet')
            lines = [f'- config_name: {o}\n  data_files: {o}/train.parquet\n' for o in ('one', 'two')]
            (place/kind/'README.md').write_text(f'---\nconfigs:\n{"".join(lines)}---\n')
        case 'masks.tar': packed(place/kind, k0_jpg='', k0_seg_png='', k0_cls='0', k1_jpg='', k1_seg_png='', k1_cls='3')
        case 'dots.tar': packed(place/kind, kx_image_jpg='', kx_cls='2', ky_image_jpg='', ky_cls='0')
        case 'twice.tar': packed(place/kind, k0_jpg='', k0_png='', k0_cls='0')
        case 'float': deep(place/kind, .5, np.float32)
        case 'bytes in floats': deep(place/kind, 128, np.float32)
        case 'bytes in int32': deep(place/kind, 128, np.int32)
        case '16 bits in int32': deep(place/kind, 128*257, np.int32)
        case 'the other byte order': deep(place/kind, 128*257, '>u2')
        case '16 bits': deep(place/kind, 128*257, np.uint16, 'png')
        case '12 bits': deep(place/kind, 2055, np.uint16, 'png')
        case 'text':
            from PIL.PngImagePlugin import PngInfo
            about = PngInfo()
            about.add_text('workflow', 'x'*2_000_000, zip=True)
            picture(place/kind/'a'/'0.png', 128, pnginfo=about)
        case 'names': dataset(place/kind, image=[grey]*3, label=['10', 'b', '9'])
        case 'no name': dataset(place/kind, image=[grey]*2, label=['cat', None])
        case 'more labels': dataset(place/kind, image=[grey]*2, label=[0, 1], fine_label=[3, 2])
        case 'holes': dataset(place/kind, image=[grey]*3, label=[1, None, -1])
        case 'bare': dataset(place/kind, image=[grey]*3)
        case 'two': dataset(place/kind, image=[grey], mask_image=[grey], label=[0])
        case 'listed':
            folders(place/kind, 'x/1.png', 'x/2.png', 'x/3.png')
            (place/'list.csv').write_text('file,label\nx/1.png,cat\nx/2.png,dog\n')
        case 'captions':
            folders(place/kind, 'cat/1.png', 'cat/2.png')
            (place/kind/'cat'/'1.txt').write_text('ein Kätzchen')
    return place/kind

taken = { # kind, words → classes, labels, what the last lines tell
    'hidden': ('hidden', ['cat', 'dog'], [0, 1], '7 hidden or system'),
    'hidden in a tar file': ('hidden.tar', ['a'], [0], '3 hidden or system'),
    'one configuration of two': ('hf:configurations --config-name two', [*map(str, range(8))], [7], ''),
    'a split': ('splits --split train', ['cat', 'dog'], [0, 1], '1 in another split'),
    'a split below': ('deep\\ splits --split test', ['cat'], [0], '1 in another split'),
    'loose and empty': ('loose', ['cat'], [0], '1 empty folders, 2 loose beside class folders'),
    'all as one': ('loose --unlabelled', ['image'], [0, 0, 0], '1 empty folders'),
    'numbered folders': ('numbers', ['0', '1', '2', '10', '11'], [0, 1, 3, 4, 2], ''),
    'a field of json': ('keys.tar --label-column kind', ['cat', 'dog'], [0, 1], ''),
    'keys alone': ('keys.tar --unlabelled', ['image'], [0, 0], ''),
    'masks': ('masks.tar', ['0', '1', '2', '3'], [0, 3], '2 other images of a sample'),
    'a mask by its name': ('masks.tar --image-column seg.png', ['0', '1', '2', '3'], [0, 3],
                           '2 other images of a sample'),
    'splits with years': ('coco --split val2017', ['dog'], [0], '1 in another split'),
    'a folder without images': ('texts', ['cat'], [0], '1 hidden or system, 1 no image by name'),
    'the other label column': ('hf:more\\ labels --label-column fine_label', ['0', '1', '2', '3'], [3, 2], ''),
    'two dots': ('dots.tar', ['0', '1', '2'], [2, 0], ''),
    'the named one of two': ('twice.tar --image-column png', ['0'], [0], '1 other images of a sample'),
    'labels by name': ('hf:names', ['9', '10', 'b'], [1, 2, 0], ''),
    'labels with none': ('hf:holes --unlabelled', ['image'], [0, 0, 0], ''),
    'no label column': ('hf:bare --unlabelled', ['image'], [0, 0, 0], ''),
    'one of two columns': ('hf:two --image-column mask_image', ['0'], [0], ''),
    'a list': ('listed --labels list.csv', ['cat', 'dog'], [0, 1], '1 not in the list'),
}

def prepare(call, words, out='store'): # `words` begin with the images
    images, *rest = [o.replace('\\', ' ') for o in words.replace('\\ ', '\\').split()]
    return call('prepare', '--images', images, '--out', out, *small[:2], '--teacher', 'none', *small[4:], *rest)

def made_of(words, place):
    name = words.replace('\\ ', '\\').split()[0].removeprefix('hf:').replace('\\', ' ')
    return make('listed' if name=='list.csv' else name, place)

@pytest.mark.parametrize('case', taken)
def test_taken(case, inside, tmp_path): # noqa: F811
    words, classes, labels, told = taken[case]
    made_of(words, tmp_path)
    said = prepare(inside.good, words)
    store = Store(tmp_path/'store')
    assert store.meta['classes']==classes
    rows = store.read(range(len(store)), ('index', 'label'))
    assert [y for _,y in sorted(zip(rows['index'].tolist(), rows['label'].tolist()))]==labels
    assert (f'left out are {told}' in said) if told else ('left out' not in said), said
    assert said.splitlines()[-1].startswith('train with: urepa train fashion --data store')

refused = { # kind, words → what the sentence names
    'two splits': ('splits', 'the splits train and val; choose one with --split'),
    'two splits below': ('deep\\ splits', '--split'),
    'no such split': ('splits --split vall', 'did you mean val'),
    'a split of nothing': ('loose --split val', 'leave --split out'),
    'keys are no labels': ('keys.tar', '2 of 2 images'),
    'no such field of json': ('keys.tar --label-column breed', '--label-column'),
    'two splits with years': ('coco', '--split'),
    'a name that is none': ('hf:no\\ name', '1 of 2 images'),
    'which image': ('twice.tar', '--image-column'),
    'labels with none': ('hf:holes', '2 of 3 images'),
    'no label column': ('hf:bare', '--unlabelled'),
    'two configurations': ('hf:configurations', '--config-name'),
    'no such configuration': ('hf:configurations --config-name three', 'three'),
    'a configuration of a folder': ('loose --config-name one', 'nothing that --config-name'),
    'two image columns': ('hf:two', 'the image columns image and mask_image'),
    'no such column': ('hf:two --image-column photo', "no column 'photo'"),
    'an option without use': ('loose --label-column x', 'nothing that --label-column'),
    'no such list': ('loose --labels none.csv', 'none.csv does not exist'),
    'a list of other images': ('loose --labels list.csv', 'none of the 2 paths'),
    'a store elsewhere': ('loose --out s3://bucket/store', 'copy the finished store'),
}

@pytest.mark.parametrize('case', refused)
def test_refused(case, inside, tmp_path): # noqa: F811
    words, told = refused[case]
    made_of(words, tmp_path)
    if 'list.csv' in words: make('listed', tmp_path)
    assert told in complaint(prepare(inside, words))
    assert not (tmp_path/'store').exists()

kinds = [('float', ''), ('bytes in floats', ''), ('bytes in int32', ''), ('16 bits', ''),
         ('16 bits in int32', ''), ('the other byte order', ''), ('12 bits', '--white 4095'), ('text', '')]

@pytest.mark.parametrize('kind, words', kinds)
def test_numbers(kind, words, inside, tmp_path): # noqa: F811
    make(kind, tmp_path)
    prepare(inside.good, f'{kind} {words}'.replace(' ', '\\ ', kind.count(' ')))
    assert Store(tmp_path/'store').read([0], ('moments',))['moments'].unique().tolist()==[128]

def test_numbers_that_nothing_explains(inside, tmp_path): # noqa: F811
    make('12 bits', tmp_path)
    assert '--white' in complaint(prepare(inside, '12\\ bits --tolerance 0'))

@pytest.mark.parametrize('mode, size, words', [('L', 28, ['--grey']), ('RGB', 32, []), ('RGB', 64, []),
                                               ('RGB', '24x40', [])])
def test_the_command_that_prepare_ends_with(mode, size, words, inside, tmp_path): # noqa: F811
    "As it is printed, but for the number of steps."
    colours = {'L':9, 'RGB':(9, 99, 200)}
    for k in range(8): picture(tmp_path/'images'/'abc'[k%3]/f'{k}.png', colours[mode], (70, 70), mode)
    said = inside.good('prepare', '--images', 'images', '--out', 'a store', '--codec', 'pixels', '--teacher',
                       'embedded', '--size', str(size), *words)
    command = shlex.split(said.splitlines()[-1].removeprefix('train with: '))
    assert command[:3]==['urepa', 'train', 'fashion'], command
    inside.good(*command[1:], '--optim.steps', '1')
    assert 'no guidance' in inside('sample', 'runs/a store', '--count', '2', '--steps', '1', '--out', 'x.npz').stderr

def test_captions(inside, tmp_path): # noqa: F811
    make('captions', tmp_path)
    prepare(inside.good, 'captions')
    store = Store(tmp_path/'store')
    rows = store.read(range(2), ('index', 'caption'))
    texts = dict(zip(rows['index'].tolist(), unpack_captions(rows['caption'])))
    assert texts=={0:'ein Kätzchen', 1:''}

def test_an_address_on_this_machine(inside, tmp_path): # noqa: F811
    make('loose', tmp_path)
    prepare(inside.good, 'loose', f'file://{tmp_path}/store')
    assert len(Store(f'file://{tmp_path}/store'))==1
    assert 'all whole' in inside.good('store', 'verify', f'file://{tmp_path}/store')

@pytest.mark.parametrize('split, words', [('', []), ('val', ['--data.split', 'val'])])
def test_training_past_a_broken_image(split, words, inside, tmp_path): # noqa: F811
    for k in range(12): picture(tmp_path/'images'/split/'ab'[k%2]/f'{k}.png', 10*k)
    if split: picture(tmp_path/'images'/'train'/'a'/'0.png')
    broken = tmp_path/'images'/split/'a'/'4.png'
    broken.write_bytes(broken.read_bytes()[:40])
    train = ['train', 'tiny', '--data.images', 'images', '--data.limit', '0', '--optim.batch-size', '4',
             '--optim.steps', '6', *words]
    done = inside(*train, '--out', 'run')
    assert done.returncode==0 and done.stderr.count('another image takes its place')==1, done.stderr
    assert 'more than the 0' in complaint(inside(*train, '--data.tolerance', '0', '--out', 'strict'))

def test_references(inside, tmp_path): # noqa: F811
    rng = np.random.default_rng(0)
    np.savez(tmp_path/'grey.npz', arr_0=rng.integers(0, 256, (12, 32, 32, 1), dtype=np.uint8))
    for k in range(24):
        path = tmp_path/'real'/'ab'[k%2]/f'{k}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32+k, 40, 3), dtype=np.uint8)).save(path)
    (tmp_path/'real'/'Thumbs.db').write_text('')
    assert 'against real (24)' in inside.good('evaluate', 'grey.npz', '--reference', 'real', '--out', 'a.json')
    prepare(inside.good, 'real')
    inside.good('evaluate', 'grey.npz', '--reference', 'store', '--out', 'b.json')
    inside.good('evaluate', 'store', '--reference', 'real', '--out', 'c.json')
    a, b, c = (json.loads((tmp_path/f'{o}.json').read_text()) for o in 'abc')
    assert abs(a['classifier']['frechet']-b['classifier']['frechet'])<1e-5 # the same images, cut the same way
    assert c['classifier']['frechet']<1e-3
    inside.good('train', 'tiny', '--data', 'store', '--data.limit', '0', '--align.weight', '0', '--optim.steps', '1',
                '--out', 'run')
    inside.good('evaluate', 'run', '--count', '9', '--steps', '1', '--reference', 'real', '--out', 'd.json')
    d = json.loads((tmp_path/'d.json').read_text())
    assert d['classes']==dict(asked=2, known=2) and 'found' not in d # its classes are no garments
    (tmp_path/'real'/'val').mkdir()
    assert 'one picture' in complaint(inside('evaluate', 'real/a/0.png'))
    assert 'leave out --split' in complaint(inside('evaluate', 'grey.npz', '--split', 'val'))
    assert "no split 'val'" in complaint(inside('evaluate', 'grey.npz', '--reference', 'real', '--split', 'val'))

def test_colour_is_refused_before_drawing(inside, tmp_path, monkeypatch): # noqa: F811
    inside.good('train', 'tiny', '--out', 'run', '--optim.steps', '1')
    monkeypatch.setattr('urepa.score.draw.Sampler.shape', property(lambda _: (3, 32, 32)))
    monkeypatch.setattr('urepa.score.draw.Sampler.__call__', lambda *_: pytest.fail('images were drawn'))
    assert 'urepa evaluate run --reference IMAGES --features inception' in complaint(inside('evaluate', 'run'))

def test_a_saved_pipeline(inside, tmp_path): # noqa: F811
    "Made in Python, or loaded from an export and saved elsewhere."
    from urepa import UNet, UREPAPipeline
    net = UNet(image_size=8, in_channels=1, patch_size=2, width=32, heads=2, depths=(1, 1, 1), n_classes=3)
    UREPAPipeline(net).save_pretrained('made')
    inside.good('sample', 'made', '--count', '4', '--steps', '1', '--out', 'a.npz')
    assert np.load('a.npz')['arr_0'].shape==(4, 8, 8, 1)
    inside.good('train', 'tiny', '--out', 'run', '--optim.steps', '1')
    inside.good('export', 'run', '--out', 'model')
    UREPAPipeline.from_pretrained('model').save_pretrained('again')
    inside.good('sample', 'again', '--count', '4', '--steps', '1', '--out', 'b.npz')
    assert json.loads((tmp_path/'b.json').read_text())['step']==1

nobody = """
import os, pwd, sys
def unknown(uid): raise KeyError(uid)
pwd.getpwuid = unknown
os.environ.pop('HOME', None)
os.environ.pop('UREPA_CACHE', None)
from urepa.app.cli import main
main(sys.argv[1:])
"""

@pytest.mark.parametrize('words', ['info', 'train tiny --optim.steps 1 --out run', 'doctor'])
def test_a_user_without_name_or_home(words, tmp_path):
    done = subprocess.run([sys.executable, '-c', nobody, *words.split()], cwd=tmp_path, capture_output=True, text=True,
                          env=dict(os.environ, TMPDIR=str(tmp_path), MPLCONFIGDIR=str(tmp_path)))
    assert done.returncode==0, done.stderr[-2000:]

@pytest.mark.parametrize('fault', [TypeError('no'), KeyError('shoe'), AssertionError(), RuntimeError('a\nb')])
def test_any_fault_is_a_sentence(fault, inside, tmp_path, monkeypatch): # noqa: F811
    def fail(*_, **__): raise fault
    monkeypatch.setattr('urepa.app.cli.list_presets', fail)
    told = complaint(inside('info'))
    assert type(fault).__name__ in told and '--debug' in told
    kept, = (tmp_path/'cache'/'errors').iterdir()
    assert str(kept) in told and 'Traceback' in kept.read_text()
    with pytest.raises(type(fault)): inside('info', '--debug')

def test_no_bar_in_a_log(inside, tmp_path): # noqa: F811
    said = inside('train', 'tiny', '--out', 'run').stderr
    lines = [o for o in said.splitlines() if o.startswith('train:')]
    assert '\r' not in said and 1<=len(lines)<=3 and lines[-1].startswith('train: 100 %'), said

def test_captions_of_a_list(inside, tmp_path): # noqa: F811
    folders(tmp_path/'images', '1.png', '2.png')
    (tmp_path/'list.csv').write_text('path,label,caption\n1.png,cat,a cat\n2.png,dog,\n')
    prepare(inside.good, 'images --labels list.csv')
    rows = Store(tmp_path/'store').read(range(2), ('index', 'caption'))
    assert dict(zip(rows['index'].tolist(), unpack_captions(rows['caption'])))=={0:'a cat', 1:''}

def test_white_as_a_file_tells_it():
    from types import SimpleNamespace

    from urepa.data.images import told_white
    told = [told_white(SimpleNamespace(tag_v2=o)) for o in ({258:(12,)}, {281:(1023,)}, {258:16}, {})]
    assert told==[4095, 1023, None, None]

@pytest.mark.parametrize('mode, value', [('La', (64, 128)), ('RGBa', (64, 64, 64, 128))])
def test_colours_multiplied_by_their_alpha(mode, value):
    from urepa.data.images import upright
    assert abs(np.asarray(upright(Image.new(mode, (2, 2), value), grey=True)).mean()-191)<=2 # half of 128, half white

def lookup(bright, dark):
    "An ICC profile of two tables, colorimetric and perceptual: L of the corners black and white, in Lab."
    def tag(ends):
        corners = [round(ends[0]+(ends[1]-ends[0])*(r+g+b)/3) for r in (0, 1) for g in (0, 1) for b in (0, 1)]
        matrix = b''.join(struct.pack('>i', 65536*(k%4==0)) for k in range(9))
        identity = bytes(range(256))*3
        return b'mft1\0\0\0\0'+bytes([3, 3, 2, 0])+matrix+identity+b''.join(
            bytes([o, 128, 128]) for o in corners)+identity
    text = b'two tables\0'
    words = b'desc\0\0\0\0'+struct.pack('>I', len(text))+text+bytes(78)
    white = b'XYZ \0\0\0\0'+struct.pack('>3i', 63190, 65536, 54061)
    tags = {b'desc':words, b'wtpt':white, b'A2B0':tag(dark), b'A2B1':tag(bright)}
    place, table, data = 132+12*len(tags), struct.pack('>I', len(tags)), b''
    for name, o in tags.items():
        o += bytes(-len(o)%4)
        table += name+struct.pack('>II', place+len(data), len(o))
        data += o
    head = struct.pack('>I4sI4s4s4s', place+len(data), b'none', 0x02400000, b'scnr', b'RGB ', b'Lab ')
    head += bytes(12)+b'acsp'+bytes(28)+struct.pack('>3i', 63190, 65536, 54061)
    return head.ljust(128, b'\0')+table+data

def test_the_table_of_a_profile_that_a_viewer_takes(tmp_path):
    "Relative colorimetric, black onto black: of two tables, a scanner's perceptual one here shows the negative."
    from urepa.data.images import standard_colours
    profile = lookup(bright=(51, 255), dark=(255, 51)) # its black is grey
    def shown(value):
        picture(tmp_path/'a.png', (value,)*3, (2, 2), 'RGB', icc_profile=profile)
        return standard_colours(Image.open(tmp_path/'a.png')).getpixel((0, 0))
    assert max(shown(0))<=3 and min(shown(255))>=252, (shown(0), shown(255))

def test_teachers_of_a_file(inside, tmp_path): # noqa: F811
    "Whose statistics normalise the images is said; a name that disagrees is named, and can be set; no ViT is refused."
    import timm
    import torch
    folders(tmp_path/'images', 'a/0.png', 'b/1.png')
    weights = timm.create_model('vit_tiny_patch16_224', num_classes=0).state_dict()
    torch.save(weights, tmp_path/'mae.pth')
    def prepared(teacher, out):
        done = inside('prepare', '--images', 'images', '--out', out, *small[:2], '--teacher', teacher, '--size', '32',
                      '--grid', '2', '--device', 'cpu')
        assert done.returncode==0, done.stderr
        return done.stderr
    assert 'append +imagenet' in prepared('vit_tiny_patch16_224@mae.pth', 'as tagged')
    said = prepared('vit_tiny_patch16_224@mae.pth+imagenet', 'as asked')
    assert 'normalised by imagenet' in said and 'append' not in said
    tokens = [Store(tmp_path/o).read([0], ('tokens',))['tokens'] for o in ('as tagged', 'as asked')]
    assert not tokens[0].equal(tokens[1])
    said = complaint(inside('prepare', '--images', 'images', '--out', 'none', *small[:2], '--teacher',
                            'resnet18@mae.pth', '--size', '32', '--grid', '2', '--device', 'cpu'))
    assert 'not a plain ViT' in said

def test_one_process_a_folder(inside, tmp_path): # noqa: F811
    "A second one is told who works there; what a dead one left is passed over."
    import socket

    from urepa.core import held
    folders(tmp_path/'images', 'a/0.png', 'b/1.png')
    train = ['train', 'tiny', '--optim.steps', '2', '--out', 'run']
    inside.good(*train[:-3], '2', '--run.save-every', '1', '--out', 'run')
    (tmp_path/'store').mkdir()
    commands = {'run':[*train, '--resume', '--optim.steps', '3'], 'store':['prepare', '--images', 'images', '--out',
                'store', *small[:2], '--teacher', 'none', '--size', '32', '--device', 'cpu']}
    for folder, words in commands.items():
        with held(tmp_path/folder/'.lock', folder): said = complaint(inside(*words))
        assert f'number {os.getpid()} on {socket.gethostname()}, since ' in said, said
        dead = dict(host=socket.gethostname(), process=2**22+1, since='2026-01-01 00:00') # more than Linux counts
        (tmp_path/folder/'.lock').write_text(json.dumps(dead))
        inside.good(*words)
        assert not (tmp_path/folder/'.lock').exists()

def test_a_resumed_run_keeps_what_it_was(inside, tmp_path): # noqa: F811
    "Only what is typed changes."
    from urepa.training.run import Run
    words = ['train', 'tiny', '--out', 'run', '--resume']
    inside.good(*words[:-1], '--optim.steps', '3', '--run.seed', '5')
    inside.good(*words)
    run = Run(tmp_path/'run')
    assert (run.steps[-1], run.config.optim.steps, run.config.run.seed)==(3, 3, 5)
    inside.good(*words, '--optim.steps', '4')
    inside.good(*words)
    assert (Run(run.folder).steps[-1], Run(run.folder).config.run.seed)==(4, 5)
    assert 'has done 4 steps' in complaint(inside(*words, '--optim.steps', '2'))
