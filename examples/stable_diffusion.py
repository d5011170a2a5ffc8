"""A published checkpoint through our loop: `python stable_diffusion.py FOLDER_OR_REPOSITORY [STEPS [REFINER]]`.

Needs `pip install 'mediagen[published]'`, and a checkpoint of Stable Diffusion, SDXL, SD3 or Flux in diffusers' layout:
a folder, or a repository such as stabilityai/stable-diffusion-xl-base-1.0, which is fetched once; REFINER is one of
SDXL's refiner.
"""

import sys

import torch

import mediagen

pipeline = mediagen.load(sys.argv[1])
options = {"steps": int(sys.argv[2])} if len(sys.argv) > 2 else {}
prompt = "a red balloon over the sea"

# as it was published: its own schedule, solver, guidance and number of steps
first = pipeline.generate(prompt, seed=7, **options)
first.save("published.png")

# any solver, timing and guidance of ours
karras = {"name": "Karras"} if "Table" in type(pipeline.model.denoiser.path).__name__ else {"name": "Uniform"}
pipeline.generate(prompt, seed=7, solver="unipc", timing=karras, method="apg", **options).save("unipc.png")

# any edit: words with weights, a part with its own prompt, a picture that has no seam from left to right
pipeline.generate("a (red:1.3) balloon", seed=7, regions=[("a ship", (0, 0.5, 0.5, 1))], **options).save("ship.png")
pipeline.generate(prompt, seed=7, loop=(-1,), **options).save("tile.png")
pipeline.vary(first, "a blue balloon over the sea", seed=8, strength=0.6, **options).save("varied.png")

# the noise of a torch.Generator is drawn as diffusers' pipelines draw it: the picture that they make of this seed
generator = torch.Generator().manual_seed(0)
pipeline.generate(prompt, noise=generator, **options).save("as-diffusers.png")

# two models as one: a refiner walks the last fifth of the noise's course
if len(sys.argv) > 3:
    both = mediagen.ensemble(pipeline, mediagen.load(sys.argv[3]), share=0.8)
    both.generate(prompt, seed=7, **options).save("refined.png")
print("made again, pixel for pixel:", mediagen.replay("published.png").equal)
