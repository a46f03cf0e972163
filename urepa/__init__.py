"""U-REPA: train latent diffusion U-Nets by aligning their middle stage with a frozen ViT.

The names below are what callers may rely on; each loads its room, and torch with it, when it is first asked for.
"""
from importlib import import_module

__version__ = "0.1.0"

_rooms = {
    'core': ['UserError'],
    'config': ['Config', 'Sampling', 'presets', 'preset', 'replace_fields'],
    'data.tasks': ['Task', 'task_of'],
    'data.images': ['fashion', 'to_model'],
    'data.codecs': ['load_codec'],
    'data.teachers': ['load_teacher', 'embedded_teacher'],
    'data.store': ['Store'],
    'nets.unet': ['UNet'],
    'nets.places': ['find_places'],
    'flow.paths': ['Flow', 'Prediction'],
    'flow.solvers': ['euler', 'heun', 'euler_maruyama', 'multistep', 'ddim'],
    'flow.sample': ['sample'],
    'align.project': ['Projector'],
    'align.token': ['token_loss'],
    'align.manifold': ['manifold_loss'],
    'align.objective': ['Objective', 'Term'],
    'align.attach': ['Aligner'],
    'training.build': ['build'],
    'training.run': ['Run'],
    'training.train': ['train'],
    'score.draw': ['draw'],
    'score.metrics': ['frechet_distance', 'inception_score', 'precision_recall', 'kernel_distance'],
    'score.evaluate': ['evaluate'],
    'score.compare': ['compare'],
    'inside.cka': ['linear_cka'],
    'inside.probe': ['probe'],
    'inside.look': ['look_inside'],
    'app.pipeline': ['UREPAPipeline', 'embedded_pipeline'],
    'app.restore': ['restore'],
    'app.published': ['from_sit'],
}
_home = {name:room for room,names in _rooms.items() for name in names}
__all__ = ['__version__', *_home]

def __getattr__(name):
    if name not in _home: raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    globals()[name] = value = getattr(import_module(f'{__name__}.{_home[name]}'), name)
    return value

def __dir__(): return sorted({*globals(), *_home})
