"""A clip from text, from a picture, in a loop, on a timeline, and one that goes on: python examples/video.py [MODEL]

MODEL is a model of video: a name, or a folder that `mediagen train` wrote. It runs offline.
"""

import sys

import mediagen
from mediagen.metrics.drift import plotted
from mediagen.modalities import video_files

model = sys.argv[1] if len(sys.argv) > 1 else "mini-video"
pipeline = mediagen.load(model)

clip = mediagen.video("a rocket flies up", seed=7, model=model)
clip.save("rocket.mp4")
clip.sheet().save("rocket.png")  # its frames side by side
print(
    f"{clip.seconds:g} s saved as rocket.mp4; made again, pixel for pixel:", mediagen.replay("rocket.mp4", model).equal
)

picture = clip.image(0)
animated = mediagen.video("a rocket flies up", first=picture, motion=0.5, seed=1, model=model)
animated.save("animated.mp4")  # its first frame is the picture itself
print("the first frame is the picture:", animated.image(0).sha256 == picture.sha256)

loop = pipeline.loop("a wheel spins", seconds=2, seed=2)
loop.save("loop.gif")  # its end goes on with its beginning
print(f"a loop of {loop.count} frames")

story = pipeline.generate([(0, "a cat sits"), (2, "the cat runs")], seconds=4, seed=3)
story.save("story.mp4")  # in windows that overlap by half

stream = pipeline.live("a sailboat moves to the right", seconds=6, seed=4)
video_files.write("long.mp4", (part.frames for part in stream), stream.rate)  # at constant memory
print(plotted(stream.drift))
