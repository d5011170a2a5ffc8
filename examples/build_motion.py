"""Builds a small data set of captioned clips and shows a sheet of it: python examples/build_motion.py OUT

The first run fetches drawings and animated drawings with npm (some 720 MB) and draws the sprites, a minute in all.
"""

import sys
from pathlib import Path

from PIL import Image

from mediagen.data.motion.build import build_motion
from mediagen.data.motion.clips import Clips


def main(out: str) -> None:
    folder = build_motion("small", out, train=256, heldout=32, workers=2)
    clips = Clips(folder / "train")
    sheet = Image.new("RGB", (9 * 64, 24 * 64))
    for i in range(24):
        for column, frame in enumerate(clips[i][::2]):
            sheet.paste(Image.fromarray(frame), (column * 64, i * 64))
        sys.stdout.write(f"{i:3} {clips.captions(i)[0]}\n")
    sheet.save(Path(out) / "sheet.png")


if __name__ == "__main__":  # the builder starts other processes
    main(sys.argv[1] if len(sys.argv) > 1 else "data/motion")
