"U-REPA in loops of one's own: networks that others wrote, wrapped as people wrap them."
import copy
import gc
import importlib.util
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from urepa import Aligner, UserError, embedded_teacher, fashion, find_places, to_model, token_loss
from urepa.machine import generator
from urepa.tokens import resize_tokens


def numbers(*shape, name='numbers'): return torch.randn(*shape, generator=generator('test attach', name))

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, width)
    def forward(self, x): return x+self.out(self.norm(x).relu())

class Tokens(nn.Module):
    "A transformer's outline: patches, a class token in front, blocks, and patches again."
    def __init__(self, width=16, depth=3, prefix=1, reentrant=None):
        super().__init__()
        torch.manual_seed(0)
        self.prefix, self.reentrant = prefix, reentrant
        self.patches = nn.Conv2d(1, width, 8, 8)
        self.first = nn.Parameter(torch.zeros(1, prefix, width))
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.last = nn.ConvTranspose2d(width, 1, 8, 8)
    def forward(self, x):
        maps = self.patches(x)
        tokens = torch.cat([self.first.expand(len(x), -1, -1), maps.flatten(2).mT], 1)
        for block in self.blocks:
            again = self.reentrant is not None and self.training
            tokens = checkpoint(block, tokens, use_reentrant=self.reentrant) if again else block(tokens)
        return self.last(tokens[:,self.prefix:].mT.reshape(maps.shape))

x, z = numbers(4, 1, 32, 32, name='x'), numbers(4, 64, 12, name='z')
stored = dict(teacher_width=12, teacher_grid=8, hidden=16)

def gradients(net, run=None, place='blocks.1', prepare=None, **options):
    "The loss of one pass, and the gradients of network and projector."
    aligner = Aligner(net, place, example=x, **stored, **options)
    run = prepare(net) if prepare else run or net
    loss = run(x).square().mean()+aligner(tokens=z)
    loss.backward()
    found = [p.grad for p in (*net.parameters(), *aligner.parameters())]
    assert len(aligner.taps[0].kept)==0
    aligner.remove()
    return loss.detach(), found

@pytest.fixture(scope='module')
def plain():
    net = Tokens()
    before = copy.deepcopy(net)
    loss, found = gradients(net)
    assert torch.equal(net(x), before(x)) and all(o is not None and o.isfinite().all() for o in found)
    return loss, found

def same(a, b, eps=1e-6):
    assert abs(a[0]-b[0])<eps, (a[0], b[0])
    for p, q in zip(a[1], b[1], strict=True):
        assert torch.allclose(p, q, atol=eps) if p is not None else q is None or not q.any()

# ---- Under what loops put around a network ---------------------------------------------------------------------------

@pytest.mark.filterwarnings('ignore:None of the inputs have requires_grad')
@pytest.mark.parametrize('reentrant', [False, True])
def test_checkpointing_counts_nothing_twice(plain, reentrant):
    same(plain, gradients(Tokens(reentrant=reentrant), passes='all'))

@pytest.mark.parametrize('options', [dict(), dict(fullgraph=True), dict(checkpoint=True)], ids=str)
def test_compiled(plain, options):
    torch._dynamo.reset()
    reentrant = False if options.pop('checkpoint', False) else None
    net = Tokens(reentrant=reentrant)
    same(plain, gradients(net, prepare=lambda o: torch.compile(o, backend='aot_eager', **options), passes='all'))

def test_compiled_before_the_aligner_is_made(plain):
    torch._dynamo.reset()
    net = torch.compile(Tokens(), backend='aot_eager')
    same(plain, gradients(net))

def test_compiled_and_run_before_is_told():
    "A compiled network does not look for hooks again."
    torch._dynamo.reset()
    net = torch.compile(Tokens(), backend='aot_eager')
    net(x)
    aligner = Aligner(net, 'blocks.1', example=x, **stored)
    net(x)
    with pytest.raises(UserError, match='compile it after the aligner is made'): aligner(tokens=z)
    aligner.remove()

