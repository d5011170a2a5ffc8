"""A contact sheet of a clip: some of its frames side by side, each with the second that it begins at."""

import numpy as np

from .image import Image, sheet

SIDES = (128, 256)  # pixels: smaller frames are enlarged by a whole number, larger ones reduced
LABEL = 16  # pixels below a frame
MOST = 1000  # frames


def picture(frames: np.ndarray, rate: float, *, count: int = 12, columns: int = 4) -> Image:
    """uint8 [F, H, W, 3] -> a picture of up to `count` frames, evenly spread, the first and the last among them.

    ValueError for a count or columns that are none.
    """
    if not 1 <= count <= MOST or columns < 1:
        raise ValueError(f"a contact sheet shows 1 to {MOST} frames in 1 or more columns, not {count} in {columns}")
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int))
    return sheet([_cell(frames[i], f"{i / rate:.2f} s") for i in chosen], columns)


def _cell(frame: np.ndarray, label: str) -> Image:
    from PIL import Image as Pil
    from PIL import ImageDraw

    least, most = SIDES
    factor = max(1, -(-least // max(frame.shape[:2])))
    pil = Pil.fromarray(frame.repeat(factor, axis=0).repeat(factor, axis=1))
    pil.thumbnail((most, most), Pil.Resampling.LANCZOS)
    canvas = Pil.new("RGB", (pil.width, pil.height + LABEL), "white")
    canvas.paste(pil)
    ImageDraw.Draw(canvas).text((1, pil.height + 2), label, fill="black")
    return Image(np.array(canvas))
