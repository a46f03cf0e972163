"Networks that restore images: each task from end to end, in two processes, after a kill, and what is refused."
import json
import os
import time

import numpy as np
import pytest
from forks import Ranks, command
from PIL import Image

small = ['--optim.steps', 6, '--optim.batch-size', 8, '--data.limit', 16, '--run.log-every', 1, '--run.save-every', 2,
         '--run.device', 'cpu']

def logged(folder): return [json.loads(o) for o in (folder/'log.jsonl').read_text().splitlines()]

def alike(a, b):
    for one, other in zip(logged(a), logged(b), strict=True):
        for k in ('loss', 'velocity', 'token', 'gradient'):
            assert abs(one[k]-other[k])<1e-4*max(1, abs(one[k])), (k, one, other)

def album(folder, n=3, size=(50, 41), suffix='png'):
    folder.mkdir()
    for k in range(n):
        pixels = np.random.default_rng(k).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder/f'{k}.{suffix}')
    return folder

def test_any_task_learns_and_is_scored(tmp_path, monkeypatch, capfd):
    "Aligned with the teacher on the clean image; inpainting and denoising are trained by the tests below."
    from urepa.app.cli import main
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('UREPA_CACHE', str(tmp_path/'cache'))
    for name in ('super_resolution', 'deblurring'):
        main(['train', 'tiny', '--task', name, *map(str, small), '--out', name])
        last = logged(tmp_path/name)[-1]
        assert last['step']==6 and last['token']<0 and np.isfinite(last['loss'])
        main(['evaluate', name, '--count', '8', '--steps', '1', '--solver', 'euler'])
        told = capfd.readouterr().out
        assert f'restored ({name})' in told and 'psnr' in told and 'feature distance' in told, told
    with pytest.raises(SystemExit): main(['train', 'tiny', '--task', 'colouring', *map(str, small), '--out', 'colours'])
    assert 'give images in colour' in capfd.readouterr().err

def test_pairs_and_colours_from_folders(tmp_path, monkeypatch, capfd):
    from urepa.app.cli import main
    monkeypatch.chdir(tmp_path)
    photos, sketches = album(tmp_path/'photos', 8), album(tmp_path/'sketches', 8, suffix='bmp')
    own = ['--data.images', photos, '--data.unlabelled', '--align.weight', 0, '--model.image-size', 32,
           '--model.in-channels', 3]
    for name, options in (('colouring', []), ('pairs', ['--task.inputs', sketches])):
        words = ['train', 'tiny', '--task', name, *options, *own, *small, '--data.limit', 0, '--out', name]
        main(list(map(str, words)))
        main(['restore', name, '--images', 'photos', '--out', f'{name}-out', '--steps', '1'])
        with Image.open(tmp_path/f'{name}-out'/'0.png') as o: assert (o.size, o.mode)==((50, 41), 'RGB')
        score = ['evaluate', name, '--reference', 'photos', '--features', 'none', '--count', '8', '--steps', '1']
        if name=='pairs':
            with pytest.raises(SystemExit): main(score)
            assert 'holds no inputs' in capfd.readouterr().err
            continue
        main(score)
        told = capfd.readouterr().out
        assert 'psnr' in told and 'frechet' not in told.lower() and 'feature distance' not in told, told
    (sketches/'3.bmp').unlink()
    with pytest.raises(SystemExit): main([*map(str, words[:-1]), 'x'])
    assert '1 of 8 images have no input' in capfd.readouterr().err

def test_two_processes_and_a_kill(urepa, tmp_path):
    "The same losses in one process, in two, and after a kill."
    words = ['train', 'tiny', '--task', 'inpainting', *small, '--out']
    urepa.good(*words, 'one')
    done = [o.done() for o in Ranks(2, *words, 'two', cwd=tmp_path, env=urepa.env).forks]
    assert [o.returncode for o in done]==[0, 0], done[0].stderr[-3000:]
    alike(tmp_path/'one', tmp_path/'two')
    life = command(*words, 'killed', cwd=tmp_path, env=urepa.env)
    while not (tmp_path/'killed'/'checkpoints'/'00000002').exists() and not life.ended(): time.sleep(.005)
    life.kill()
    urepa.good(*words, 'killed', '--resume')
    alike(tmp_path/'one', tmp_path/'killed')

def test_a_folder_is_restored_after_a_kill(urepa, tmp_path):
    urepa.good('train', 'tiny', '--task', 'super_resolution', *small, '--align.weight', 0, '--out', 'run')
    album(tmp_path/'album', 12)
    words = ['restore', 'run', '--images', 'album', '--steps', 1, '--batch-size', 32, '--device', 'cpu', '--out']
    life = command(*words, 'some', cwd=tmp_path, env=urepa.env)
    while len(list(tmp_path.glob('some/*.png')))<2 and not life.ended(): time.sleep(.002)
    life.kill()
    before = {o.name:o.stat().st_mtime_ns for o in tmp_path.glob('some/*.png')}
    told = urepa.good(*words, 'some')
    assert f'{len(before):,} stood there before' in told or len(before)==12, told
    assert all((tmp_path/'some'/k).stat().st_mtime_ns==v for k, v in before.items())
    urepa.good(*words, 'whole')
    for o in (tmp_path/'whole').glob('*.png'): assert o.read_bytes()==(tmp_path/'some'/o.name).read_bytes(), o.name
    assert sorted(os.listdir(tmp_path/'some'))==sorted([*os.listdir(tmp_path/'album'), 'restored.json'])

def test_what_is_refused(urepa, tmp_path):
    "A run of another task, or of none, and images that are none: one sentence each."
    (tmp_path/'empty').mkdir()
    album(tmp_path/'album', 1)
    urepa.good('train', 'tiny', *small, '--align.weight', 0, '--out', 'plain')
    urepa.good('train', 'tiny', '--task', 'denoising', *small, '--align.weight', 0, '--out', 'clean')
    def told(*words):
        done = urepa(*words)
        assert done.returncode==1 and 'Traceback' not in done.stderr, done.stderr
        return done.stderr.splitlines()[-1]
    to = ['--out', 'out', '--steps', 1]
    assert 'trained without a task' in told('restore', 'plain', '--images', 'album', *to)
    assert 'takes no masks' in told('restore', 'clean', '--images', 'album', '--masks', 'album', *to)
    assert 'holds no images' in told('restore', 'clean', '--images', 'empty', *to)
    assert 'is no folder' in told('restore', 'clean', '--images', 'nowhere', *to)
    (tmp_path/'album'/'torn.png').write_bytes((tmp_path/'album'/'0.png').read_bytes()[:200])
    sentence = told('restore', 'clean', '--images', 'album', *to)
    assert '1 images could not be restored, the first is torn.png' in sentence
    assert (tmp_path/'out'/'0.png').exists() and not (tmp_path/'out'/'torn.png').exists()
    again = told('train', 'tiny', '--task', 'inpainting', *small, '--align.weight', 0, '--resume', '--out', 'clean')
    assert "task.name was 'denoising' and is now 'inpainting'" in again
