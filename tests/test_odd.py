"""Inputs as odd as people have them, forty and more: each ends well, or in one sentence that says what to do.

`python tests/test_odd.py data/results/odd_inputs.json` writes what happens now into the table of
nbs/data/09_sources.ipynb. With `before` behind it and `PYTHONPATH` at an earlier revision, it fills that column."""
import contextlib
import io
import json
import os
import re
import signal
import struct
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from urepa.app.cli import main
from urepa.core import asset, provenance, read_json

base = ['prepare', '--out', 'store', '--codec', 'pixels', '--teacher', 'none', '--size', '8', '--device', 'cpu',
        '--images']

def png(path, value=100, size=(8, 8), mode='L', **kwargs):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path, **kwargs)
    return path

def two():
    "The folder that most cases add something odd to."
    for k in range(2): png(f'in/{"ab"[k]}/{k}.png', 50*k+50)

def tarred(name, members, mode='w'):
    with tarfile.open(name, mode) as tar:
        for key, data in members:
            info = tarfile.TarInfo(key)
            if data is None: info.type = tarfile.DIRTYPE
            else: info.size = len(data)
            tar.addfile(info, io.BytesIO(data or b''))

def bytes_of(**kwargs):
    held = io.BytesIO()
    Image.new('L', (8, 8), 100).save(held, 'PNG', **kwargs)
    return held.getvalue()

def dataset(**columns):
    from datasets import Dataset, Features, Value
    from datasets import Image as Stored
    def kind(k, v):
        if k=='image': return Stored()
        held = next((o for o in v if o is not None), '')
        if isinstance(held, list): return [Value('int64')]
        return Value({bool:'bool', float:'float64', int:'int64', str:'string'}[type(held)])
    Dataset.from_dict(columns, Features({k:kind(k, v) for k, v in columns.items()})).save_to_disk('in')

def dataset_file():
    from datasets import Dataset
    Dataset.from_dict(dict(label=[0])).to_parquet('in.parquet')

def chunked(*chunks):
    "A PNG of the chunks given."
    made = b'\x89PNG\r\n\x1a\n'
    for name, data in chunks:
        made += struct.pack('>I', len(data))+name+data+struct.pack('>I', zlib.crc32(name+data))
    return made

cases = {}
def case(words, code, told, **fields):
    "Register: what is typed, how it ends, and what the last lines name."
    def note(f):
        cases[f.__doc__] = dict(make=f, words=words if isinstance(words, list) else [*base, *words.split()], code=code,
                                told=told, **fields)
        return f
    return note

@case('in', 0, '2 samples', lost=1)
def _():
    "a file of no bytes"
    two(); Path('in/a/x.png').touch()

@case('in', 0, '2 samples', lost=1)
def _():
    "a text called .png"
    two(); Path('in/a/x.png').write_text('hello')

@case('in', 0, '3 samples')
def _():
    "a JPEG called .png"
    two(); png('in/a/x.jpg').rename('in/a/x.png')

@case('in', 0, '2 samples', lost=1)
def _():
    "a PNG without its last kilobyte"
    two()
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    Image.fromarray(noise).save('in/a/x.png')
    Path('in/a/x.png').write_bytes(Path('in/a/x.png').read_bytes()[:-1000])

@case('in', 0, '2 samples', lost=1)
def _():
    "a PNG of no pixels"
    two()
    head = struct.pack('>IIBBBBB', 0, 0, 8, 0, 0, 0, 0)
    Path('in/a/x.png').write_bytes(chunked((b'IHDR', head), (b'IDAT', zlib.compress(b'')), (b'IEND', b'')))

@case('in', 0, '2 samples')
def _():
    "a folder called x.png"
    two(); Path('in/a/x.png').mkdir()

@case('in', 0, '1 links to nothing')
def _():
    "a link to a file that is gone"
    two(); Path('in/a/x.png').symlink_to('nowhere.png')

@case('in', 0, '2 samples')
def _():
    "a named pipe called x.png"
    two(); os.mkfifo('in/a/x.png')

@case('in', 0, '3 samples')
def _():
    "a link to an image elsewhere"
    two(); png('other/y.png'); Path('in/a/x.png').symlink_to(Path('other/y.png').absolute())

@case('in', 0, '3 samples')
def _():
    "a name with a line break"
    two(); png('in/a/x\ny.png')

@case('in', 0, '3 samples')
def _():
    "a name that is no UTF-8"
    two(); os.rename(os.fsencode(str(png('in/a/x.png'))), b'in/a/caf\xe9.png')

@case('in', 0, '3 samples', lost=1)
def _():
    "a broken image whose name is no UTF-8"
    two(); png('in/b/y.png')
    Path('in/a/x.png').write_text('hello')
    os.rename(b'in/a/x.png', b'in/a/caf\xe9.png')

