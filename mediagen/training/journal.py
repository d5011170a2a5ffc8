"""What a run tells while it goes on: numbers for tensorboard; pictures, sounds and clips, also as files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
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

    def pictures(self, step: int, name: str, media: Tensor, across: int = 8) -> None:
        """media [N, 3, H, W] in [-1, 1], laid side by side in rows of at most `across`."""
        sheet = contact_sheet(media, across)
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

    def clips(self, step: int, name: str, media: Tensor, rate: float, shown: int = 5) -> None:
        """media [N, 3, F, H, W] in [-1, 1] at `rate` frames a second: a picture of `shown` frames of each, a clip a
        row, and a GIF file in which all of them play side by side."""
        from ..modalities import video

        media = media.detach().float().clamp(-1, 1).cpu()
        places = torch.linspace(0, media.shape[2] - 1, min(shown, media.shape[2])).round().long()
        self.pictures(step, name, rearrange(media[:, :, places], "n c f h w -> n c h (f w)"), across=1)
        film = rearrange(media, "n c f h w -> c f h (n w)")
        file = self.out / "samples" / f"{name}-{step:06d}.gif"
        video.Video.from_tensor(film, rate).save(file)

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
