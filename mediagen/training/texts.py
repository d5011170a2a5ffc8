"""The text cache: every caption is encoded once, and its token states are kept beside the latents.

Captions of one length are encoded together, without padding, so that the states do not depend on the batch.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..conditioners.text import TextEncoder
from .trainer import Place


class Captioned(Protocol):
    """Anything with captions by index."""

    def __len__(self) -> int: ...

    def captions(self, i: int) -> tuple[str, ...]: ...


class StoredText:
    """Known captions -> what the `TextEncoder` gives for them, to float16: "text", "text_mask", "text_pooled"."""

    def __init__(self, text: TextEncoder, states: np.ndarray, spans: Mapping[str, tuple[int, int]]) -> None:
        self.text, self.states, self.spans = text, states, spans

    def __call__(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """KeyError for a caption that was not stored."""
        spans = [self.spans[p] for p in prompts]
        lengths = torch.tensor([stop - start for start, stop in spans])
        padded = np.zeros((len(spans), int(lengths.max()), self.states.shape[1]), np.float16)
        for row, (start, stop) in zip(padded, spans, strict=True):
            row[: stop - start] = self.states[start:stop]
        device = self.text.empty.device
        states, lengths = torch.from_numpy(padded).to(device).float(), lengths.to(device)
        mask = torch.arange(states.shape[1], device=device) < lengths[:, None]
        return {"text": states, "text_mask": mask, "text_pooled": states.sum(1) / lengths[:, None]}

    def null(self, n: int, length: int | None = None) -> dict[str, Any]:
        return self.text.null(n, length)


def stored(text: TextEncoder, weights: str | Path, media: Captioned, data: str | Path, here: Place) -> StoredText:
    """The states of all captions of a data folder; the file's name holds the hash of the encoder and the captions."""
    every = sorted({c for i in range(len(media)) for c in media.captions(i)})
    spans = placed(text, every)
    name = sha256((Path(weights) / "model.safetensors").read_bytes() + "\n".join(every).encode()).hexdigest()[:12]
    file = Path(data) / "train" / f"texts-{name}.npy"
    with here.first():
        return StoredText(text, cached(text, spans, file), spans)


def placed(text: TextEncoder, captions: Sequence[str]) -> dict[str, tuple[int, int]]:
    """caption -> (first, last + 1) row of its tokens, the shortest captions first."""
    spans, start = {}, 0
    for length, caption in sorted(zip(text.lengths(captions), captions, strict=True)):
        spans[caption] = (start, start + length)
        start += length
    return spans


@torch.no_grad()
def cached(
    text: TextEncoder,
    spans: Mapping[str, tuple[int, int]],
    file: Path,
    batch: int = 256,
    told: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """float16 [tokens, width], mapped from `file`; made there if missing (whole or not at all). `told(done)` says how
    many captions are encoded."""
    if file.exists():
        return np.load(file, mmap_mode="r")
    file.parent.mkdir(parents=True, exist_ok=True)
    partial, done = file.with_suffix(".partial"), 0
    total = max((stop for _, stop in spans.values()), default=0)
    if not total:
        raise ValueError(f"there are no captions to encode into {file}")
    states = np.lib.format.open_memmap(partial, "w+", np.float16, (total, text.width))
    for _, group in groupby(spans.items(), key=lambda item: item[1][1] - item[1][0]):
        alike = list(group)
        for k in range(0, len(alike), batch):
            part = alike[k : k + batch]
            rows = text([caption for caption, _ in part])["text"]
            states[part[0][1][0] : part[-1][1][1]] = rows.flatten(0, 1).half().cpu().numpy()
            told(done := done + len(part))
    states.flush()
    os.replace(partial, file)
    return np.load(file, mmap_mode="r")
