"""Every solver and every guidance method works with every model; here a few side by side from one seed."""

import mediagen
from mediagen.modalities.image import sheet

pipeline = mediagen.load("mini-image")
prompt, seed = "a yellow car on a green meadow", 5
pictures = [
    pipeline.generate(prompt, seed=seed, solver=solver, steps=10) for solver in ("euler", "heun", "unipc", "lcm")
]
pictures += [pipeline.generate(prompt, seed=seed, method=method, steps=10) for method in ("cfg", "apg", "cfg_zero")]
pictures += [pipeline.generate(prompt, seed=seed, steps=10, interval=(0.2, 0.9), rescale=0.5)]
sheet(pictures, columns=4).save("solvers-and-guidance.png")
