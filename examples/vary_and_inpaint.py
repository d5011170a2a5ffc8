"""From a picture to others: vary it by a strength, or make a part of it anew."""

import numpy as np

import mediagen

pipeline = mediagen.load("mini-image")
cat = pipeline.generate("a cat on a plain green background", seed=1)
pipeline.vary(cat, "a cat on a plain green background", strength=0.5, seed=2).save("another-cat.png")

mask = np.zeros((128, 128, 3), np.uint8)
mask[:64] = 255  # white is made anew: the upper half
changed = pipeline.inpaint(cat, mask, "a cat under a starry sky", seed=3)
changed.save("cat-at-night.webp", quality=90)
print("the lower half is untouched:", np.array_equal(changed.numpy()[64:], cat.numpy()[64:]))
