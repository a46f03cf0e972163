"Offline, without a window, one thread a process: tests run side by side."
import os

os.environ.update(OMP_NUM_THREADS='1', HF_HUB_OFFLINE='1', MPLBACKEND='Agg')
