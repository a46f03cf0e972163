"""What a checkpoint costs the step before it: everything, a copy into new memory, or a copy into room that stands.

    python tests/saves.py --out data/results/saves.json        what the page on checkpoints shows; `make saves`

Linear layers in place of a network, on the CPU. Of weights that are split (FSDP2) over two forks, the whole was put
together in the first one until now; now each copies its part. Times are medians, of the slowest process."""
import argparse
import json
import os
import socket
import statistics
import tempfile
import time
from pathlib import Path

os.environ.update(OMP_NUM_THREADS='1', ACCELERATE_USE_CPU='1')
import accelerate  # noqa: F401, before the forks
import torch
import torch.distributed.checkpoint  # noqa: F401, before the forks
from torch import nn

from urepa.core import provenance, write_json
from urepa.processes import Processes
from urepa.training.checkpoint import HostCopy, Writer, pack_optimizer, snapshot, write_snapshot


def timed(function):
    then = time.perf_counter()
    result = function()
    return time.perf_counter()-then, result

def trained(width, layers):
    "A network, its average, and an optimizer that has made its moments."
    net, ema = [nn.Sequential(*[nn.Linear(width, width, bias=False) for _ in range(layers)]) for _ in range(2)]
    for p in net.parameters(): nn.init.normal_(p, std=.02)
    return net, ema

def optimizer_of(net):
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    for p in net.parameters(): p.grad = torch.full_like(p, 1e-3)
    optimizer.step()
    optimizer.zero_grad()
    return optimizer

def new_copies(modules, optimizer):
    "Copies in memory that is new each time."
    tensors = [*[v for o in modules.values() for v in o.state_dict().values()], *pack_optimizer(optimizer)[0].values()]
    return [o.to('cpu', copy=True) for o in tensors]

def put_together(modules, optimizer, main):
    "All of every tensor, in the first process."
    tensors = [*[v for o in modules.values() for v in o.state_dict().values()], *pack_optimizer(optimizer)[0].values()]
    whole = [o.full_tensor() if hasattr(o, 'full_tensor') else o for o in tensors]
    return [o.to('cpu', copy=True) for o in whole] if main else []

def alone(args, folder):
    "Seconds of each way, in one process."
    net, ema = trained(args.width, args.layers)
    optimizer, modules, room = optimizer_of(net), dict(net=net, ema=ema), HostCopy()
    size = sum(o.nbytes for o in new_copies(modules, optimizer))
    snapshot(0, modules, optimizer, copy=room)
    rows = dict(written=[], new=[], room=[])
    for k in range(args.repeats):
        rows['written'].append(timed(lambda: write_snapshot(folder, snapshot(k, modules, optimizer)))[0])
        rows['new'].append(timed(lambda: new_copies(modules, optimizer))[0])
        rows['room'].append(timed(lambda: snapshot(k, modules, optimizer, copy=room))[0])
    return size, {k:statistics.median(v) for k, v in rows.items()}

def together(args, folder):
    "Seconds of each way, in one of two processes that hold a half of every weight."
    p = Processes('cpu')
    net, ema = trained(args.width, args.layers)
    for o in (net, ema): p.wrap(o, shard=True)
    optimizer, modules, room, mesh = optimizer_of(net), dict(net=net, ema=ema), HostCopy(), p.side_line()
    snapshot(0, modules, optimizer, copy=room, mesh=mesh)
    rows = dict(gathered=[], part=[], thread=[])
    for k in range(args.repeats):
        p.wait()
        rows['gathered'].append(timed(lambda: put_together(modules, optimizer, p.main))[0])
        p.wait()
        seconds, copied = timed(lambda: snapshot(k, modules, optimizer, copy=room, mesh=mesh))
        rows['part'].append(seconds)
        with Writer(folder, keep=1, group=mesh.get_group(), presence=p.presence) as writer:
            writer.put(copied)
            rows['thread'].append(timed(writer.wait)[0])
    p.wait()
    return {k:statistics.median(v) for k, v in rows.items()}

def two(args, folder):
    with socket.create_server(('127.0.0.1', 0)) as free: port = free.getsockname()[1]
    children = []
    for rank in (0, 1):
        if child := os.fork():
            children.append(child)
            continue
        os.environ.update(WORLD_SIZE='2', RANK=str(rank), LOCAL_RANK=str(rank), MASTER_ADDR='127.0.0.1',
                          MASTER_PORT=str(port))
        code = 1
        try:
            (folder/f'{rank}.json').write_text(json.dumps(together(args, folder/'two')))
            code = 0
        finally: os._exit(code)
    assert not any(os.waitpid(o, 0)[1] for o in children), 'a process failed'
    told = [json.loads((folder/f'{o}.json').read_text()) for o in (0, 1)]
    return {k:max(o[k] for o in told) for k in told[0]}

if __name__=='__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('--width', type=int, default=2048)
    parser.add_argument('--layers', type=int, default=15)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--out', type=Path, help='JSON file for the result')
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        split = two(args, Path(folder))
        size, whole = alone(args, Path(folder)/'one')
    result = dict(parameters=args.width**2*args.layers, bytes=size, repeats=args.repeats, whole=whole, split=split)
    print(result)
    if args.out: write_json(args.out, dict(result, provenance=provenance()))