@case('in', 0, '3 samples')
def _():
    "a class whose name is no UTF-8"
    two(); png('in/c/y.png'); os.rename(b'in/c', b'in/caf\xe9')

@case('in', 0, '3 samples')
def _():
    "a class of 250 letters"
    two(); png(f'in/{"c"*250}/y.png')

@case('in', 0, '3 samples')
def _():
    "classes that differ in case alone"
    two(); png('in/A/y.png')

@case('in', 0, '3 samples', classes=['01', '1', '2'])
def _():
    "numbered classes with leading zeros"
    for k in ('1', '01', '2'): png(f'in/{k}/y.png')

@case('in', 0, '3 samples')
def _():
    "an image of 1×2000 pixels"
    two(); png('in/a/x.png', size=(1, 2000))

@case('in', 0, '2 samples', lost=1)
def _():
    "a float TIFF with NaN"
    two(); Image.fromarray(np.full((8, 8), np.nan, np.float32)).save('in/a/x.tif')

@case('in', 0, '2 samples', lost=1)
def _():
    "a float TIFF below 0"
    two(); Image.fromarray(np.full((8, 8), -3, np.float32)).save('in/a/x.tif')

@case('in', 0, '3 samples')
def _():
    "a TIFF of three pages"
    two()
    pages = [Image.new('L', (8, 8), k) for k in range(3)]
    pages[0].save('in/a/x.tif', save_all=True, append_images=pages[1:])

@case('in', 0, '8 samples')
def _():
    "six formats beside PNG"
    two()
    for k, suffix in enumerate(('bmp', 'ppm', 'tga', 'ico', 'webp', 'gif')): png(f'in/a/x{k}.{suffix}', size=(16, 16))

@case('in', 0, '7 samples')
def _():
    "pictures in LAB, YCbCr, CMYK, with a palette and alpha"
    two()
    for k, mode in enumerate(('LAB', 'YCbCr', 'CMYK')): Image.new(mode, (8, 8)).save(f'in/a/x{k}.tif')
    Image.new('LA', (8, 8), (10, 0)).save('in/a/y.png')
    Image.new('P', (8, 8), 3).save('in/a/z.png', transparency=3)

@case('in', 0, '3 samples')
def _():
    "a profile of megabytes, for inks, in an RGB file"
    two()
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile('LAB')).tobytes()
    png('in/a/x.png', (1, 2, 3), mode='RGB', icc_profile=made+bytes(2_000_000))

@case('in', 0, '3 samples')
def _():
    "a camera held sideways, and a header that is rubbish"
    two()
    exif = Image.Exif()
    exif[0x0112] = 6
    png('in/a/x.jpg', size=(8, 16), exif=exif)
    Path('in/a/1.jpg').unlink(missing_ok=True)

@case('in', 0, '1 no image by name')
def _():
    "a drawing in SVG"
    two(); Path('in/a/x.svg').write_text('<svg/>')

@case('in', 1, 'no images')
def _():
    "nothing but empty folders"
    Path('in/a/b').mkdir(parents=True)

@case('in', 0, '3 samples')
def _():
    "folders in folders"
    two(); png('in/a/deep/er/x.png')

@case('in', 0, '2 samples')
def _():
    "a folder that links to its parent"
    two(); Path('in/a/up').symlink_to(Path('in').absolute())

@case('in --out in/store', 0, '2 samples')
def _():
    "a store inside the images"
    two()

@case('in --out in/a/0.png', 1, 'is a file')
def _():
    "a store in place of a file"
    two()

@case('in/', 0, '2 samples')
def _():
    "a slash at the end"
    two()

@case('file:///in', 1, 'does not exist')
def _():
    "images at an address"
    two()

@case('in/a/0.png', 1, 'one picture')
def _():
    "a single image"
    two()

@case('in.tar', 1, 'no tar file with images')
def _():
    "an empty tar file"
    tarred('in.tar', [])

@case('in.tar', 1, 'compressed')
def _():
    "a compressed tar file called .tar"
    tarred('in.tar', [('a/0.png', bytes_of())], 'w:gz')

@case('in.tar', 1, 'ZIP file')
def _():
    "a ZIP file called .tar"
    import zipfile
    with zipfile.ZipFile('in.tar', 'w') as o: o.writestr('a/0.png', bytes_of())

@case('in.tar', 0, '2 samples')
def _():
    "a tar file whose members climb out of it"
    tarred('in.tar', [('../a/0.png', bytes_of()), ('/b/1.png', bytes_of())])

@case('in.tar', 0, '2 samples')
def _():
    "a tar file with one member twice"
    tarred('in.tar', [('a/0.png', bytes_of()), ('a/0.png', bytes_of()), ('b/1.png', bytes_of())])