def test_autocast_and_bfloat16(plain):
    def half(net):
        def run(x):
            with torch.autocast('cpu', torch.bfloat16): return net(x).float()
        return run
    loss, found = gradients(Tokens(), prepare=half)
    assert loss.dtype==torch.float32 and abs(loss-plain[0])<.02
    net = Tokens().bfloat16()
    aligner = Aligner(net, 'blocks.1', example=x.bfloat16(), **stored)
    net(x.bfloat16())
    loss = aligner(tokens=z)
    loss.backward()
    assert loss.dtype==torch.float32 and net.patches.weight.grad.abs().sum()>0
    with torch.autocast('cpu', torch.bfloat16):
        net(x.bfloat16())
        inside = aligner(tokens=z)
    assert inside.dtype==torch.float32 and abs(inside-loss)<.02
    aligner.remove()

def test_parts_of_a_batch(plain):
    net = Tokens()
    aligner = Aligner(net, 'blocks.1', example=x, **stored)
    for part in (slice(2), slice(2, 4)):
        ((net(x[part]).square().mean()+aligner(tokens=z[part]))/2).backward()
    same(plain, (plain[0], [p.grad for p in (*net.parameters(), *aligner.parameters())]))
    aligner.remove()

def test_average_of_the_weights_carries_nothing():
    net = Tokens()
    aligner = Aligner(net, 'blocks.1', example=x, passes='all', **stored)
    average = copy.deepcopy(net).eval()
    net(x)
    average(x)
    assert len(aligner.taps[0].kept)==1 and not average.blocks[1]._forward_hooks
    assert sum(map(len, (o._forward_hooks for o in net.modules())))==1
    aligner(tokens=z)
    average = torch.optim.swa_utils.AveragedModel(net)
    average.update_parameters(net)
    assert average(x).isfinite().all() and aligner.taps[0].kept==[]
    aligner.remove()

def test_accelerate():
    accelerate = pytest.importorskip('accelerate', reason='accelerate is not installed')
    from accelerate.state import AcceleratorState
    AcceleratorState._reset_state(True)
    accelerator = accelerate.Accelerator(cpu=True, mixed_precision='bf16', gradient_accumulation_steps=2)
    net = Tokens()
    aligner = Aligner(net, 'blocks.1', example=x, **stored)
    optimizer = torch.optim.AdamW([*net.parameters(), *aligner.parameters()], lr=1e-2)
    net, aligner, optimizer = accelerator.prepare(net, aligner, optimizer)
    losses = []
    for _ in range(12):
        with accelerator.accumulate(net, aligner):
            loss = net(x).square().mean()+aligner(tokens=z)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1]<losses[0]
    AcceleratorState._reset_state(True)

class LoRA(nn.Module):
    "A layer with an adapter beside it, as peft puts it in the layer's place."
    def __init__(self, base, rank=2):
        super().__init__()
        self.base_layer = base.requires_grad_(False)
        self.lora_A, self.lora_B = nn.Linear(base.in_features, rank), nn.Linear(rank, base.out_features)
        nn.init.zeros_(self.lora_B.weight)
    def forward(self, x): return self.base_layer(x)+self.lora_B(self.lora_A(x))

def test_adapters_on_a_frozen_network():
    net = Tokens().requires_grad_(False)
    aligner = Aligner(net, 'blocks.1', example=x, **stored)
    net(x)
    with pytest.raises(UserError, match='with LoRA: add the adapter first'): aligner(tokens=z)
    for block in net.blocks: block.out = LoRA(block.out)
    optimizer = torch.optim.AdamW([p for p in (*net.parameters(), *aligner.parameters()) if p.requires_grad], lr=1e-2)
    frozen = net.patches.weight.clone()
    losses = []
    for _ in range(12):
        net(x)
        loss = aligner(tokens=z)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1]<losses[0] and torch.equal(net.patches.weight, frozen)
    assert net.blocks[0].out.lora_B.weight.abs().sum()>0 and not net.blocks[2].out.lora_B.weight.any()
    aligner.remove()

