"""Let a CPU-only torch import a torchvision that was built for CUDA. Run once in a new environment.

PyPI's torchvision wheel is built against CUDA torch. Beside a CPU-only torch its compiled library cannot be loaded, the
operator `nms` is never registered, and `import torchvision` fails (with it timm, torch_fidelity, autoencoders of
diffusers and `accelerate launch`). Declaring the two operators that torchvision describes to the compiler is enough.
It has to
happen before torchvision is imported, so this writes a small module and a one-line `.pth` that watches for that import.
Does nothing elsewhere.
`ops.nms` and `torchvision.io` stay unavailable: images are decoded with Pillow."""
import subprocess
import sys
import sysconfig
from pathlib import Path

WATCHER = '''"""Written by .ci/mend_torchvision.py: declares nms and qnms before torchvision is imported."""
import sys

class Watcher:
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch
            self.library = torch.library.Library("torchvision", "FRAGMENT")
            for op in ("nms", "qnms"):
                self.library.define(op + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            sys.torchvision_watcher = self # the library lives as long as something refers to it

sys.meta_path.insert(0, Watcher())
'''

def imports(): return subprocess.run([sys.executable, '-c', 'import torchvision'], capture_output=True, text=True)

first = imports()
if first.returncode == 0 or 'torchvision::nms does not exist' not in first.stderr:
    sys.exit(print(first.stderr) if first.returncode else 0)
site = Path(sysconfig.get_paths()['purelib'])
(site/'torchvision_watcher.py').write_text(WATCHER)
(site/'torchvision_watcher.pth').write_text('import torchvision_watcher\n')
again = imports()
print('torchvision mended for a CPU-only torch' if again.returncode == 0 else again.stderr)
sys.exit(again.returncode)
