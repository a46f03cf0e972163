"The network that comes with the package draws what it drew when it was trained."
import torch
from torch.nn.functional import avg_pool2d

from urepa import embedded_pipeline
from urepa.core import asset, read_json

# Mean brightness of the four quarters of the first image of three classes, from 0 to 1.
quarters = {1: [.2097, .2274, .1477, .1257], 7: [.0239, .1095, .055, .139], 8: [.1947, .2159, .4367, .4316]}

def drawn(): return avg_pool2d(embedded_pipeline()(list(quarters), seed=0, output_type='pt').images, 16).flatten(1)

def test_it_says_how_it_was_made():
    told = read_json(asset('pipelines', 'fashion', 'urepa.json'))
    config, versions = told['config'], told['versions']
    assert told['step']==config['optim']['steps']==600 and config['run']['seed']==0 and config['align']['weight']==.5
    assert versions['revision'] and versions['versions']['torch']

def test_it_draws_the_same_garments():
    found, wanted = drawn(), torch.tensor(list(quarters.values()))
    assert (found-wanted).abs().max()<2e-3, f'the garments differ: {found.round(decimals=4).tolist()}'