@pytest.mark.skipif(importlib.util.find_spec('peft') is None, reason='peft is not installed')
def test_peft():
    from peft import LoraConfig, get_peft_model
    net = get_peft_model(Tokens(), LoraConfig(r=2, target_modules=['out']))
    aligner = Aligner(net, 'blocks.1', example=x, **stored)
    net(x)
    aligner(tokens=z).backward()
    grads = {k:p.grad for k, p in net.named_parameters() if p.requires_grad}
    assert any('blocks.0' in k and o is not None and o.any() for k, o in grads.items())
    assert all('lora' in k for k in grads)
    aligner.remove()

def two_processes(folder, shard):
    "In each of two processes: one step with half of the batch; the gradients of the whole, written down."
    import os

    import torch.distributed as dist
    torch.set_num_threads(1)
    rank = int(os.environ['RANK'])
    dist.init_process_group('gloo')
    net = Tokens()
    aligner = Aligner(net, 'blocks.1', example=x, **stored)
    half = slice(2*rank, 2*rank+2)
    if shard:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard
        mesh = init_device_mesh('cpu', (2,))
        for o in (*net.blocks, net, aligner): fully_shard(o, mesh=mesh)
        run, align = net, aligner
    else:
        run, align = (nn.parallel.DistributedDataParallel(o) for o in (net, aligner))
    for _ in range(2): # a second pass shows that nothing waits for the first
        for o in (*net.parameters(), *aligner.parameters()): o.grad = None
        loss = run(x[half]).square().mean()+align(tokens=z[half])
        loss.backward()
    found = [p.grad.full_tensor() if shard else p.grad.clone() for p in (*net.parameters(), *aligner.parameters())]
    whole = loss.detach().clone()
    dist.all_reduce(whole)
    told = []
    for known in (align, nn.Identity()):
        aligner.count_anew()
        told.append(eleven_steps(run, align, half, known))
    if rank==0: torch.save((whole/2, found, told), f'{folder}/found.pt')
    del run, align, loss # a reducer that outlives its group can wait forever for a thread of it
    dist.destroy_process_group()

def eleven_steps(run, align, half, known):
    "What an aligner says whose weights the optimizer knows, or does not."
    optimizer = torch.optim.SGD([*run.parameters(), *known.parameters()], lr=1e-3)
    for _ in range(11):
        loss = run(x[half]).square().mean()
        try: (loss+align(tokens=z[half])).backward()
        except UserError as e: return str(e)
        optimizer.step()

