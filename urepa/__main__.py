"`python -m urepa`, so that `torchrun --nproc_per_node 8 -m urepa train …` starts a command in many processes."
from urepa.app.cli import main

if __name__=='__main__': main()
