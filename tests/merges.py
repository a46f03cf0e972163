"""How much memory processes need to bring together what they have seen: sent to all, or merged in pairs.

    python tests/merges.py --out data/results/merges.json        what the page on evaluation shows; `make merges`

Forks of this process on one machine. Each has the sums of Inception's features, as wide as those of a score, of a few
random rows. Measured is by how much the memory of a process rises above what it held before."""
import argparse
import json
import os
from pathlib import Path

os.environ.update(OMP_NUM_THREADS='1', ACCELERATE_USE_CPU='1')
import accelerate  # noqa: F401, before the forks
import torch
import torch.distributed as dist
from ranks import told_by

from urepa.core import provenance, write_json
from urepa.processes import Processes
from urepa.score.evaluate import Extracted, merge_extracted, reduce_to_first
from urepa.tokens import Moments

widths = dict(pool=2048, spatial=2023) # of Inception

def held(name):
    "Bytes of this process, from the kernel."
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(o.split()[1])*1024 for o in lines if o.startswith(f'{name}:'))

def seen(rank):
    made = torch.Generator().manual_seed(rank)
    moments = {k:Moments(block=2048).add(torch.randn(64, d, generator=made)) for k, d in widths.items()}
    for o in moments.values(): o.flush()
    return Extracted(moments, [(64*rank, dict(kept_pool=torch.randn(64, 2048, generator=made)))])

def sent_to_all(mine, processes):
    everyone = [None]*processes.world
    dist.all_gather_object(everyone, mine, group=processes.group)
    whole = everyone[0]
    for o in everyone[1:]: whole = merge_extracted(whole, o)
    return whole

def rise(way, processes):
    "By how many bytes the peak lies above the beginning."
    mine = seen(processes.rank)
    processes.wait()
    before = held('VmRSS')
    Path('/proc/self/clear_refs').write_text('5') # the peak begins anew
    way(mine, processes)
    peak = held('VmHWM')
    processes.wait()
    return peak-before

def work(out):
    processes = Processes('cpu')
    ways = dict(pairs=lambda mine, p: reduce_to_first(mine, merge_extracted, p), all=sent_to_all)
    out.write_text(json.dumps({k:rise(way, processes) for k, way in ways.items()}))
    processes.wait()

def measure(world):
    told = told_by(world, work)
    each = {k:[o[k] for o in told] for k in told[0]}
    found = {f'{k}_{what}':f(v) for k, v in each.items() for what, f in (('most', max), ('sum', sum))}
    return dict(world=world, **found)

if __name__=='__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('--worlds', type=int, nargs='+', default=[2, 4, 8])
    parser.add_argument('--out', type=Path, help='JSON file for the result')
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for world in args.worlds:
        rows.append(measure(world))
        print({k:v if k=='world' else f'{v/1e6:.0f} MB' for k, v in rows[-1].items()}, flush=True)
    size = sum(8*d*d for d in widths.values())
    if args.out: write_json(args.out, dict(rows=rows, moments_bytes=size, provenance=provenance()))