@pytest.mark.parametrize('shard', [False, True], ids=['DDP', 'FSDP2'])
def test_two_processes(plain, tmp_path, shard):
    import os
    import socket

    from forks import Fork
    with socket.create_server(('127.0.0.1', 0)) as free: port = free.getsockname()[1]
    shared = dict(os.environ, WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    forks = [Fork(two_processes, str(tmp_path), shard, cwd=tmp_path, env=dict(shared, RANK=str(i))) for i in (0, 1)]
    for o in forks:
        done = o.done(120)
        assert done.returncode==0, done.stderr[-3000:]
    *found, (known, unknown) = torch.load(tmp_path/'found.pt')
    same(plain, found, eps=1e-5)
    assert known is None and 'have not moved in 10 steps' in unknown

class Idle(Tokens):
    "A network with a module that no pass reaches."
    def __init__(self):
        super().__init__()
        self.idle = Block(16)

def test_a_place_that_is_never_reached():
    net = Idle()
    with pytest.raises(UserError, match='idle is not reached when the network runs'):
        Aligner(net, 'idle', example=x, **stored)
    aligner = Aligner(net, 'idle', width=16, grid=4, **stored) # nothing is run before the first step
    net(x)
    with pytest.raises(UserError, match='idle was not reached before the first call'): aligner(tokens=z)
    aligner.remove()

class Told(Tokens):
    def forward(self, x, text): return super().forward(x)+text.mean()

def test_a_text_as_long_as_the_image():
    "A text is told from an image by its length, so an example has to show another one."
    net, text = Told(), torch.zeros(4, 9, 8) # nine words, and 3×3 cells
    assert [o.name for o in find_places(net, (x, text))]==['blocks.0', 'blocks.1', 'blocks.2']
    with pytest.raises(UserError, match='show one of another length'):
        Aligner(net, 'blocks.1', example=(x, torch.zeros(4, 17, 8)), **stored)

def test_files_of_both_sides(tmp_path):
    net = Tokens()
    aligner = Aligner(net, 'blocks.1', example=x, **stored)
    torch.save(net, tmp_path/'net.pt')
    torch.save(aligner.state_dict(), tmp_path/'aligner.pt')
    again = torch.load(tmp_path/'net.pt', weights_only=False)
    assert torch.equal(again(x), net(x)) and not any(o._forward_hooks for o in again.modules())
    second = Aligner(again, 'blocks.1', example=x, seed=1, **stored)
    net(x)
    again(x)
    assert (first := aligner(tokens=z))!=second(tokens=z)
    second.load_state_dict(torch.load(tmp_path/'aligner.pt'))
    again(x)
    assert first==second(tokens=z)
    del aligner, second
    gc.collect()
    assert not any(o._forward_hooks for m in (net, again) for o in m.modules())

# ---- Networks that exist ---------------------------------------------------------------------------------------------

class Swapped(nn.Module):
    "denoising-diffusion-pytorch's Unet in outline: lists of lists, a middle in three parts, called with whole times."
    def __init__(self, dim=8):
        super().__init__()
        def block(a, b): return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.GroupNorm(4, b), nn.SiLU())
        self.init_conv, self.time = nn.Conv2d(1, dim, 3, padding=1), nn.Linear(1, dim)
        self.downs = nn.ModuleList([nn.ModuleList([block(a, a), nn.Conv2d(a, b, 4, 2, 1)])
                                    for a, b in ((dim, 2*dim), (2*dim, 4*dim))])
        self.mid_block1, self.mid_attn, self.mid_block2 = (block(4*dim, 4*dim) for _ in range(3))
        self.ups = nn.ModuleList([nn.ModuleList([nn.ConvTranspose2d(b, a, 4, 2, 1), block(2*a, a)])
                                  for a, b in ((2*dim, 4*dim), (dim, 2*dim))])
        self.final_conv = nn.Conv2d(dim, 1, 1)
    def forward(self, x, time):
        x = self.init_conv(x)+self.time(time[:,None]/1000)[...,None,None]
        kept = []
        for block, down in self.downs:
            kept.append(block(x))
            x = down(kept[-1])
        x = self.mid_block2(self.mid_attn(self.mid_block1(x)))
        for up, block in self.ups: x = block(torch.cat([up(x), kept.pop()], 1))
        return self.final_conv(x)

def from_folder(kind, folder, **config):
    "A network as people get it: from a folder."
    torch.manual_seed(0)
    net = kind(**config)
    for o in net.parameters(): # some begin with zeros, behind which no gradient passes
        if not o.any(): nn.init.normal_(o, std=.02)
    net.save_pretrained(folder)
    return kind.from_pretrained(folder).train()

def sizes(blocks, *widths, cross=True, **config):
    "Config of a small UNet2DConditionModel; one letter a block: C with cross-attention, D without."
    names = dict(C=('CrossAttnDownBlock2D', 'CrossAttnUpBlock2D'), D=('DownBlock2D', 'UpBlock2D'))
    return dict(sample_size=16, block_out_channels=widths, layers_per_block=1, norm_num_groups=4, attention_head_dim=4,
                down_block_types=tuple(names[o][0] for o in blocks),
                up_block_types=tuple(names[o][1] for o in blocks[::-1]), **config)

