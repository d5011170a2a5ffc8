"""Builds a small data set of captioned scenes and shows a sheet of it: python examples/build_scenes.py OUT

The first run fetches four packages of drawings (some 22 MB) with npm and draws the sprites, half a minute in all.
"""

import sys
from pathlib import Path

from PIL import Image

from mediagen.data.build import build
from mediagen.data.stored import Scenes


def main(out: str) -> None:
    folder = build("small", out, size=128, train=500, heldout=50, workers=2)
    scenes = Scenes(folder / "train")
    sheet = Image.new("RGB", (8 * 128, 8 * 128))
    for i in range(64):
        sheet.paste(Image.fromarray(scenes.images(i)), (i % 8 * 128, i // 8 * 128))
        sys.stdout.write(f"{i:3} {scenes.captions(i)[0]}\n")
    sheet.save(Path(out) / "sheet.png")


if __name__ == "__main__":  # the builder starts other processes
    main(sys.argv[1] if len(sys.argv) > 1 else "data/scenes")
