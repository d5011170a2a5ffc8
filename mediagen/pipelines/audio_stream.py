"""Sound that is made while it is heard."""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..autoencoders.chunks import decode_blocks
from ..conditioners import beats
from ..generators.diffusion import Start
from ..modalities.audio import Audio
from ..request import Request
from .audio import AudioJob, AudioPipeline
from .live import Live
from .rollout import Window, rollout

CHUNK = 64  # latents that are decoded at once, some 3 s
SHARE = 4  # one part in so many of a window is the last one's tail


class Stream(Live[Audio]):
    """A stream of sound; see `live.Live`. `bpm` may be changed while it runs as well: None for what the prompt says."""

    _pipeline: AudioPipeline

    def __init__(self, pipeline: AudioPipeline, request: Request, prompt: Any) -> None:
        self.rate, self.channels = pipeline.rate, pipeline.model.spec.media_channels
        self._bpm, self._tempi = request.bpm, ()
        super().__init__(pipeline, request, prompt)

    @property
    def bpm(self) -> float | None:
        """Beats a minute, heard from the next window on, and not a beat is lost where they change. ValueError, at once,
        for what cannot be."""
        return self._bpm

    @bpm.setter
    def bpm(self, bpm: float | None) -> None:
        self._pipeline.check_bpm(bpm)
        self._bpm = bpm

    @torch.no_grad()
    def _run(self) -> Iterator[Audio]:
        left = math.inf if self.request.seconds is None else round(self.request.seconds * self.rate)
        for media in decode_blocks(self._pipeline.model.autoencoder, self._latents(), tile=CHUNK):
            clip = Audio.from_tensor(media[0, :, : min(media.shape[-1], left)], self.rate)
            left -= clip.samples.shape[1]
            yield clip
            if left <= 0:
                return

    def _latents(self) -> Iterator[Tensor]:
        pipeline, seconds, multiple = self._pipeline, self.request.seconds, self._pipeline.model.multiple
        [size] = pipeline.model.spec.grid(self._walk.window)
        total = None
        if seconds is not None:
            [total] = pipeline.model.spec.grid((-(-round(seconds * self.rate) // multiple) * multiple,))
        return rollout(self._window, size=size, overlap=size // SHARE, total=total)

    def _window(self, window: Window) -> Tensor:
        """One window's latents [1, C, length]."""
        stride, known = self._pipeline.stride, window.known
        second = (window.begin + window.overlap(-1)) * stride / self.rate
        request = self._asked(window.number, second)
        self._keep_time(request, second)
        job = AudioJob(
            requests=(request,), grid=(window.length,), samples=0, first=window.begin * stride, tempi=self._tempi
        )
        start = None
        if known is not None:
            free = window.length - known.shape[-1]
            keep = F.pad(torch.ones(1, 1, known.shape[-1]), (0, free))
            start = Start(known=F.pad(known, (0, free)), keep=keep, token=self._pipeline.model.token)
        *_, last = self._pipeline.walk(job, self._pipeline.asked(job), start)
        return last.x

    def _keep_time(self, request: Request, second: float) -> None:
        """The tempo from this second on, if it is another than before; where none is said it stays."""
        bpm = self._bpm or beats.told_by(request.prompts)
        if bpm is not None and (not self._tempi or self._tempi[-1].bpm != bpm):
            new = self._tempi[-1].changed(second, bpm) if self._tempi else beats.Beats(bpm=bpm, second=second)
            self._tempi = (*self._tempi[-1:], new)  # what lies before the last change is done
