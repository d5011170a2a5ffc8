"""What a run tells while it goes on: numbers and pictures for tensorboard, and the pictures as PNG files too."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from einops import rearrange
from torch import Tensor


class Journal:
    """Writes under `out/events` (`tensorboard --logdir out`) and `out/samples`; numbers every `every` steps.

    every = 0 writes no numbers and needs no tensorboard. ImportError naming the extra where tensorboard is missing.
    """

    def __init__(self, out: Path, every: int = 10) -> None:
        self.out, self.every = out, every
        self._writer: Any = None

    def begin(self, step: int) -> None:
        """Open the files at `step`; what an earlier, cut-off run wrote beyond it is forgotten."""
        if self.every:
            self._writer = _summary_writer()(str(self.out / "events"), purge_step=step + 1 if step else None)

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def due(self, step: int) -> bool:
        """Whether the losses of `step` are to be written."""
        return bool(self.every) and step % self.every == 0

    def pictures(self, step: int, name: str, media: Tensor) -> None:
        """media [N, 3, H, W] in [-1, 1], laid side by side in rows of at most eight."""
        sheet = contact_sheet(media)
        if self._writer is not None:
            self._writer.add_image(name, sheet, step, dataformats="HWC")
        write_picture(self.out / "samples" / f"{name}-{step:06d}.png", sheet)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def contact_sheet(media: Tensor, across: int = 8) -> Tensor:
    """[N, 3, H, W] in [-1, 1] -> uint8 [H', W', 3]; the last row is filled up with grey."""
    across = min(across, len(media))
    missing = -len(media) % across
    filled = media.new_zeros(len(media) + missing, *media.shape[1:])
    filled[: len(media)] = media.clamp(-1, 1)
    return rearrange(((filled + 1) * 127.5).round().byte().cpu(), "(r n) c h w -> (r h) (n w) c", n=across)


def write_picture(file: Path, pixels: Tensor) -> None:
    """uint8 [H, W, 3] -> a PNG file."""
    from PIL import Image

    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.numpy()).save(file)


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError("training keeps a tensorboard journal: pip install 'mediagen[train]'") from error
    return SummaryWriter
