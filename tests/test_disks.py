"Disks that are full, read-only or not ours, told apart by every command that writes."
import errno
import os
import subprocess

import numpy as np
import pytest
from test_commands import complaint
from test_prepare import inside, small  # noqa: F401
from test_sources import folders

from urepa.core import read_json

told = { # errno → what the sentence names
    errno.ENOSPC: 'the disk is full',
    errno.EROFS: 'mounted for reading only',
    errno.EACCES: 'may not write there',
}

@pytest.fixture(scope='module')
def run(tmp_path_factory):
    "A run of one step, shared."
    from urepa.config import presets, replace_fields
    from urepa.training.train import train
    return train(replace_fields(presets['tiny'], {'optim.steps':1}), tmp_path_factory.mktemp('made')/'run', show=False)

def refusing(monkeypatch, code, place):
    "Files below a folder cannot be written."
    made = os.open
    def refuse(path): raise OSError(code, os.strerror(code), str(path))
    def within(path): return isinstance(path, (str, os.PathLike)) and str(place) in os.path.abspath(os.fspath(path))
    def opened(path, flags, *args, **kwargs):
        if flags&(os.O_WRONLY|os.O_RDWR) and within(path): refuse(path)
        return made(path, flags, *args, **kwargs)
    import builtins
    import io
    plain = io.open
    def opened_file(path, mode='r', *args, **kwargs):
        if set(mode)&set('wax+') and within(path): refuse(path)
        return plain(path, mode, *args, **kwargs)
    monkeypatch.setattr(os, 'open', opened)
    monkeypatch.setattr(builtins, 'open', opened_file)
    monkeypatch.setattr(io, 'open', opened_file)
    made_folder = os.mkdir
    monkeypatch.setattr(os, 'mkdir', lambda path, *a, **k: refuse(path) if within(path) else made_folder(path, *a, **k))

commands = {
    'prepare': ['prepare', '--images', 'images', '--out', 'there/store', *small],
    'train': ['train', 'tiny', '--optim.steps', '1', '--out', 'there/run'],
    'sample': ['sample', '{run}', '--count', '2', '--steps', '1', '--out', 'there/drawn.npz'],
    'sample pictures': ['sample', '{run}', '--count', '2', '--steps', '1', '--out', 'there/drawn'],
    'export': ['export', '{run}', '--out', 'there/model'],
    'evaluate': ['evaluate', 'drawn.npz', '--out', 'there/score.json'],
}

@pytest.mark.parametrize('code', told, ids=errno.errorcode.get)
@pytest.mark.parametrize('command', commands)
def test_told_apart(command, code, run, inside, tmp_path, monkeypatch): # noqa: F811
    folders(tmp_path/'images', 'a/0.png', 'b/1.png')
    np.savez(tmp_path/'drawn.npz', arr_0=np.zeros((4, 32, 32, 1), np.uint8))
    (tmp_path/'there').mkdir()
    refusing(monkeypatch, code, tmp_path/'there')
    words = [o.format(run=run) for o in commands[command]]
    said = complaint(inside(*words))
    assert told[code] in said, said

def test_a_score_outlives_a_folder_that_cannot_be_written(run, inside, tmp_path, monkeypatch): # noqa: F811
    refusing(monkeypatch, errno.EROFS, run)
    done = inside('evaluate', str(run), '--count', '20', '--steps', '1')
    assert done.returncode==0 and 'real images' in done.stdout, done.stderr
    assert 'the score is not kept' in done.stderr and told[errno.EROFS] in done.stderr

@pytest.mark.parametrize('code', [errno.EINVAL, errno.ENOTSUP])
def test_folders_that_cannot_be_flushed(code, inside, tmp_path, monkeypatch): # noqa: F811
    "CIFS and some FUSE file systems refuse `fsync` on folders; a checkpoint stands all the same."
    real = os.fsync
    def fsync(file):
        if os.path.isdir(f'/proc/self/fd/{file}'): raise OSError(code, os.strerror(code))
        real(file)
    monkeypatch.setattr(os, 'fsync', fsync)
    inside.good('train', 'tiny', '--optim.steps', '1', '--out', 'run')
    assert read_json(tmp_path/'run'/'checkpoints'/'0000001'/'state.json')['step']==1

@pytest.fixture
def small_disk(tmp_path):
    "A disk of a quarter of a megabyte, where the system lets us mount one."
    (tmp_path/'disk').mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', tmp_path/'disk']
    if subprocess.run(mount, capture_output=True).returncode: pytest.skip('only root may mount')
    yield tmp_path/'disk'
    subprocess.run(['umount', '-l', tmp_path/'disk'], check=True)

def test_a_small_disk(small_disk, run, inside, tmp_path): # noqa: F811
    said = complaint(inside('export', str(run), '--out', 'disk/model'))
    assert told[errno.ENOSPC] in said and not list(small_disk.iterdir())
    done = inside('train', 'tiny', '--optim.steps', '2', '--run.save-every', '1', '--out', 'disk/run')
    assert told[errno.ENOSPC] in done.stderr and done.returncode==1, done.stderr
    said = complaint(inside('sample', str(run), '--count', '3000', '--steps', '1', '--out', 'disk/drawn.npz'))
    assert told[errno.ENOSPC] in said
    subprocess.run(['mount', '-o', 'remount,ro', small_disk], check=True)
    said = complaint(inside('export', str(run), '--out', 'disk/model'))
    assert told[errno.EROFS] in said
