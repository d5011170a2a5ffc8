"""Several prompts in one picture: weighted, composed, and each in its own place; wide and seamless pictures."""

import mediagen

pipeline = mediagen.load("mini-image")
pipeline.generate("a (red:1.4) apple on a wooden table", seed=0).save("apple.png")
pipeline.generate([("a tree", 1.0), ("a starry night sky", 0.6)], seed=0).save("composed.png")
regions = [("a cat", (0.0, 0.0, 0.5, 1.0)), ("a pizza", (0.5, 0.0, 1.0, 1.0))]
pipeline.generate("on a plain blue background", size=(256, 128), regions=regions, seed=0).save("regions.png")
pipeline.generate("a starry night sky", loop=(-1, -2), seed=0).save("tile.png")  # repeats without a seam
