"""A store that lies elsewhere, read by this package and by two engines that others use: litdata and mosaicml-streaming.

    python tests/engines.py --out data/results/engines.json        what the page on stores shows; `make engines`

The engines are no requirement and are measured where they are installed. All read the same samples from another folder
of this disk. A copied file waits for a tenth of a second first, as a network would let it. The sets are written once by
each engine's own writer, with as many samples in a file. One process reads, without workers."""
import argparse
import gc
import importlib.util
import os
import shutil
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

os.environ.update(OMP_NUM_THREADS='1', HF_HUB_OFFLINE='1')
import numpy as np
import torch

from urepa.core import provenance, write_json
from urepa.data.batches import LookAhead
from urepa.data.order import Windows, batch_indices
from urepa.data.store import Store, finish_store, write_shard

latency, shard, batch, window = .1, 64, 32, 4
shapes = dict(moments=(8, 32, 32), tokens=(64, 384)) # float16
copied = [] # bytes of each file that was copied
real_copy = shutil.copyfile

def slow_copy(source, target, **options):
    time.sleep(latency)
    if os.path.exists(source): copied.append(os.path.getsize(source)) # threads of an engine may outlive the folder
    return real_copy(source, target, **options)

def sample(k):
    made = np.random.default_rng(k)
    return {name:made.standard_normal(o, dtype=np.float32).astype(np.float16) for name, o in shapes.items()}

class Ours:
    name = 'urepa'

    def write(self, folder, n):
        for k in range(n//shard):
            rows = [sample(o) for o in range(k*shard, (k+1)*shard)]
            tensors = {o:torch.from_numpy(np.stack([row[o] for row in rows])) for o in shapes}
            write_shard(folder, k, dict(tensors, label=torch.arange(k*shard, (k+1)*shard)), [])
        finish_store(folder, n//shard, dict(classes=[str(o) for o in range(n)], codec={}, teacher=None))

    def batches(self, folder, cache, first=0):
        os.environ['UREPA_CACHE'] = str(cache)
        store = Store(f'file://{folder}')
        order = Windows(tuple(store.starts), window, 0)
        look = LookAhead(store, order, batch)
        for step in range(first, len(store)//batch):
            look(step, 0, 1)
            rows = store.read(batch_indices(order, batch, step))
            yield rows['label'].tolist(), {o:rows[o] for o in shapes}

class LitData:
    name = 'litdata'

    def write(self, folder, n):
        from litdata import optimize
        optimize(fn=lit_sample, inputs=list(range(n)), output_dir=str(folder), chunk_size=shard, num_workers=1,
                 verbose=False)

    def loader(self, folder, cache):
        from litdata import StreamingDataLoader, StreamingDataset
        from litdata.streaming.resolver import Dir
        data = StreamingDataset(Dir(path=str(cache), url=f'local:{folder}'), shuffle=True, seed=0, drop_last=True)
        return StreamingDataLoader(data, batch_size=batch, num_workers=0, shuffle=True)

    def batches(self, folder, cache, first=0):
        loader = self.loader(folder, cache)
        if first: loader.load_state_dict(self.state)
        for k, o in enumerate(loader, first+1):
            if k==self.stop: self.state = loader.state_dict()
            yield o['label'].tolist(), {name:o[name] for name in shapes}

def lit_sample(k): return dict(sample(k), label=k)

class Mosaic:
    name = 'mosaicml-streaming'

    def write(self, folder, n):
        from streaming import MDSWriter
        columns = {k:f"ndarray:float16:{','.join(map(str, o))}" for k, o in shapes.items()}
        size = shard*sum(2*int(np.prod(o)) for o in shapes.values())+64*shard
        with MDSWriter(out=str(folder), columns=dict(columns, label='int'), size_limit=size) as f:
            for k in range(n): f.write(dict(sample(k), label=k))

    def batches(self, folder, cache, first=0):
        from streaming import StreamingDataLoader, StreamingDataset
        from streaming.base.util import clean_stale_shared_memory
        clean_stale_shared_memory()
        data = StreamingDataset(remote=str(folder), local=str(cache), shuffle=True, shuffle_seed=0, batch_size=batch,
                                predownload=4*batch)
        loader = StreamingDataLoader(data, batch_size=batch, num_workers=0, drop_last=True)
        if first: loader.load_state_dict(self.state)
        for k, o in enumerate(loader, first+1):
            if k==self.stop: self.state = loader.state_dict()
            yield o['label'].tolist(), {name:o[name] for name in shapes}

def read(engine, folder, cache, first=0):
    "Seconds until the first batch and until the last, what was copied, and the labels of each batch."
    shutil.rmtree(cache, ignore_errors=True) # one place for all: litdata resumes nowhere else
    cache.mkdir()
    copied.clear()
    then, seen, begun = time.perf_counter(), [], None
    for labels, tensors in engine.batches(folder, cache, first):
        assert tensors['tokens'].shape==(batch, *shapes['tokens'])
        if begun is None: begun = time.perf_counter()-then
        seen.append(labels)
    gc.collect()
    seconds = time.perf_counter()-then
    kept = sum(o.stat().st_size for o in cache.rglob('*') if o.is_file())
    return dict(first=begun, seconds=seconds, files=len(copied), bytes=sum(copied), kept=kept), seen

def measure(engine, n, repeats):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        far, engine.stop = Path(place)/'far', n//batch//2
        far.mkdir()
        engine.write(far, n)
        size = sum(o.stat().st_size for o in far.rglob('*') if o.is_file())
        rows = []
        for _ in range(repeats):
            told, seen = read(engine, far, Path(place)/'cache')
            rows.append(told)
        resumed, again = read(engine, far, Path(place)/'cache', engine.stop)
    row = {k:statistics.median(o[k] for o in rows) for k in rows[0]}
    every = [o for labels in seen for o in labels]
    return dict(engine=engine.name, samples=n, stored=size, **row, rate=n/row['seconds'],
                resumed=resumed['first'], resumed_files=resumed['files'], resumes_same=again==seen[engine.stop:],
                each_once=sorted(every)==list(range(n)))

if __name__=='__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('--samples', type=int, default=1024)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--out', type=Path, help='JSON file for the result')
    args = parser.parse_args()
    torch.set_num_threads(1)
    shutil.copyfile = slow_copy
    rows, versions = [], {}
    for engine, package in ((Ours(), ''), (LitData(), 'litdata'), (Mosaic(), 'mosaicml-streaming')):
        if package and not importlib.util.find_spec({'mosaicml-streaming':'streaming'}.get(package, package)):
            print(f'{package} is not installed; pip install {package} into an environment of its own')
            continue
        if package: versions[package] = version(package)
        rows.append(measure(engine, args.samples, args.repeats))
        print(rows[-1], flush=True)
    result = dict(rows=rows, versions=versions, latency=latency, shard=shard, batch=batch, window=window)
    if args.out: write_json(args.out, dict(result, provenance=provenance()))