text_time = dict(addition_embed_type='text_time', addition_time_embed_dim=4, use_linear_projection=True,
                 transformer_layers_per_block=1)

def networks():
    "Name → what makes the network, in a folder; the place; the objective; what goes in beside image and time."
    import diffusers
    pixels = dict(sample_size=32, in_channels=1, out_channels=1, block_out_channels=(8, 16, 16), layers_per_block=1,
                  norm_num_groups=4, down_block_types=('DownBlock2D',)*3, up_block_types=('UpBlock2D',)*3)
    text, labels = numbers(16, 4, 12, name='text'), torch.arange(16)%10
    more = dict(text_embeds=numbers(16, 8, name='pooled'), time_ids=torch.ones(16, 6))
    sd15 = sizes('CCD', 8, 16, 16, cross_attention_dim=12)
    sdxl = sizes('DCC', 8, 16, 16, cross_attention_dim=12, projection_class_embeddings_input_dim=32, **text_time)
    kolors = sizes('DCC', 8, 16, 16, cross_attention_dim=8, encoder_hid_dim=12, encoder_hid_dim_type='text_proj',
                   projection_class_embeddings_input_dim=32, **text_time)
    dit = dict(num_attention_heads=2, attention_head_dim=16, in_channels=4, num_layers=4, sample_size=16, patch_size=2,
               num_embeds_ada_norm=1000, norm_num_groups=4)
    sana = dict(sample_size=16, in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=8,
                num_layers=3, num_cross_attention_heads=2, cross_attention_head_dim=8, cross_attention_dim=16,
                caption_channels=12, patch_size=1)
    sd3 = dict(sample_size=16, patch_size=2, in_channels=4, out_channels=4, num_layers=3, attention_head_dim=8,
               num_attention_heads=2, joint_attention_dim=12, caption_projection_dim=16, pooled_projection_dim=8,
               pos_embed_max_size=16)
    pixart = dict(sample_size=16, patch_size=2, in_channels=4, out_channels=8, num_layers=3, attention_head_dim=16,
                  num_attention_heads=2, cross_attention_dim=32, caption_channels=12, norm_num_groups=4)
    return dict(
        unet2d=(diffusers.UNet2DModel, pixels, 'mid_block', 'epsilon', {}),
        unet2d_classes=(diffusers.UNet2DModel, dict(pixels, num_class_embeds=10), 'mid_block', 'v_prediction',
                        dict(class_labels=labels)),
        sd15=(diffusers.UNet2DConditionModel, sd15, 'mid_block', 'epsilon', dict(encoder_hidden_states=text)),
        sdxl=(diffusers.UNet2DConditionModel, sdxl, 'mid_block', 'epsilon',
              dict(encoder_hidden_states=text, added_cond_kwargs=more)),
        kolors=(diffusers.UNet2DConditionModel, kolors, 'mid_block', 'v_prediction',
                dict(encoder_hidden_states=text, added_cond_kwargs=more)),
        dit=(diffusers.DiTTransformer2DModel, dit, 'transformer_blocks.1', 'epsilon', dict(class_labels=labels)),
        sana=(diffusers.SanaTransformer2DModel, sana, 'transformer_blocks.1', 'flow', dict(encoder_hidden_states=text)),
        sd3=(diffusers.SD3Transformer2DModel, sd3, 'transformer_blocks.0', 'flow', # a block puts out the text first
             dict(encoder_hidden_states=text, pooled_projections=more['text_embeds'])),
        pixart=(diffusers.PixArtTransformer2DModel, pixart, 'transformer_blocks.1', 'epsilon', # text has modules, too
                dict(encoder_hidden_states=text, added_cond_kwargs=dict(resolution=None, aspect_ratio=None))))

