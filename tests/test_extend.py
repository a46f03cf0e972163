"Parts of one's own, used without a change to the package."
import hashlib

import pytest
import torch
from forks import Ranks, command
from PIL import Image
from torch import nn

from urepa.config import presets, replace_fields
from urepa.core import UserError
from urepa.data.batches import TrainingData
from urepa.data.prepare import Recipe, prepare
from urepa.data.sources import Source
from urepa.data.teachers import teacher_fingerprint
from urepa.score.draw import draw
from urepa.training.build import load_build
from urepa.training.checkpoint import load_module
from urepa.training.run import Run
from urepa.training.train import train


def stripes(n):
    "A source of images: vertical or horizontal stripes, by label."
    def draw(k):
        line = torch.arange(32)//(2+k//2%3)%2*255
        image = line.expand(32, 32) if k%2 else line[:,None].expand(32, 32)
        return Image.fromarray(image.to(torch.uint8).numpy())
    def read(start, stop):
        for k in range(start, min(stop, n)): yield f'stripes {k}', k%2, lambda k=k: draw(k)
    def key(): return hashlib.sha256(str(n).encode()).hexdigest()[:16]
    return Source('stripes', ['lying', 'standing'], n, read, key)

class Edges(nn.Module):
    "A teacher: mean brightness and two differences of every patch of 4×4 pixels."
    width, grid = 3, 8

    def forward(self, images):
        right, down = (images-images.roll(1, 3)).abs(), (images-images.roll(1, 2)).abs()
        maps = nn.functional.avg_pool2d(torch.cat([images, right, down], 1), 4) # [b 3 8 8]
        return maps.flatten(2).mT

def test_source_and_teacher_of_ones_own(tmp_path):
    recipe = Recipe('pixels', 'edges', 32, grey=True, shard_size=16, batch=8, order='source')
    store = prepare(stripes(40), tmp_path/'store', recipe, device='cpu', show=False, teacher=Edges())
    assert (len(store), store.meta['source'], store.meta['classes']) == (40, 'stripes', ['lying', 'standing'])
    about = store.meta['teacher']
    assert (about['name'], about['width'], about['grid']) == ('edges', 3, 8)
    right, down = store.tokens(store.read([1]))[0,:,1:].mean(0) # of standing stripes
    assert right>.1 and down==0
    options = {'data.store':str(tmp_path/'store'), 'data.limit':0, 'align.teacher':'edges', 'optim.batch_size':8}
    data = TrainingData(replace_fields(presets['tiny'], options))
    assert (data.teacher.width, data.teacher.grid) == (3, 8)
    x, y, z = data.batch(0)[:3]
    assert (x.shape, z.shape) == ((8, 1, 32, 32), (8, 64, 3))
    expected = Edges()(x)
    assert torch.allclose(z, expected, atol=2e-3) and ((expected[:,:,2].mean(1)==0)==(y==1)).all()
    assert prepare(stripes(40), tmp_path/'store', recipe, device='cpu',
                   show=False).meta==store.meta # opened, not made again

def test_another_teacher_of_that_name_is_noticed(tmp_path):
    class Wider(Edges): pass
    assert teacher_fingerprint(Edges())!=teacher_fingerprint(Wider())

def test_a_metric_of_ones_own(tmp_path):
    "It is computed, stored, shown beside what real images get, and drawn by a comparison of stored results."
    from urepa.core import write_json
    from urepa.data.images import fashion
    from urepa.score.compare import compare, grouped, measures, read_scores
    from urepa.score.evaluate import Metric, describe, evaluate, fashion_nets, score_table, standard
    def apart(samples, reference): return (samples.pool.mean-reference.pool.mean).norm().item()
    mine = Metric('means', 'distance of the means', apart, plot=True)
    images = fashion('train')[0]
    for name, part in dict(a=images[:60], b=images[60:120]).items():
        result = evaluate(part, nets=fashion_nets()[1:], metrics=(*standard, mine))
        write_json(tmp_path/f'{name}.json', result)
    row = next(o for o in score_table(result) if o.key=='means')
    assert row.title=='distance of the means, autoencoder' and 0<row.value<100 and row.real>0
    assert row.title in describe(result)
    text = compare([tmp_path/'a.json', tmp_path/'b.json'], tmp_path/'both.png')
    assert f'{row.title}: b against a' in text
    assert ('autoencoder', 'means') in measures(grouped(read_scores(tmp_path/'a.json')))

own_loss = """import urepa

def length(aligned):
    return (aligned.h.norm(dim=-1)-SIZE).square().mean()

def build(config, **options):
    parts = urepa.build(config, **options)
    parts.objective.terms.append(urepa.Term('length', .1, length))
    return parts
"""

