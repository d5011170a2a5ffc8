"""A clip varied, mended, extended and accompanied; what is kept is kept to the sample.

    python examples/music_edits.py [MODEL] [CLIP]

MODEL is a model of sound: a name, or a folder that `mediagen train` wrote. CLIP is any sound file, else one is made.
"""

import sys

import numpy as np

import mediagen

pipeline = mediagen.load(sys.argv[1] if len(sys.argv) > 1 else "mini-audio")
if len(sys.argv) > 2:
    clip = sys.argv[2]
else:
    clip = pipeline.generate("country, acoustic guitar, 100 bpm", seconds=6, seed=1).save("clip.flac")

pipeline.vary(clip, "country, banjo, 100 bpm", strength=0.5, seed=2).save("varied.flac")
mended = pipeline.inpaint(clip, 2.0, 3.5, "country, acoustic guitar, 100 bpm", seed=3)
mended.save("mended.flac")
longer = pipeline.extend(mended, "country, acoustic guitar, 100 bpm", left=1.0, right=2.0, seed=4)
longer.save("longer.flac")
if "context" in pipeline.model.signals:  # it was trained on stems and what plays beside them
    pipeline.accompany(clip, "bass only", seed=5).save("with-bass.flac")

first = pipeline.rate  # one second was put before it
kept = np.array_equal(longer.samples[:, first : first + mended.samples.shape[1]], mended.samples)
print(f"{mended.seconds:g} s became {longer.seconds:g} s; each old sample is where it was:", kept)
