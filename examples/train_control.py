"""Teach a model to be led by a picture: a control branch (ControlNet) for mini-image, learned on pictures made here.

    python examples/train_control.py [FOLDER [STEPS]]

The pictures are a dark and a bright half, whose border lies anywhere; the branch is shown their brightness, and
mini-image itself stays as it is. A few steps show how it goes and not what can be learned: some hundreds are needed. A
folder of your own pictures, with a caption in a .txt file beside each, goes the same way: name it as `data`.
"""

import sys
from pathlib import Path

import numpy as np

import mediagen
from mediagen.modalities.image import Image
from mediagen.training import run_control
from mediagen.training.trainer import Schedule


def make_pictures(folder: Path, count: int = 16) -> None:
    """Half dark, half bright, a caption beside each that does not say where."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        wall = rng.integers(20, 50, (128, 128, 3)).astype(np.uint8)
        wall[: rng.integers(32, 96)] += 180
        Image(wall if i % 2 else wall.transpose(1, 0, 2)).save(folder / f"{i:03d}.png")
        (folder / f"{i:03d}.txt").write_text("a wall, half in the dark\n")


def main(out: Path, steps: int) -> None:
    make_pictures(out / "pictures")
    recipe = run_control.ControlRecipe(
        model="mini-image",
        data=str(out / "pictures"),
        hint="luminance",
        depth=2,
        batch=8,
        schedule=Schedule(steps=steps, lr=2e-3, warmup=2, ema=0.9, precision="no", log_every=0),
    )
    for progress in run_control.run(recipe, out / "brightness"):
        if progress.step % 2 == 0:
            loss = progress.losses["control/loss"]
            print(f"step {progress.step}  loss {loss:.3f}  {progress.seconds_left:.0f} s left")
    picture, pipeline = out / "pictures" / "000.png", mediagen.load("mini-image")
    led = {"model": out / "brightness", "image": picture, "hint": "luminance"}
    for name, control in (("plain", None), ("led", led)):
        pipeline.generate("a wall, half in the dark", steps=4, seed=1, control=control).save(out / f"{name}.png")
        print(out / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "led"), int(sys.argv[2]) if len(sys.argv) > 2 else 6)
