"""A clip extended, mended, varied, refined and given a sound; what is kept is kept to the pixel.

    python examples/video_edits.py [MODEL] [CLIP]

MODEL is a model of video: a name, or a folder that `mediagen train` wrote. CLIP is any video file that it can make
(its size a multiple of the model's), else one is made.
"""

import sys

import numpy as np

import mediagen
from mediagen.modalities import video

pipeline = mediagen.load(sys.argv[1] if len(sys.argv) > 1 else "mini-video")
made = len(sys.argv) < 3
clip = pipeline.generate("a red ball moves to the right", seed=1) if made else video.load(sys.argv[2])
clip.save("clip.mkv")  # without losses

longer = pipeline.extend(clip, "a red ball moves to the right", left=0.5, right=1.0, seed=2)
longer.save("longer.mp4")
first = round(0.5 * clip.rate)
print("each old frame is where it was:", np.array_equal(longer.frames[first : first + clip.count], clip.frames))

mask = np.zeros((*clip.frames.shape[1:3], 3), np.uint8)
mask[:, mask.shape[1] // 2 :] = 255  # white is made anew: the right half
pipeline.inpaint(clip, mask, "a tree", between=(0.5, 1.5), seed=3).save("mended.mp4")
pipeline.vary(clip, "a blue ball moves to the right", strength=0.5, seed=4).save("varied.mp4")

smooth = pipeline.interpolate(clip, 2, "a red ball moves to the right", seed=5)
smooth.save("smooth.mp4")
print(f"{clip.rate:g} frames a second became {smooth.rate:g}; kept:", np.array_equal(smooth.frames[::2], clip.frames))

between = pipeline.between(clip.image(0), clip.image(-1), "a red ball moves to the right", seed=6)
between.save("between.mp4")

tone = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000).astype(np.float32)[None] / 4
heard = pipeline.vary(clip, "a red ball moves to the right", strength=0.3, sound=(tone, 16000), seed=7)
heard.save("heard.mp4")