@case('in.tar', 0, '2 samples')
def _():
    "a tar file with a name of 300 letters"
    tarred('in.tar', [('a/'+'x'*300+'.png', bytes_of()), ('b/1.png', bytes_of())])

@case('in --labels list.csv', 0, '2 samples')
def _():
    "a list with a byte-order mark"
    two(); Path('list.csv').write_bytes(b'\xef\xbb\xbfpath,label\na/0.png,x\nb/1.png,y\n')

@case('in --labels list.csv', 0, '2 samples')
def _():
    "a list with semicolons"
    two(); Path('list.csv').write_text('path;label\na/0.png;x\nb/1.png;y\n')

@case('in --labels list.csv', 0, '2 samples')
def _():
    "a list with backslashes"
    two(); Path('list.csv').write_text('path,label\na\\0.png,x\nb\\1.png,y\n')

@case('in --labels list.csv', 0, '2 samples')
def _():
    "a list of whole paths"
    two(); Path('list.csv').write_text('path,label\n'+''.join(f'{Path(o).absolute()},x\n' for o in
                                                             ('in/a/0.png', 'in/b/1.png')))

@case('in --labels list.csv', 1, "two labels, 'x' and 'y'")
def _():
    "a list that gives one image two labels"
    two(); Path('list.csv').write_text('path,label\na/0.png,x\na/0.png,y\nb/1.png,y\n')

@case('in --labels list.csv', 1, '1 of 2 images of in are without a label')
def _():
    "a list without some labels"
    two(); Path('list.csv').write_text('path,label\na/0.png,\nb/1.png,y\n')

@case('in --labels list.jsonl', 1, 'list.jsonl')
def _():
    "a list whose second line is cut"
    two(); Path('list.jsonl').write_text('{"path": "a/0.png", "label": "x"}\n{"path": "b/1')

@case('in --labels list.json', 0, '2 samples')
def _():
    "a list as one object"
    two(); Path('list.json').write_text('{"a/0.png": 3, "b/1.png": 0}')

@case('in --labels in', 1, 'in is a folder')
def _():
    "a folder as the list"
    two()

@case('hf:in', 1, 'labels such as 0.5')
def _():
    "labels that are broken numbers"
    dataset(image=[Image.new('L', (8, 8))]*2, label=[.5, 1.5])

@case('hf:in', 1, 'labels such as [1, 2]')
def _():
    "labels that are lists"
    dataset(image=[Image.new('L', (8, 8))]*2, label=[[1, 2], [3]])

@case('hf:in', 0, '2 samples')
def _():
    "labels that are yes and no"
    dataset(image=[Image.new('L', (8, 8))]*2, label=[True, False])

@case('hf:in', 0, '1 samples', lost=1)
def _():
    "a data set with an image that is missing"
    dataset(image=[Image.new('L', (8, 8)), None], label=[0, 1])

@case('hf:in', 1, 'no rows')
def _():
    "a data set without rows"
    dataset(image=[], label=[])

@case('in --size 1x3', 0, '2 samples')
def _():
    "images of three pixels"
    two()

@case('in --shard-size 1 --batch 1000', 0, '2 samples')
def _():
    "a shard for each image, batches larger than all"
    two()

@case(['evaluate', 'in/a', '--reference', 'in/b'], 1, '1 image cannot be scored')
def _():
    "a score of one image"
    two()

@case(['evaluate', 'x.npz'], 1, 'arr_0')
def _():
    "samples in floats"
    np.savez('x.npz', arr_0=np.zeros((4, 32, 32, 1), np.float32))

@case(['evaluate', 'x.npz'], 1, 'arr_0 is object')
def _():
    "samples of Python objects"
    np.savez('x.npz', arr_0=np.array([dict(a=1)], dtype=object))

@case(['train', '--config', 'in', '--out', 'run'], 1, 'not a configuration')
def _():
    "a config that is a list"
    Path('in').mkdir(); Path('in/config.json').write_text('[1, 2]')

@case(['train', 'tiny', '--data.images', 'in', '--data.limit', '0', '--out', 'run'], 1, 'optim.batch_size 16 exceeds')
def _():
    "two images to train from"
    two()

@case(['prepare', '--images', '', *base[1:-1]], 1, 'is empty')
def _():
    "no name of images, as of a variable that is not set"
    two()

@case(['prepare', '--images', 'in', '--out', '', *base[3:-1]], 1, 'is empty')
def _():
    "no name of a store"
    two()

@case('file://./in', 0, '2 samples')
def _():
    "images at an address on this machine"
    two()

@case('in', 1, 'not one')
def _():
    "nothing but broken images"
    for k in 'ab': (png(f'in/{k}/x.png')).write_text('hello')

