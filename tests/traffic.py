"""What the end of a step costs beside the network: clipping, AdamW, an average in three passes over memory or in one.

    python tests/traffic.py --out data/results/traffic.json        what the page on averages shows; `make traffic`

On the CPU, on matrices as large as those of a network; medians. With --device cuda on a GPU."""
import argparse
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
import torch
from torch import nn

from urepa.core import provenance, write_json
from urepa.training.ema import move_towards

share = 1e-4 # of the way that an average goes at a step

def three_passes(own, new):
    "What the average did before: a difference, its product, a sum."
    step = torch._foreach_sub(new, own)
    torch._foreach_mul_(step, share)
    torch._foreach_add_(own, step)

def ways(weights, device):
    "name → what is timed."
    made = torch.Generator().manual_seed(0)
    draw = [torch.randn(o, generator=made).to(device) for o in weights]
    params = [nn.Parameter(o.clone()) for o in draw]
    for p, o in zip(params, draw, strict=True): p.grad = o*1e-3
    average, kept = [o.clone() for o in draw], torch.tensor(True, device=device)
    fused, single = [torch.optim.AdamW(params, **o) for o in (dict(fused=True), dict(foreach=False))]
    new = [p.detach() for p in params]
    return {'average, three passes': lambda: three_passes(average, new),
            'average, one pass': lambda: move_towards(average, new, share, kept),
            'clipping': lambda: nn.utils.clip_grad_norm_(params, 1e9, foreach=True),
            'AdamW, operation by operation': single.step, 'AdamW, fused': fused.step}

def seconds(call, device):
    then = time.perf_counter()
    call()
    if device!='cpu': torch.cuda.synchronize()
    return time.perf_counter()-then

if __name__=='__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--layers', type=int, default=24, help='matrices of 1,152 × 1,152 weights')
    parser.add_argument('--repeats', type=int, default=9)
    parser.add_argument('--out', type=Path, help='JSON file for the result')
    args = parser.parse_args()
    torch.set_num_threads(1)
    weights = [(1152, 1152)]*args.layers
    timed = ways(weights, args.device)
    for call in timed.values(): seconds(call, args.device)
    rows = {k:[] for k in timed}
    for _ in range(args.repeats):
        for k, call in timed.items(): rows[k].append(seconds(call, args.device))
    rows = {k:statistics.median(v) for k, v in rows.items()}
    for k, v in rows.items(): print(f'{k:32}{v*1e3:8.1f} ms')
    result = dict(device=args.device, parameters=args.layers*1152**2, seconds=rows)
    if args.out: write_json(args.out, dict(result, provenance=provenance()))