def objective(family, name='batch'):
    "`loss(call, clean)` as the family's training scripts have it, with its scheduler."
    from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler
    if family=='flow':
        flow = FlowMatchEulerDiscreteScheduler()
        def loss(call, clean, step):
            noise = numbers(*clean.shape, name=step)
            t = torch.randint(1000, (len(clean),), generator=generator('test attach', 't', step))
            sigma = flow.sigmas[t].reshape(-1, 1, 1, 1)
            answer = call((1-sigma)*clean+sigma*noise, flow.timesteps[t])
            return F.mse_loss(answer, noise-clean)
        return loss
    scheduler = DDPMScheduler(prediction_type=family)
    def loss(call, clean, step):
        noise = numbers(*clean.shape, name=step)
        t = torch.randint(1000, (len(clean),), generator=generator('test attach', 't', step))
        target = noise if family=='epsilon' else scheduler.get_velocity(clean, noise, t)
        return F.mse_loss(call(scheduler.add_noise(clean, noise, t), t)[:,:clean.shape[1]], target)
    return loss

def first(answer): return answer if isinstance(answer, torch.Tensor) else answer[0]

def learn(net, at, family, inputs, channels, size, steps=10, **options):
    "Some steps; the terms of each."
    images, _ = fashion('train')
    clean = to_model(images[:16])
    latents = F.interpolate(clean, size).expand(-1, channels, -1, -1)
    aligner = Aligner(net, at, embedded_teacher(), hidden=32, **options)
    optimizer = torch.optim.AdamW([*net.parameters(), *aligner.parameters()], lr=3e-3)
    loss, log = objective(family), []
    for step in range(steps):
        def call(x, t): return first(net(x, timestep=t, **inputs) if inputs is not None else net(x, t))
        total = loss(call, latents, 'always') # the same draws, so that steps can be compared
        total = total+aligner(images[:16].float()/255)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        log.append({k:o.item() for k, o in aligner.terms.items()}|dict(loss=total.item()))
    aligner.remove()
    return log

def grows(log):
    assert log[-1]['token']<log[0]['token']-.02, log
    assert log[-1]['gap']>log[0]['gap']+.002, log
    assert all(o['loss']==o['loss'] for o in log)

families = 'unet2d', 'unet2d_classes', 'sd15', 'sdxl', 'kolors', 'dit', 'sana', 'sd3', 'pixart'

@pytest.mark.parametrize('name', families)
def test_networks_of_diffusers(tmp_path, name):
    kind, config, at, family, inputs = networks()[name]
    net = from_folder(kind, tmp_path, **config)
    found = find_places(net)
    places, grids = {o.name:o.recommended for o in found}, {o.name:o.grid for o in found}
    assert at in places and places.get('mid_block', True)
    assert not any(word in o for o in places for word in ('text', 'caption', 'context'))
    channels, size = net.config.in_channels, net.config.sample_size
    noise, t = numbers(16, channels, size, size), torch.arange(16)*50
    def run():
        torch.manual_seed(0) # a DiT hides some labels
        return first(net(noise, timestep=t, **inputs))
    before = run()
    aligner = Aligner(net, at, embedded_teacher())
    during = run()
    kept, = aligner.taps[0].kept # it listens, to the image and no text, and the answer is the same
    cells = kept[0,0].numel() if kept.ndim==4 else kept.shape[1]
    assert cells==math.prod(grids[at])
    aligner.remove()
    after = run()
    assert torch.equal(before, during) and torch.equal(before, after)
    assert not any(o._forward_hooks for o in net.modules())
    grows(learn(net, at, family, dict(inputs, return_dict=False) if name!='unet2d' else inputs, channels, size))
    net.save_pretrained(tmp_path/'after')
    assert set(kind.from_pretrained(tmp_path/'after').state_dict())==set(net.state_dict())

