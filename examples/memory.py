"""What a model needs before it is loaded, and how to need less. Give a published checkpoint to see it of that."""

import sys

import mediagen
from mediagen.planning import memory

model, steps = [*sys.argv[1:], "mini-image"][0], 4
plan = mediagen.plan(model, size=256)
print("\n".join(plan.lines(memory())))
print("on a device of 8 GB:", plan.advice(8 * 10**9))

options = {"dtype": "bfloat16"}
if len(sys.argv) > 1:  # offload="model", "group" or "sequential" go here too, where there is a device to offload from
    options |= {"tile": 32}
pipeline = mediagen.load(model, **options)
pipeline.generate("a cat left of a pizza", size=256, steps=steps, seed=7).save("cat.png")
