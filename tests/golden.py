"""What this code computes, to the last bit, kept while names and folders around the mathematics change.

`python tests/golden.py` writes golden.json; test_golden.py compares with it.
All that is known here of the package stands in the first section:
a rebuild ports that section, and neither the rest of this file nor golden.json."""
import hashlib
import math
import os
import re
import tempfile

os.environ.setdefault('OMP_NUM_THREADS', '1')

# ---- The package: the only section that has to be ported -------------------------------------------------------------

from urepa.config import preset, replace_fields
from urepa.data.batches import TrainingData
from urepa.flow.paths import flow_of
from urepa.flow.sample import sample
from urepa.flow.solvers import solvers
from urepa.processes import Processes
from urepa.training.build import build as build_parts
from urepa.training.train import State

configs = { # name → preset, and what differs from it
    'tiny': ('tiny', {}),
    'fashion': ('fashion', {'optim.batch_size': 16, 'data.limit': 512}),
    'teacher resized': ('tiny', {'align.resize': 'teacher'}),
    'grown before, time-aware': ('tiny', {'align.order': 'before', 'align.time_aware': True}),
    'noise on the vp path': ('tiny', {'optim.path': 'vp', 'optim.prediction': 'noise'}),
    'dispersive, samples': ('tiny', {'align.dispersive': .25, 'align.dispersive_temperature': .5,
                                     'align.dispersive_diagonal': False, 'align.pairs': 'samples'}),
    'own average': ('tiny', {'align.teacher': 'ema'}),
    'isotropic': ('tiny',
                  {'model.depths': (4,), 'model.skips': False, 'model.rope': False, 'model.swiglu': False,
                   'model.time_scale': 1.,
                           'align.block': 2, 'align.manifold': 0.}),
}

def make_config(name):
    start, changes = configs[name]
    return replace_fields(preset(start), {**changes, 'optim.lr': 1e-3, 'run.device': 'cpu'})

def build(config):
    "The training data, and what is trained: network and projector in one module."
    data = TrainingData(config, 'cpu')
    return data, build_parts(config, data).objective

def parameters(objective):
    "Whatever is trained: group → tensors, in the order in which golden.json lists their shapes."
    net = objective.net
    parts = dict(patches=net.patches, conditions=net.conditions, encoder=net.stages[0], middle=net.stages[1],
                 decoder=net.stages[2],
                 down=net.downs, up=net.ups, joins=net.fusions, final=net.final, projector=objective.projector)
    found = {k:[p for p in o.parameters() if p.requires_grad] for k,o in parts.items()}
    assert sum(map(len, found.values()))==sum(p.requires_grad for p in objective.parameters())
    return found

def begin(config, objective):
    "A run at step 0; its average is a copy of the weights as they now are."
    return State(config, objective, Processes('cpu'))

def make_batch(data, step):
    "Images, labels and teacher tokens (or `None`) of a step."
    return data.batch(step)

def draws(config, objective, batch):
    "What step 0 draws for its batch: times, noise, and the labels that are left."
    u, noise, hidden = batch.draws[:3]
    return u, noise, batch.y.masked_fill(hidden, config.model.n_classes)

def backward(state, batch):
    "Gradients of the next step, not clipped, left in the parameters; nothing else changes."
    state.backward(batch, (0, 1))

def advance(state, batch):
    "One whole step; its terms and the norm of its gradient before clipping: name → float."
    state.train_step(batch)
    told = state.pop_means()
    assert told.pop('skipped')==0 and 'not_finite' not in told
    off = {'manifold': 0.} if 'manifold' not in told else {} # a term of weight 0 was reported as 0
    return {k:v for k,v in told.items() if k!='gradient_max'} | off

def images(config, state):
    "Solver → four images drawn from the average."
    o = config.optim
    options = dict(labels=[0, 1, 2, 3], seed=3, steps=5, guidance=1.5, interval=(.1, .8), flow=flow_of(o))
    return {k:sample(state.ema.module, solver=solvers[k], **options)
            for k in ('heun', 'euler_maruyama' if o.prediction=='velocity' else 'ddim')}

# ---- What is computed ------------------------------------------------------------------------------------------------