def test_diffusers_own_checkpointing(tmp_path):
    "The block that is aligned runs again in the backward pass, and the losses are what they were."
    kind, config, at, family, inputs = networks()['dit']
    logs = []
    for on in (False, True):
        net = from_folder(kind, tmp_path/str(on), **config)
        if on: net.enable_gradient_checkpointing()
        logs.append(learn(net, at, family, inputs, 4, 16, passes='all'))
    for a, b in zip(*logs, strict=True): assert all(abs(a[k]-b[k])<1e-4 for k in a)

def test_networks_that_others_write():
    torch.manual_seed(0)
    net, example = Swapped(), (torch.zeros(1, 1, 32, 32), torch.zeros(1))
    assert next(o.name for o in find_places(net, example) if o.recommended)=='mid_block2'
    grows(learn(net, 'mid_block2', 'epsilon', None, 1, 32, example=example))
    import timm
    vit = timm.create_model('vit_tiny_patch16_224', img_size=32, patch_size=4, in_chans=1, depth=3, embed_dim=24,
                            num_heads=2, num_classes=1024)
    class Denoiser(nn.Module):
        def __init__(self):
            super().__init__()
            self.vit = vit
        def forward(self, x, t): return self.vit(x).reshape(x.shape)
    net = Denoiser()
    place = next(o for o in find_places(net, example) if o.name=='vit.blocks.0')
    assert (place.grid, place.width, place.prefix)==((8, 8), 24, 1)
    grows(learn(net, 'vit.blocks.0', 'v_prediction', None, 1, 32, example=example))

@pytest.mark.skipif(importlib.util.find_spec('denoising_diffusion_pytorch') is None,
                    reason='denoising-diffusion-pytorch is not installed; Swapped has its shape')
def test_denoising_diffusion_pytorch():
    from denoising_diffusion_pytorch import Unet
    torch.manual_seed(0)
    example = torch.zeros(1, 1, 32, 32), torch.zeros(1)
    net = Unet(16, channels=1, dim_mults=(1, 2, 2))
    assert next(o.name for o in find_places(net, example) if o.recommended)=='mid_block2'
    grows(learn(net, 'mid_block2', 'epsilon', None, 1, 32, steps=25, example=example))

def test_wide_images_and_buckets():
    "Grids change from batch to batch, for maps and for tokens; positions keep their partners."
    class Same(nn.Module):
        def forward(self, tokens, t=None): return tokens
    net = Tokens(width=12)
    aligner = Aligner(net, 'blocks.1', teacher_width=12, teacher_grid=(2, 3), example=torch.zeros(1, 1, 16, 24),
                      projector=Same(), manifold=0., weight=1.)
    tap = []
    handle = net.blocks[1].register_forward_hook(lambda module, inputs, output: tap.append(output.detach()))
    for rows, columns in ((2, 3), (4, 6), (3, 2), (4, 4)):
        net(numbers(2, 1, 8*rows, 8*columns, name=f'{rows} {columns}'))
        aligner(tokens=tap[-1][:,1:], grid=(rows, columns))
        assert abs(aligner.terms['token']+1)<1e-5
    handle.remove()
    aligner.remove()
    aligner = Aligner(net, 'blocks.1', embedded_teacher(), example=torch.zeros(1, 1, 16, 24))
    for rows, columns in ((2, 3), (3, 5)):
        wide = numbers(2, 1, 8*rows, 8*columns, name='wide').clamp(-1, 1)
        tap = []
        handle = net.blocks[1].register_forward_hook(lambda module, inputs, output, tap=tap: tap.append(output[:,1:]))
        net(wide)
        handle.remove()
        aligner(wide)
        grown = resize_tokens(aligner.projector.mlp(tap[0]), 8, grid=(rows, columns))
        assert torch.allclose(aligner.terms['token'], token_loss(grown, embedded_teacher()(wide)), atol=1e-6)
    aligner.remove()
