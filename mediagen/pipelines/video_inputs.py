"""What a clip is made from: another clip, pictures, a mask, a sound; each loaded, checked and brought to one size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..autoencoders.base import LatentSpec
from ..modalities import audio as audio_modality
from ..modalities import image as image_modality
from ..modalities import video as video_modality
from ..request import Source
from .checks import check_size
from .timed import check_between
from .video_canvas import Canvas, canvas, placed
from .video_checks import check_same_size

Audio, Image, Video = audio_modality.Audio, image_modality.Image, video_modality.Video
SOURCES = ("source", "mask", "first", "last", "sound")


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """size: (width, height) in pixels; rate: frames a second; source: the clip to start from; mask: white where it is
    made anew; first, last: pictures that a clip begins and ends with; sound: what is heard with it, None for that of
    the source, unless it is muted."""

    size: tuple[int, int]
    rate: float
    source: Video | None = None
    mask: Video | None = None
    first: Image | None = None
    last: Image | None = None
    sound: Audio | None = None
    muted: bool = False

    @property
    def sources(self) -> dict[str, Source]:
        """Where they are from, as fields of a request."""
        given = {name: getattr(self, name) for name in SOURCES if getattr(self, name) is not None}
        return {name: Source(path=media.path, sha256=media.sha256) for name, media in given.items()}

    @cached_property
    def pictures(self) -> Tensor | None:
        """The first and the last picture [3, 1 or 2, H, W] in [-1, 1], scaled and cut to the size."""
        given = [picture for picture in (self.first, self.last) if picture is not None]
        fitted = [image_modality.fitted(picture, self.size) for picture in given]
        return torch.stack(fitted, 1) if fitted else None

    def kept(self, span: tuple[int, int] | None) -> Tensor:
        """Of the source: keep [1, F, H, W] or [1, F, 1, 1], 0 where the mask is white and within the span of frames."""
        count = len(self.source.frames)
        first, last = span or (0, count)
        free = torch.zeros(1, count, 1, 1)
        free[:, first:last] = 1
        if self.mask is not None:
            free = free * torch.from_numpy(self.mask.frames).float().mean(-1)[None] / 255
        return 1 - free

    def heard(self, seconds: float, before: float = 0.0) -> Audio | None:
        """The sound that is asked for, or the source's with silence of `before` seconds ahead of it; no longer than the
        clip."""
        sound = self.sound if self.sound is not None else self.source.sound if self.source is not None else None
        if sound is None or self.muted:
            return None
        ahead = 0 if self.sound is not None else round(before * sound.rate)
        samples = np.pad(sound.samples, ((0, 0), (ahead, 0)))[:, : max(round(seconds * sound.rate), 1)]
        return replace(sound, samples=np.ascontiguousarray(samples), metadata=None)


def inputs(start: Any, edits: Mapping[str, Any], size: Any, rate: float, own: tuple[int, int], multiple: int) -> Inputs:
    """Load and check what was given. rate, own: frames a second and (width, height) of the model; multiple: what a size
    must be a multiple of. A clip keeps its own rate and size where no other one is asked for."""
    fps = edits.get("fps")
    size = None if size is None else check_size(size, multiple)
    source = None if start is None else video_modality.load(start, rate=fps, size=size)
    first, last = (image_modality.load(edits[name]) if name in edits else None for name in ("first", "last"))
    if first is not None and last is not None:
        check_same_size("first picture", first.size, "last one", last.size)
    size = size or (own if source is None else check_size(source.size, multiple))
    return Inputs(
        size=size,
        rate=float(fps if fps is not None else rate if source is None else source.rate),
        source=source,
        mask=_mask(edits["mask"], source) if "mask" in edits and source is not None else None,
        first=first,
        last=last,
        sound=audio_modality.load(edits["sound"]) if edits.get("sound") else None,
        muted=edits.get("sound") is False,
    )


def _mask(mask: Any, source: Video) -> Video:
    """One picture for all frames, or one for each: a clip, a list of pictures, an array [F, H, W, 3]."""
    given = load_mask(mask, source.rate)
    check_same_size("mask", given.size, "clip", source.size)
    if len(given.frames) not in (1, len(source.frames)):
        raise ValueError(
            f"the mask has {len(given.frames)} frames, the clip {len(source.frames)}; give one, or one each"
        )
    return given


def load_mask(mask: Any, rate: float) -> Video:
    """A picture or a clip, as a clip of one frame or more at this rate."""
    if is_picture(mask):
        picture = image_modality.load(mask)
        return Video(np.array(image_modality.flat(picture.pil()))[None], rate, path=picture.path)
    if isinstance(mask, np.ndarray):
        return Video(mask, rate)
    if isinstance(mask, Sequence) and not isinstance(mask, (str, Path)):
        return Video(np.concatenate([load_mask(one, rate).frames for one in mask]), rate)
    return video_modality.load(mask)


def is_picture(mask: Any) -> bool:
    """Whether this is one picture, by its type or its ending."""
    if isinstance(mask, (str, Path)):
        return not video_modality.is_clip(mask)
    return not isinstance(mask, (Video, Sequence)) and getattr(mask, "ndim", 3) == 3


def known(given: Inputs, edits: dict[str, Any], count: int, spec: LatentSpec, window: int) -> Canvas | None:
    """What is known of a result of `count` frames, in its place, None if nothing is; checks the seconds in `edits`.
    window: frames that the model sees at once."""
    if given.source is not None:
        return canvas(*_kept(given, given.source, edits, count), spec, window)
    pictures = given.pictures
    if pictures is None:
        return None
    at = ([0] if given.first is not None else []) + ([count - 1] if given.last is not None else [])
    if count <= len(at):
        raise ValueError(f"a clip of {count} frames leaves nothing to make between its pictures: make it longer")
    return canvas(*placed(pictures, at, count), spec, window)


def _kept(given: Inputs, source: Video, edits: dict[str, Any], count: int) -> tuple[Tensor, Tensor]:
    """The frames of the source in their places [3, count, H, W], and keep [1, count, 1 or H, 1 or W]."""
    frames = source.tensor()
    if "mask" in edits or "between" in edits:
        return frames, given.kept(_span(source, edits))
    if "factor" in edits:
        return placed(frames, range(0, count, edits["factor"]), count, blended=True)
    first = round(edits.get("left", 0.0) * given.rate)
    frames, keep = placed(frames, range(first, first + source.count), count)
    return frames, keep if "left" in edits or "right" in edits else torch.zeros_like(keep)


def _span(source: Video, edits: dict[str, Any]) -> tuple[int, int] | None:
    """The frames from start to end, one at least; checks the seconds in `edits`."""
    if "between" not in edits:
        return None
    edits["between"] = check_between(edits["between"], source.seconds)
    first = min(round(edits["between"][0] * source.rate), source.count - 1)
    return first, max(round(edits["between"][1] * source.rate), first + 1)
