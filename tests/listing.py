"""What it takes to list many images in class folders: a general list of paths, or names as bytes.

    python tests/listing.py --out data/results/listing.json        what the page on sources shows; `make listing`

The names are made up, in the place of `os.scandir`. Measured is what a fork of this process holds when it has the
source, and how long it took."""
import argparse
import gc
import json
import os
import tempfile
import time
from pathlib import Path
from unittest import mock

from urepa.core import provenance, write_json
from urepa.data import sources

images_of_a_class = 1000

class Entry:
    "What `os.scandir` yields."
    def __init__(self, folder, name, is_folder):
        self.name, self.path, self.is_folder = name, f'{folder}/{name}', is_folder

    def is_dir(self, follow_symlinks=True): return self.is_folder

    def is_file(self): return not self.is_folder

class Entries(list):
    def __enter__(self): return self

    def __exit__(self, *args): pass

def scandir(names, root):
    "Classes of ImageNet's kind, so many names in all."
    def scan(folder):
        classes = range(names//images_of_a_class)
        if str(folder)==str(root): return Entries(Entry(folder, f'n{k:08d}', True) for k in classes)
        mark = Path(folder).name
        return Entries(Entry(folder, f'{mark}_{k:06d}.JPEG', False) for k in range(images_of_a_class))
    return scan

def held():
    gc.collect()
    line = next(o for o in Path('/proc/self/status').read_text().splitlines() if o.startswith('VmRSS:'))
    return int(line.split()[1])*1024

def measure(way, names, root):
    before, then = held(), time.perf_counter()
    general = mock.patch.object(sources, 'plain_table', return_value=None)
    with mock.patch.object(sources.os, 'scandir', scandir(names, root)):
        if way=='general': general.start()
        source = sources.folder_source(root)
    seconds = time.perf_counter()-then
    assert source.length==names
    return dict(way=way, names=names, bytes=held()-before, seconds=seconds)

def forked(*args):
    "The result of a call in a process of its own."
    read, write = os.pipe()
    if child := os.fork():
        os.close(write)
        with open(read) as f: told = f.read()
        assert not os.waitpid(child, 0)[1], f'{args} failed'
        return json.loads(told)
    code = 1
    try:
        os.close(read)
        with open(write, 'w') as f: f.write(json.dumps(measure(*args)))
        code = 0
    finally: os._exit(code)

if __name__=='__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('--names', type=int, nargs='+', default=[1_000_000, 5_000_000])
    parser.add_argument('--out', type=Path, help='JSON file for the result')
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as root:
        jobs = [('general', args.names[0])]+[('compact', o) for o in args.names]
        for way, names in jobs:
            rows.append(forked(way, names, Path(root)))
            print(rows[-1], flush=True)
    if args.out: write_json(args.out, dict(rows=rows, provenance=provenance()))
