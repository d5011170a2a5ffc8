"""Music from text, its picture, a loop, a long piece on a timeline, and a stream: python examples/music.py [MODEL]

MODEL is a model of sound: a name, or a folder that `mediagen train` wrote. It runs offline.
"""

import sys

import mediagen
from mediagen.modalities import audio_files

model = sys.argv[1] if len(sys.argv) > 1 else "mini-audio"
pipeline = mediagen.load(model)

clip = mediagen.audio("slow jazz, piano and double bass, 90 bpm", seconds=4, seed=7, model=model)
clip.save("jazz.flac")
clip.plot().save("jazz.png")
print(
    f"{clip.seconds:g} s saved as jazz.flac; made again, sample for sample:", mediagen.replay("jazz.flac", model).equal
)

loop = pipeline.loop("house, drums and synth bass, 120 bpm", bars=2, bpm=120, seed=1)
loop.save("loop.wav")  # exactly 4 s, and its end goes on with its beginning
print(f"a loop of {loop.samples.shape[1]} samples, {loop.seconds:g} s")

long = pipeline.generate([(0, "calm classical piano, 80 bpm"), (6, "piano and drums, 120 bpm")], seconds=12, seed=2)
long.save("long.flac")  # made in windows, at constant memory

stream = mediagen.stream("house, drums and polysynth, 120 bpm", seconds=12, seed=3, steps=8, model=model)
parts = []
for part in stream:
    parts.append(part.samples)
    stream.prompt = "house, drums, polysynth and piano, 120 bpm"  # from the next window on
audio_files.write("stream.flac", parts, stream.rate, stream.channels)
print(f"a stream of {stream.made:g} s, {stream.real_time_factor:.1f} times faster than it plays")
