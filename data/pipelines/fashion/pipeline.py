"What diffusers.DiffusionPipeline.from_pretrained(FOLDER, trust_remote_code=True) runs."
from urepa.app.pipeline import UREPAPipeline