import json
from contextlib import contextmanager
from pathlib import Path

import torch
from checkout import git

path, steps = Path(__file__).with_suffix('.json'), 20
pixels = range(72, 1024, 128) # of an image's 1024 numbers

@contextmanager
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try: yield
    finally: torch.set_num_threads(before)

def fill(tensors):
    "Random weights, drawn in the order of `tensors` by one generator, none of them zero."
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for o in tensors:
            o.copy_(torch.randn(o.shape, generator=source)*(.1 if o.ndim==1 else .5/math.sqrt(o.numel()/o.shape[0])))

def watched(parts):
    "Three tensors whose gradients are looked at."
    modulation = next(o for o in parts['middle'] if o.ndim==2 and o.shape[0]==6*o.shape[1])
    return {'patches, first':parts['patches'][0], 'middle, first modulation':modulation,
            'projector, first':parts['projector'][0]}

def checksum(tensor): return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()

def hexed(numbers): return [float(o).hex() for o in numbers]

def about(drawn):
    "What is kept of images, `[n 1 32 32]`."
    flat = drawn.flatten(1)
    return dict(sha256=[checksum(o) for o in drawn], mean=hexed(flat.double().mean(1)), std=hexed(flat.double().std(1)),
                pixels=[hexed(o[list(pixels)]) for o in flat])

def compute(name):
    "The values of one config, as JSON holds them. Set UREPA_CACHE to a temporary folder before."
    with one_thread():
        config = make_config(name)
        data, objective = build(config)
        parts = parameters(objective)
        tensors = [o for part in parts.values() for o in part]
        fill(tensors)
        state = begin(config, objective)
        batches = [make_batch(data, k) for k in range(steps)]
        inputs = dict(zip(('images', 'labels', 'tokens', 'times', 'noise', 'shown'),
                          [*batches[0][:3], *draws(config, objective, batches[0])], strict=True))
        backward(state, batches[0])
        norms = {k:dict(index=next(i for i,p in enumerate(tensors) if p is o), norm=float(o.grad.norm()).hex())
                 for k,o in watched(parts).items()}
        rows = [advance(state, o) for o in batches]
        return dict(
            groups=[[k, len(o)] for k,o in parts.items()], shapes=[list(o.shape) for o in tensors],
            inputs={k:v if v is None else checksum(v) for k,v in inputs.items()}, gradients=norms,
            terms={k:hexed(o[k] for o in rows) for k in rows[0]},
            images={k:about(v) for k,v in images(config, state).items()})

# ---- Where it was computed, and the file -----------------------------------------------------------------------------

def machine():
    "What decides whether two machines round alike."
    info = Path('/proc/cpuinfo')
    told = dict(re.split(r'\s*:\s*', o, maxsplit=1) for o in info.read_text().split('\n\n')[0].splitlines()
                if ':' in o) if info.exists() else {}
    cpu = f"{told.get('model name', 'unknown')}, family {told.get('cpu family')}, model {told.get('model')}"
    return dict(cpu=cpu, capability=torch.backends.cpu.get_cpu_capability(), torch=torch.__version__)

def names(name):
    "What the tensors of a config are called today, in the order of their shapes: told, but never compared."
    objective = build(make_config(name))[1]
    called = {id(p):k for k,p in objective.named_parameters()}
    return [called[id(o)] for part in parameters(objective).values() for o in part]

def on_lines(text):
    "Lists of plain values on a line each."
    return re.sub(r'\[[^][{}]*\]', lambda o: re.sub(r'\s*\n\s*', ' ', o[0]).replace('[ ', '[').replace(' ]', ']'), text)

def main():
    revision = git('rev-parse', 'HEAD')[0] + '+'*bool(git('status', '--porcelain', '--', 'urepa'))
    with tempfile.TemporaryDirectory() as cache:
        os.environ['UREPA_CACHE'] = cache
        values, told = {o:compute(o) for o in configs}, {o:names(o) for o in configs}
    provenance = dict(machine(), revision=revision, threads=1, steps=steps, pixels=list(pixels))
    path.write_text(on_lines(json.dumps(dict(provenance=provenance, values=values, names=told), indent=1))+'\n')

if __name__=='__main__': main()