def test_loss_of_ones_own(tmp_path, capfd):
    "A file adds a term: it is in the bar and the log, a resumed run keeps it, and a loss that is not finite is named."
    def builder(size):
        path = tmp_path/'mine.py'
        path.write_text(own_loss.replace('SIZE', size))
        return load_build(path)
    options = {'optim.steps':10, 'run.log_every':5, 'run.save_every':5, 'run.device':'cpu', 'align.manifold':0.}
    config = replace_fields(presets['tiny'], options)
    run = Run(train(config, tmp_path/'run', until=5, build=builder('1.')))
    assert 'length=' in capfd.readouterr().err
    train(config, run.folder, resume=True, show=False)
    assert [o['step'] for o in run.log if o['length']>0]==[5, 10] and 'is executed' in capfd.readouterr().err
    assert run.net().step==10
    with pytest.raises(UserError, match=r'were not finite \(in length, gradient\)'):
        train(replace_fields(config, {'run.log_every':10}), tmp_path/'odd', show=False, build=builder("float('nan')"))

own_prediction = """import urepa
from urepa.flow.paths import Prediction, starts_infinitely_fast, velocity_target

backwards = Prediction(
    'backwards', lambda path, x, t, answer: -answer,
    lambda path, data, noise, t: -velocity_target(path, data, noise, t), starts_infinitely_fast)

def build(config, **options):
    parts = urepa.build(config, **options)
    parts.objective.flow = urepa.Flow(prediction=backwards)
    return parts
"""

def test_prediction_of_ones_own(tmp_path):
    "A network that predicts the velocity backwards learns as one that predicts it, and is sampled by its own flow."
    (tmp_path/'mine.py').write_text(own_prediction)
    options = {'optim.steps':5, 'run.log_every':5, 'run.device':'cpu', 'optim.lr':1e-6, 'align.weight':0.}
    config = replace_fields(presets['tiny'], options)
    plain = Run(train(config, tmp_path/'plain', show=False))
    mine = Run(train(config, tmp_path/'mine', show=False, build=load_build(tmp_path/'mine.py')))
    # at the start both answer 0, which is as wrong in one direction as in the other
    assert abs(plain.log[0]['velocity']-mine.log[0]['velocity'])<1e-3
    x = torch.randn(2, 1, 32, 32)
    assert torch.equal(mine.net().flow.velocity(x, x, torch.rand(2)), -x)
    assert draw(mine.folder, 4, steps=2)[0].shape==(4, 1, 32, 32)

own_network = """import urepa
from torch import nn
from types import SimpleNamespace

class Small(nn.Module):
    def __init__(self, config):
        super().__init__()
        m = config.model
        self.config = SimpleNamespace(in_channels=m.in_channels, image_size=m.image_size, n_classes=m.n_classes)
        self.down = nn.Conv2d(m.in_channels, 32, 8, stride=8)
        self.up = nn.ConvTranspose2d(32, m.in_channels, 8, stride=8)
        self.label = nn.Embedding(m.n_classes+1, 32)
    def block_index(self, block): return 1
    def block_grid(self, block): return self.config.image_size//8
    def block_width(self, block): return 32
    def forward(self, x, t, y): return self.forward_intermediates(x, t, y)[0]
    def forward_intermediates(self, x, t, y, indices=(), stop_early=False):
        h = self.down(x)+self.label(y)[..., None, None]+t[:, None, None, None]
        return self.up(h.relu()), [h.flatten(2).mT for _ in indices]

def build(config, **options): return urepa.build(config, net=Small, **options)
"""

def test_network_of_ones_own(urepa, tmp_path):
    "One file takes a network through every command: it is trained, drawn from, scored, reported, and goes on."
    (tmp_path/'mine.py').write_text(own_network)
    words = ['train', 'tiny', '--build', 'mine.py', '--out', 'run', '--run.device', 'cpu', '--optim.steps']
    urepa.good(*words, 10)
    assert (tmp_path/'run'/'build.py').read_text()==own_network
    (tmp_path/'mine.py').unlink() # the run has its own
    urepa.good('train', 'tiny', '--out', 'run', '--run.device', 'cpu', '--optim.steps', 20, '--resume')
    assert Run(tmp_path/'run').steps[-1]==20 and type(Run(tmp_path/'run').net().net).__name__=='Small'
    urepa.good('sample', 'run', '--count', 8, '--steps', 2, '--out', 'drawn.npz')
    assert 'Fréchet' in urepa.good('evaluate', 'drawn.npz')
    assert 'Fréchet' in urepa.good('evaluate', 'run', '--count', 16)
    urepa.good('report', 'run')
    assert (tmp_path/'run'/'report.html').exists()
    urepa.good('train', '--config', 'run', '--run.seed', 1, '--optim.steps', 1, '--out', 'again')
    assert type(Run(tmp_path/'again').net().net).__name__=='Small' # not the network of the preset

