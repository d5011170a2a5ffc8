"""A picture's edges lead another one: `python control.py FOLDER_OR_REPOSITORY CONTROL PICTURE [STEPS]`.

Needs `pip install 'mediagen[published]'`, a checkpoint of Stable Diffusion or SDXL, and a control network of it in
diffusers' layout, such as lllyasviel/control_v11p_sd15_canny: a folder, or a repository, which is fetched once.
"""

import sys

import mediagen

model, network, picture = sys.argv[1:4]
options = {"steps": int(sys.argv[4])} if len(sys.argv) > 4 else {}
pipeline = mediagen.load(model)
prompt = "a living room, oil painting"

# its edges, found by Canny, all the way; then as a light hint in the first half of the walk
edges = {"model": network, "image": picture, "hint": "canny"}
pipeline.generate(prompt, seed=7, control=edges, **options).save("controlled.png")
pipeline.generate(prompt, seed=7, control=edges | {"weight": 0.5, "end": 0.5}, **options).save("hinted.png")

# several at once, each with its own picture, weight and part of the walk
brightness = {"model": network, "image": picture, "hint": "luminance", "start": 0.25}
pipeline.generate(prompt, seed=7, control=[edges, brightness], **options).save("two.png")

print("made again, pixel for pixel:", mediagen.replay("two.png").equal)
