"""Sound that is made while it is heard."""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .audio_pipeline import AudioJob, AudioPipeline
from .autoencoders.chunks import decode_blocks
from .generators.diffusion import Start
from .live import Live
from .modalities.audio import Audio
from .request import Request
from .rollout import Window, rollout

CHUNK = 64  # latents that are decoded at once, some 3 s
SHARE = 4  # one part in so many of a window is the last one's tail


class Stream(Live[Audio]):
    """A stream of sound; see `live.Live`."""

    _pipeline: AudioPipeline

    def __init__(self, pipeline: AudioPipeline, request: Request, prompt: Any) -> None:
        self.rate, self.channels = pipeline.rate, pipeline.model.spec.media_channels
        super().__init__(pipeline, request, prompt)

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
        request = self._asked(window.number, (window.begin + window.overlap(-1)) * stride / self.rate)
        job = AudioJob(requests=(request,), grid=(window.length,), samples=0, first=window.begin * stride)
        start = None
        if known is not None:
            free = window.length - known.shape[-1]
            keep = F.pad(torch.ones(1, 1, known.shape[-1]), (0, free))
            start = Start(known=F.pad(known, (0, free)), keep=keep, token=self._pipeline.model.token)
        *_, last = self._pipeline.walk(job, self._pipeline.asked(job), start)
        return last.x
