"""Processes of their own that need not import torch: a server has the libraries, not the package, and forks.

Three seconds less for each page, command and rank. What a signal or a launcher is tested with stays a command."""
import atexit
import gc
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

server = multiprocessing.get_context('forkserver')
server.set_forkserver_preload('torch torchvision matplotlib.pyplot sklearn.manifold accelerate peft timm '
                              'diffusers.pipelines.pipeline_utils torchmetrics.functional.image torch_fidelity pandas '
                              'tyro nbdev.test nbdev.showdoc'.split())

def begin(function, args, told, cwd, env):
    "In the new process: its output, environment and folder, then the call."
    gc.freeze() # what the libraries hold is not looked through again
    for stream, path in zip((1, 2), told, strict=True):
        with open(path, 'ab') as file: os.dup2(file.fileno(), stream)
    for name in ('stdout', 'stderr', '__stdout__', '__stderr__'):
        setattr(sys, name, open(1 if 'out' in name else 2, 'w', buffering=1, closefd=False))
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    tempfile.tempdir = None # the server's is remembered; TMPDIR may name another
    try: function(*args)
    finally: atexit._run_exitfuncs() # which multiprocessing passes over

class Fork:
    "`function(*args)` in a process of its own, begun."
    def __init__(self, function, *args, cwd, env):
        folder = Path(tempfile.mkdtemp(prefix='told-'))
        self.args, self.told, self.answer = args, [folder/'out', folder/'err'], None
        self.process = server.Process(target=begin, args=(function, args, self.told, cwd, env))
        self.process.start()

    def ended(self): return not self.process.is_alive()

    def kill(self):
        self.process.kill()
        self.process.join()

    def done(self, timeout=500):
        "Wait; what `subprocess.run` answers. It may be asked again."
        if self.answer: return self.answer
        self.process.join(timeout)
        if not self.ended(): self.kill()
        told = [o.read_text(encoding='utf-8') if o.exists() else '' for o in self.told]
        shutil.rmtree(self.told[0].parent, ignore_errors=True)
        self.answer = subprocess.CompletedProcess(self.args, self.process.exitcode, *told)
        return self.answer

def urepa_command(*words):
    "What the script `urepa` does."
    sys.argv = ['urepa', *words]
    from urepa.app.cli import main
    sys.exit(main())

def on_a_full_disk(*words):
    "The command, none of whose files may grow beyond 64 kB, as if the disk ended there."
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (64*1024, 64*1024))
    urepa_command(*words)

def execute(code): exec(code, {})

def command(*words, cwd, env=None, function=urepa_command):
    return Fork(function, *map(str, words), cwd=cwd, env=dict(os.environ) if env is None else env)

class Ranks:
    """The command as n processes that find each other, as `torchrun` would begin them.

    `own` has further words of some ranks, `functions` what these call instead of the command, `absent` never come."""
    def __init__(self, n, *words, cwd, env=None, own=None, functions=None, absent=()):
        with socket.create_server(('127.0.0.1', 0)) as free: port = free.getsockname()[1]
        shared = dict(os.environ if env is None else env, WORLD_SIZE=n, LOCAL_WORLD_SIZE=n, MASTER_ADDR='127.0.0.1',
                      MASTER_PORT=port)
        each = [{k:str(v) for k, v in dict(shared, RANK=i, LOCAL_RANK=i).items()} for i in range(n)]
        own, functions = own or {}, functions or {}
        self.forks = [command(*words, *own.get(i, ()), cwd=cwd, env=each[i], function=functions.get(i, urepa_command))
                      for i in range(n) if i not in absent]

    def ended(self): return any(o.ended() for o in self.forks)

    def kill(self):
        for o in self.forks: o.kill()

    def done(self, timeout=500):
        "The worst status, and what all of them printed."
        parts = [o.done(timeout) for o in self.forks]
        worst = max((o.returncode for o in parts), key=abs)
        return subprocess.CompletedProcess([], worst, *(''.join(getattr(o, k) for o in parts)
                                                        for k in ('stdout', 'stderr')))
