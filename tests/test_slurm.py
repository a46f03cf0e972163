"The script of the tutorial on ImageNet under a real SLURM of one node, where its daemons are installed."
import json
import os
import re
import shutil
import socket
import subprocess
import time

import pytest
from checkout import root, scripts

lacking = [o for o in ('slurmctld', 'slurmd', 'sbatch', 'srun', 'munged') if not shutil.which(o)]
pytestmark = [pytest.mark.skipif(bool(lacking), reason=f'not installed: {", ".join(lacking)}'),
              pytest.mark.skipif(os.geteuid()!=0, reason='slurmd runs jobs as root only')]

def free_port():
    with socket.create_server(('127.0.0.1', 0)) as free: return free.getsockname()[1]

def script():
    "The page's own, for one node, two small tasks and the smallest preset."
    page = json.loads((root/'nbs'/'tutorials'/'imagenet.ipynb').read_text(encoding='utf-8'))
    texts = [''.join(o['source']) for o in page['cells'] if o['cell_type']=='markdown']
    [found] = [o for text in texts for o in re.findall(r'```bash\n(#!/bin/bash.*?)```', text, re.S)]
    for old, new in (('--nodes=2 --ntasks-per-node=8 --gpus-per-node=8 --cpus-per-task=8',
                      '--nodes=1 --ntasks-per-node=2 --cpus-per-task=1'),
                     ('sit_down_xl --data imagenet-256', 'tiny --run.device cpu --run.log-every 1'),
                     ('--optim.steps 1000000', '--optim.steps 100000')):
        assert old in found, old
        found = found.replace(old, new)
    return found

@pytest.fixture
def slurm(tmp_path):
    "A controller and a node of this machine; `slurm(command)` runs a command of it."
    name = socket.gethostname().split('.')[0]
    (tmp_path/'key').write_bytes(os.urandom(128))
    (tmp_path/'key').chmod(0o400)
    conf = tmp_path/'slurm.conf'
    conf.write_text(f"""ClusterName=test
SlurmctldHost={name}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={tmp_path}/munge
SlurmctldPort={free_port()}
SlurmdPort={free_port()}
StateSaveLocation={tmp_path}/state
SlurmdSpoolDir={tmp_path}/spool
SlurmctldPidFile={tmp_path}/slurmctld.pid
SlurmdPidFile={tmp_path}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
NodeName={name} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
""")
    for o in ('state', 'spool'): (tmp_path/o).mkdir()
    env = dict(os.environ, SLURM_CONF=str(conf), PATH=f"{scripts}:{os.environ['PATH']}", OMP_NUM_THREADS='1',
               UREPA_CACHE=str(tmp_path/'cache'), ACCELERATE_USE_CPU='1')
    daemons = [
        ['munged', '-F', '-f', '-S', tmp_path/'munge', '--key-file', tmp_path/'key', '--pid-file', tmp_path/'munge.pid',
         '--seed-file', tmp_path/'seed', '--log-file', tmp_path/'munge.log'],
        ['slurmctld', '-D', '-i'], ['slurmd', '-D', '-N', name]]
    begun = []
    with open(tmp_path/'daemons', 'w') as told:
        for words in daemons:
            begun.append(subprocess.Popen([str(o) for o in words], env=env, stdout=told, stderr=told, cwd=tmp_path))
            time.sleep(1)
    def call(*words):
        done = subprocess.run([str(o) for o in words], env=env, cwd=tmp_path, capture_output=True, text=True)
        return done.stdout+done.stderr
    call.told = lambda: (tmp_path/'daemons').read_text()
    yield call
    call('scancel', '--user', 'root')
    time.sleep(2)
    for o in begun[::-1]:
        o.terminate()
        o.wait(20)

def wait_for(true, told, seconds=90):
    end = time.monotonic()+seconds
    while not true():
        assert time.monotonic()<end, told()
        time.sleep(.2)

def test_a_job_saves_and_queues_itself_again(slurm, tmp_path):
    "SIGUSR1, as SLURM sends it before the time is over: saved, ended with 130, queued again."
    (tmp_path/'job.sh').write_text(script())
    job = re.search(r'\d+', slurm('sbatch', 'job.sh'))
    assert job, slurm.told()
    job = job[0]
    log = tmp_path/'runs'/'xl'/'log.jsonl'
    def told(): return slurm('scontrol', 'show', 'job', job)+(tmp_path/f'slurm-{job}.out').read_text()[-3000:]
    wait_for(lambda: log.exists() and len(log.read_text().splitlines())>=3, lambda: slurm.told()+told())
    slurm('scancel', '--signal=USR1', job)
    wait_for(lambda: 'Restarts=1' in slurm('scontrol', 'show', 'job', job), told)
    kept = max(int(o.name) for o in (tmp_path/'runs'/'xl'/'checkpoints').iterdir() if o.name.isdigit())
    assert len(log.read_text().splitlines())==kept, told()
    assert f'stopped after step {kept:,} of 100,000' in told(), told()