def test_network_of_ones_own_in_two_processes(tmp_path):
    "It lists no blocks, and its weights are split all the same (FSDP2): the losses are those of one process."
    (tmp_path/'mine.py').write_text(own_network)
    words = ['train', 'tiny', '--build', 'mine.py', '--optim.steps', 3, '--run.log-every', 1, '--run.device', 'cpu']
    command(*words, '--out', 'one', cwd=tmp_path).done()
    Ranks(2, *words, '--run.fsdp', '--out', 'two', cwd=tmp_path).done()
    one, two = [Run(tmp_path/o).log for o in ('one', 'two')]
    for a, b in zip(one, two, strict=True): assert abs(a['loss']-b['loss'])<1e-4

def test_borrowed_keys_go_on_and_are_shared(tmp_path):
    "A run in two pieces and one in two processes are the run in one piece, while its block borrows and after."
    words = ['train', 'tiny', '--align.keys', 4, '--align.lend-steps', 2, '--optim.batch-size', 8, '--data.limit', 64,
             '--run.log-every', 1, '--run.device', 'cpu', '--optim.steps']
    command(*words, 4, '--out', 'one', cwd=tmp_path).done()
    for steps, more in ((3, []), (4, ['--resume'])):
        command(*words, steps, *more, '--out', 'parts', cwd=tmp_path).done()
    for name, options in dict(ddp=[], fsdp=['--run.fsdp', '--run.gradient-checkpointing']).items():
        done = Ranks(2, *words, 4, *options, '--out', name, cwd=tmp_path).done()
        assert done.returncode==0, done.stderr[-3000:]
    logs = {o:Run(tmp_path/o).log for o in ('one', 'parts', 'ddp', 'fsdp')}
    assert [o['keys']!=0 for o in logs['one']]==[False, False, True, True]
    for name, rows in logs.items():
        for a, b in zip(logs['one'], rows, strict=True):
            near = 0. if name=='parts' else 2e-4
            assert all(abs(a[k]-b[k])<=near for k in ('velocity', 'token', 'manifold', 'keys')), (name, a, b)

small_unet2d = ['--model.width', 8, 16, 24, 16, 8, '--align.hidden', 16, '--optim.batch-size', 8, '--data.limit', 64,
                '--run.device', 'cpu', '--run.log-every', 1]

def test_network_of_diffusers(urepa, tmp_path):
    "diffusers' convolutional U-Net, by one word: trained from a store, resumed, drawn from, scored, reported, refused."
    from urepa.data.images import embedded_source
    from urepa.nets.adapted import AdaptedNetwork
    recipe = Recipe('pixels', 'embedded', 32, grey=True)
    prepare(embedded_source(64), tmp_path/'store', recipe, device='cpu', show=False)
    words = ['train', 'unet2d', '--data.store', 'store', '--out', 'run', *small_unet2d, '--optim.steps']
    urepa.good(*words, 4)
    urepa.good(*words, 6, '--resume')
    run = Run(tmp_path/'run')
    loaded = run.net()
    assert [o['step'] for o in run.log]==[*range(1, 7)] and loaded.step==6
    assert type(loaded.net) is AdaptedNetwork and loaded.net.block_index('mid')==4
    assert all({'token', 'manifold', 'gap'}<=set(o) for o in run.log)
    average = {k:v.clone() for k, v in loaded.net.state_dict().items()}
    load_module(run.checkpoint(), 'net', loaded.net) # what is drawn from is the average
    assert any(not torch.equal(v, average[k]) for k, v in loaded.net.state_dict().items())
    urepa.good('sample', 'run', '--count', 8, '--steps', 2, '--out', 'drawn.npz')
    assert 'Fréchet' in urepa.good('evaluate', 'run', '--count', 16, '--steps', 2)
    urepa.good('report', 'run')
    assert 'Blocks (1, 1, 1, 1, 1)' in (tmp_path/'run'/'report.html').read_text()
    assert 'a pipeline holds a UNet' in urepa('export', 'run', '--out', 'folder').stderr

def test_network_of_diffusers_goes_on_and_is_shared(tmp_path):
    "A run in two pieces, and one in two processes, is the run in one piece; without labels it has no classes."
    words = ['train', 'unet2d', *small_unet2d, '--data.labelled', 0, '--optim.steps', 4]
    command(*words, '--out', 'one', cwd=tmp_path).done()
    for more in ([], ['--resume']):
        command(*words[:-1], 2 if not more else 4, *more, '--out', 'parts', cwd=tmp_path).done()
    for name, options in dict(ddp=[], fsdp=['--run.fsdp', '--run.gradient-checkpointing']).items():
        done = Ranks(2, *words, *options, '--out', name, cwd=tmp_path).done()
        assert done.returncode==0, done.stderr[-3000:]
    logs = {o:Run(tmp_path/o).log for o in ('one', 'parts', 'ddp', 'fsdp')}
    for name, rows in logs.items():
        for a, b in zip(logs['one'], rows, strict=True):
            near = 0. if name=='parts' else 2e-4
            assert all(abs(a[k]-b[k])<=near for k in ('velocity', 'token', 'manifold')), (name, a, b)
    assert not any('class' in o for o in Run(tmp_path/'one').net().net.state_dict())
