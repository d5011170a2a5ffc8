"""What a run tells while it goes on: numbers, pictures and sounds for tensorboard, and the latter two as files too."""

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

    def sounds(self, step: int, name: str, media: Tensor, rate: int) -> None:
        """media [N, C, T] in [-1, 1] at `rate` Hz, one after the other in one file; tensorboard plays each in mono."""
        from ..modalities import audio_files

        heard = media.detach().float().clamp(-1, 1).cpu()
        if self._writer is not None:
            for number, sound in enumerate(heard):
                self._writer.add_audio(f"{name}/{number}", sound.mean(0, keepdim=True), step, sample_rate=rate)
        file = self.out / "samples" / f"{name}-{step:06d}.flac"
        file.parent.mkdir(parents=True, exist_ok=True)
        audio_files.write(file, [rearrange(heard, "n c t -> c (n t)").numpy()], rate, heard.shape[1])

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


def shades(pictures: Tensor) -> Tensor:
    """Mel pictures [N, C, frames, mels] -> grey ones [N, 3, mels, frames], low tones below, of the channels' mean."""
    return pictures.mean(1, keepdim=True).mT.flip(2).expand(-1, 3, -1, -1)


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
