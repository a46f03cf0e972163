"What callers may rely on: names from the top of the package, used with the arguments that are promised."
import torch
import torch.nn.functional as F

from urepa import (
    Config,
    Flow,
    Objective,
    Projector,
    Run,
    Store,
    Term,
    UNet,
    UREPAPipeline,
    build,
    compare,
    ddim,
    draw,
    euler,
    euler_maruyama,
    evaluate,
    fashion,
    frechet_distance,
    heun,
    inception_score,
    kernel_distance,
    linear_cka,
    load_codec,
    load_teacher,
    manifold_loss,
    multistep,
    precision_recall,
    presets,
    sample,
    to_model,
    token_loss,
    train,
)


def test_every_promised_name_is_there():
    functions = (build, compare, draw, evaluate, frechet_distance, inception_score, kernel_distance, linear_cka,
                 precision_recall, train)
    classes = (Config, Run, Store, Term, UREPAPipeline)
    assert all(map(callable, (*functions, *classes))) and 'sit_down_xl' in presets

def test_a_network_its_loss_and_its_samples():
    images, labels = fashion('train')
    x, y, teacher = to_model(images[:4]), labels[:4], load_teacher('embedded')
    z = teacher(load_codec('pixels').decode(x))
    net = UNet(image_size=32, in_channels=1, patch_size=4, width=32, heads=2, depths=(1, 2, 1), n_classes=10)
    t = torch.rand(4)
    v, [tokens] = net.forward_intermediates(x, t, y, indices=[2])
    assert v.shape==net(x, t, y).shape==x.shape and tokens.shape==(4, 16, 32)
    projector = Projector(32, teacher.width, hidden=64, grid=4, target_grid=8, order='after', mode='bilinear')
    h = projector(tokens)
    assert h.shape==z.shape and token_loss(h, z).ndim==manifold_loss(h, z, pairs='tokens').ndim==0
    flow = Flow('linear', 'data')
    noise = torch.randn(x.shape)
    assert flow.loss(x, x, noise, t)==0
    t = t.clamp(min=.1)
    velocity = flow.velocity(x, flow.noisy(x, noise, t), t)
    assert torch.allclose(velocity, noise-x, atol=1e-4)
    terms = Objective(net, projector, flow=flow, block='mid', weight=.5, manifold=3.)(x, y, z)
    assert {'loss', 'velocity', 'token', 'manifold'}<=set(terms)
    terms['loss'].backward()
    for solver in (euler, heun, euler_maruyama, multistep, ddim):
        drawn = sample(net, [0, 3], solver=solver, steps=3, flow=flow, guidance=1.65, interval=(0, .7))
        assert drawn.shape==(2, 1, 32, 32) and drawn.isfinite().all()

def test_five_levels_and_the_papers_network():
    with torch.device('meta'):
        net = UNet(image_size=32, in_channels=4, patch_size=2, width=768, heads=12, depths=(5, 5, 5), n_classes=1000)
        five = UNet(64, 4, 2, width=(64, 128, 256, 128, 64), heads=4, depths=(1, 2, 3, 2, 1))
    assert net.n_blocks==15 and net.block_grid(8)==8 and five.block_grid('mid')==8 and five.block_width('mid')==256
    parts = build(presets['sit_down_b'], device='meta')
    assert parts.objective.block==8 and parts.projector.target_grid==16

def test_a_plain_loop_of_ones_own():
    "Alignment as a term beside somebody's own loss."
    net = UNet(image_size=32, in_channels=1, patch_size=4, width=32, heads=2, depths=(1, 2, 1), n_classes=10)
    x, t, y = torch.randn(2, 1, 32, 32), torch.rand(2), torch.tensor([0, 10])
    v, [h] = net.forward_intermediates(x, t, y, ['mid'])
    z = torch.randn(2, 64, 96)
    loss = F.mse_loss(v, x)+.5*token_loss(Projector(32, 96, 64, 4, 8)(h), z)
    loss.backward()
    assert net.stages[0][0].modulation.weight.grad is not None

def test_any_network_in_three_lines():
    from diffusers import UNet2DModel

    from urepa import Aligner, find_places, probe
    unet = UNet2DModel(sample_size=16, in_channels=1, out_channels=1, block_out_channels=(8, 8), norm_num_groups=4,
                       layers_per_block=1, down_block_types=('DownBlock2D',)*2, up_block_types=('UpBlock2D',)*2)
    images, _ = fashion('train')
    x, noise, t = to_model(images[:4])[:,:,::2,::2], torch.randn(4, 1, 16, 16), torch.arange(4)
    aligner = Aligner(unet, 'mid_block', teacher=load_teacher('embedded'))
    loss = F.mse_loss(unet(noise, t).sample, noise) + aligner(images[:4])
    loss.backward()
    assert torch.allclose(aligner.terms['token'], -aligner.terms['cosine']) and unet.conv_in.weight.grad is not None
    aligner.remove()
    stored = Aligner(unet, 'mid_block', teacher_width=384, teacher_grid=16)
    unet(noise, t)
    assert stored(tokens=torch.randn(4, 256, 384)).ndim==0
    assert [o.name for o in find_places(unet) if o.recommended]==['mid_block']
    rows = probe(unet, x, torch.randn(4, 16, 8), times=.5)
    assert [o['place'] for o in rows][2]=='mid_block'
