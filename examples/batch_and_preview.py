"""A batch, step by step: everything that one waits for is a stream of events, with a preview of where it is going."""

import mediagen
from mediagen.modalities.image import sheet

pipeline = mediagen.load("mini-image")
job = pipeline.job("a rocket in outer space", n=4, seed=0, steps=12, previews=True)
for event in pipeline.stream(job):
    if event.stage == "step" and event.preview is not None:
        print(f"step {event.step} of {event.total}, preview {tuple(event.preview.shape)}")
sheet(event.results, columns=4).save("rockets.png")
