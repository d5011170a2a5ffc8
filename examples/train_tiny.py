"""Train a tiny text-to-image model on pictures made here, in about a minute on a CPU, and use it.

    python examples/train_tiny.py [FOLDER [STEPS]]

The pictures are plain walls in eight colours, 32 pixels a side. A folder of your own pictures, with a caption in a .txt
file beside each, goes the same way: name it as `data`.
"""

import sys
from pathlib import Path

import numpy as np

import mediagen
from mediagen.modalities.image import Image
from mediagen.training import recipes
from mediagen.training.trainer import Schedule

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (50, 80, 220),
    "yellow": (240, 210, 50),
    "purple": (140, 60, 180),
    "orange": (240, 140, 40),
    "black": (20, 20, 20),
    "white": (245, 245, 245),
}


def make_pictures(folder: Path, count: int = 160) -> None:
    """Walls with a little noise, a caption beside each."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        name, colour = list(COLOURS.items())[i % len(COLOURS)]
        wall = np.clip(np.array(colour) + rng.normal(0, 6, (32, 32, 3)), 0, 255).astype(np.uint8)
        Image(wall).save(folder / f"{i:03d}.png")
        (folder / f"{i:03d}.txt").write_text(f"a {name} wall\n")


def main(out: Path, steps: int) -> None:
    make_pictures(out / "pictures")
    recipe = recipes.DenoiserRecipe(
        data=str(out / "pictures"),
        size=32,
        model={"channels": 3, "patch": [4, 4], "width": 96, "depth": 3, "heads": 3, "hidden": 256},
        batch=16,
        schedule=Schedule(steps=steps, lr=3e-3, warmup=10, ema=0.98, precision="no", log_every=0, checkpoint_every=100),
    )
    for progress in recipes.run(recipe, out / "model"):
        if progress.step % 50 == 0:
            loss = progress.losses["denoiser/loss"]
            print(f"step {progress.step}  loss {loss:.3f}  {progress.seconds_left:.0f} s left")
    pipeline = mediagen.load(out / "model")
    for name in ("red", "blue", "yellow"):
        picture = pipeline.generate(f"a {name} wall", seed=1)
        picture.save(out / f"{name}.png")
        print(out / f"{name}.png", "mean colour", picture.numpy().mean((0, 1)).round(), "wanted", COLOURS[name])


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "tiny"), int(sys.argv[2]) if len(sys.argv) > 2 else 300)
