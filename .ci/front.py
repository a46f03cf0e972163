"Draws the pictures of the four doors of the front page into nbs/images; run it after a change of what they show."
import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch

root = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root))
from urepa import embedded_pipeline, embedded_teacher, fashion, presets, to_model  # noqa: E402
from urepa.core import COLORS  # noqa: E402
from urepa.data.images import image_grid  # noqa: E402
from urepa.lab.tables import Tables  # noqa: E402
from urepa.nets.describe import draw_unet  # noqa: E402
from urepa.score.compare import changes_between  # noqa: E402
from urepa.tokens import Moments, colour_maps, fit_pca  # noqa: E402


def picture(columns=1):
    fig, axes = plt.subplots(1, columns, figsize=(4, 2), layout='constrained')
    return fig, axes

def save(fig, name):
    fig.savefig(root/'nbs'/'images'/f'door_{name}.png', dpi=160)
    plt.close(fig)

def coloured(tokens, n): # the first of many images, by their own main directions
    fitted = fit_pca(Moments().add(tokens.flatten(0, 1)), 3)
    return colour_maps(tokens[:n], fitted)

@torch.no_grad()
def learn():
    "A garment, the teacher's tokens of it, and those of the middle of a U-Net."
    images = to_model(fashion('test')[0][:200])
    net = embedded_pipeline().unet
    t, none = torch.full((200,), .1), torch.full((200,), 10)
    _, [h] = net.forward_intermediates(images, t, none, ['mid'])
    fig, axes = picture(3)
    axes[0].imshow(images[0,0], cmap='gray')
    for ax, tokens in zip(axes[1:], (embedded_teacher()(images), h)):
        ax.imshow(coloured(tokens, 1)[0].permute(1, 2, 0))
    for ax, words in zip(axes, ('image', 'ViT, 8×8', 'U-Net, 4×4')):
        ax.set(xticks=[], yticks=[])
        ax.set_title(words, fontsize=11)
    save(fig, 'learn')

def use():
    "Garments that the pipeline of the package draws."
    pipe = embedded_pipeline()
    x = pipe([k for k in range(10)]*2, guidance_scale=1.65, seed=0, output_type='pt').images
    fig, ax = picture()
    ax.imshow(image_grid(2*x[:18]-1, 6), cmap='gray')
    ax.axis('off')
    save(fig, 'use')

def reference():
    "The U-Net of the paper, block by block."
    with plt.rc_context({'font.size': 8}):
        fig, ax = picture()
        draw_unet(presets['sit_down_b'].model.depths, ax)
    save(fig, 'reference')

def results():
    "What each comparison of networks changed, in both distances."
    fig, ax = picture()
    shown = dict(ablations='backbones', methods='methods')
    points = [changes_between(Tables(name).groups, o['row'], o['base']) for name, topic in shown.items()
              for o in Tables(name).paper[topic] if {o['row'], o['base']}<=Tables(name).groups.keys()]
    for k, changes in enumerate(points):
        for change, apart in changes:
            colour = COLORS['urepa'] if apart else COLORS['plain']
            ax.plot(change, -k, 'o', color=colour)
    ax.axvline(0, color='k', lw=.8)
    ax.set(yticks=[], xlabel='change of a Fréchet distance, %')
    for side in ('left', 'right', 'top'): ax.spines[side].set_visible(False)
    save(fig, 'results')

if __name__=='__main__':
    for draw in (learn, use, reference, results): draw()
    sizes = {o.name:o.stat().st_size for o in (root/'nbs'/'images').glob('door_*.png')}
    print(json.dumps(sizes))
