"""What it costs to ask at every step whether a run shall stop: waiting for the answer, or reading it a step later.

    python tests/votes.py --out data/results/votes.json        what the page on processes shows; `make votes`

Forks of this process on one machine, connected by gloo. A step is ten milliseconds of sleep, as a GPU would work
meanwhile, so that processes share cores and do not want them all at once."""
import argparse
import json
import os
import time
from pathlib import Path

os.environ.update(OMP_NUM_THREADS='1', ACCELERATE_USE_CPU='1')
import accelerate  # noqa: F401, before the forks
import torch
import torch.distributed as dist
from ranks import told_by

from urepa.core import provenance, write_json
from urepa.processes import Processes, Vote

rest = .01 # seconds of a step

def waited(processes):
    votes = torch.tensor(0.)
    dist.all_reduce(votes, group=processes.group)
    return votes.item()>0

def each_step(processes, vote, steps):
    "Milliseconds of a step besides its sleep, and CPU milliseconds."
    for _ in range(5): vote()
    processes.wait()
    start, busy, slept = time.perf_counter(), time.process_time(), 0.
    for _ in range(steps):
        then = time.perf_counter()
        time.sleep(rest)
        slept += time.perf_counter()-then
        assert not vote()
    took, busy = time.perf_counter()-start-slept, time.process_time()-busy
    processes.wait()
    return took/steps*1e3, busy/steps*1e3

def work(out, steps):
    processes = Processes('cpu')
    vote = Vote(processes)
    none, first, then = (each_step(processes, o, steps)
                         for o in (lambda: None, lambda: waited(processes), lambda: vote.put(False)))
    vote.read()
    out.write_text(json.dumps([[a-b for a, b in zip(o, none, strict=True)] for o in (first, then)]))
    processes.wait()

def measure(world, steps):
    "Means over the processes."
    told = torch.tensor(told_by(world, lambda out: work(out, steps))).mean(0).tolist()
    (waited_ms, _), (late_ms, cpu_ms) = told
    return dict(world=world, steps=steps, waited_ms=waited_ms, late_ms=late_ms, cpu_ms=cpu_ms)

if __name__=='__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('--worlds', type=int, nargs='+', default=[2, 8, 16])
    parser.add_argument('--steps', type=int, default=300)
    parser.add_argument('--out', type=Path, help='JSON file for the result')
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for world in args.worlds:
        rows.append(measure(world, args.steps))
        print(rows[-1], flush=True)
    if args.out: write_json(args.out, dict(rows=rows, rest_ms=rest*1e3, provenance=provenance()))