@case('in.parquet', 1, 'hf:')
def _():
    "a Parquet file alone"
    two(); dataset_file()

@case('in.zip', 1, 'ZIP file')
def _():
    "a ZIP file"
    import zipfile
    with zipfile.ZipFile('in.zip', 'w') as o: o.writestr('a/0.png', bytes_of())

@case('in/*.png', 1, 'does not exist')
def _():
    "a pattern that no shell has filled in"
    two()

@case('in --labels list.csv', 1, 'in UTF-8')
def _():
    "a list in Latin-1"
    two(); Path('list.csv').write_bytes('path,label\na/0.png,Bär\nb/1.png,y\n'.encode('latin-1'))

@case('in --labels list.json', 1, 'cannot be read as a list')
def _():
    "a list that is a number"
    two(); Path('list.json').write_text('3')

@case('in --labels list.json', 1, 'labels such as nan')
def _():
    "a list with NaN for a label"
    two(); Path('list.json').write_text('[{"path": "a/0.png", "label": NaN}, {"path": "b/1.png", "label": 1}]')

@case('hf:in', 1, 'no column of images')
def _():
    "a data set of addresses in place of images"
    dataset(url=['http://a/0.png', 'http://a/1.png'], label=[0, 1])

@case('in', 0, '3 samples')
def _():
    "a header that holds the camera in a ninth way"
    two()
    exif = Image.Exif()
    exif[0x0112] = 9
    png('in/a/x.jpg', exif=exif)

@case('in', 0, '4 samples')
def _():
    "one bit a pixel, and sixteen bits of nothing"
    two(); png('in/a/x.png', 1, mode='1'); Image.fromarray(np.zeros((8, 8), np.uint16)).save('in/a/y.png')

@case('in', 0, '3 samples')
def _():
    "a class that links to another"
    two(); Path('in/c').symlink_to('a')

def happened(name, folder):
    "Code, the last line, and what the store holds."
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    before = Path.cwd()
    os.chdir(folder)
    out, err = io.StringIO(), io.StringIO()
    try:
        cases[name]['make']()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try: code = main([*cases[name]['words']]) or 0
            except SystemExit as e: code = e.code
    finally: os.chdir(before)
    said = (out.getvalue() if not code else err.getvalue()).splitlines()
    store = folder/'store'/'store.json'
    meta = read_json(store) if store.exists() else {}
    lines = [o for o in said if o.strip() and not o.startswith('train with')]
    return dict(code=code, told=lines[-1] if lines else '', lost=meta.get('skipped', 0), classes=meta.get('classes'))

def ours(line):
    "A sentence without what a library of some version added in brackets."
    return re.sub(r'\(.*\)', '', line)

def said(found, folder):
    "The last line, wherever the folder lies."
    return found['told'].replace(str(folder), '').removeprefix('urepa: ').strip()

@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch): monkeypatch.setenv('UREPA_CACHE', str(tmp_path/'cache'))

@pytest.mark.timeout(60)
@pytest.mark.parametrize('name', cases)
def test_odd(name, tmp_path):
    wanted, found = cases[name], happened(name, tmp_path/'here')
    assert found['code']==wanted['code'] and wanted['told'] in found['told'], found
    assert 'fault of urepa' not in found['told'] and 'Errno' not in found['told'], found
    recorded = read_json(asset('results', 'odd_inputs.json'))['rows'][name]['now']
    assert ours(said(found, tmp_path))==ours(recorded)
    if 'lost' in wanted: assert found['lost']==wanted['lost'], found
    if 'classes' in wanted: assert found['classes']==wanted['classes'], found

def tried(name, folder):
    "How a case ends in one line; also one that hangs or ends in a traceback, at revisions where some do."
    def late(*_): raise TimeoutError('it hangs')
    signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    try: found = happened(name, Path(folder)/'here')
    except TimeoutError: return 'hangs'
    except BaseException as e: return f'traceback: {type(e).__name__}: {e}'.replace(str(folder), '')
    finally: signal.alarm(0)
    return said(found, folder)

def update(path, key):
    "Try every case, and write its last line into the table under `key`."
    table = read_json(path)
    rows = {}
    for name, case in cases.items():
        held = dict(words='', before='', now='')|table['rows'].get(name, {})
        with tempfile.TemporaryDirectory() as folder:
            os.environ['UREPA_CACHE'] = f'{folder}/cache'
            rows[name] = dict(held, words=' '.join(case['words']))|{key:tried(name, folder)}
    table |= dict(rows=rows, provenance=provenance())
    Path(path).write_text(json.dumps(table, indent=1, ensure_ascii=False)+'\n', encoding='utf-8')

if __name__=='__main__': update(sys.argv[1], *sys.argv[2:] or ['now'])
