"""Making a saved picture or clip again from what it carries."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import _cached, adapter_options
from .config import plain
from .modalities import audio as audio_modality
from .modalities import image as image_modality
from .modalities import video as video_modality
from .modalities.audio_formats import FORMATS as SOUNDS
from .pipelines.cascade import ensemble
from .pipelines.video_inputs import load_mask
from .request import Request, Source

GIVEN = ("size", "seconds", "between", "left", "right", "bars", "beats", "bpm", "alone", "lufs", "lyrics")
GIVEN += ("fps", "motion", "factor", "seed", "sample", "negative", "strength", "regions")
SEEN = ("size", "fps", "motion")  # of a stream of video
FULL_SCALE = {"pixel": 255, "sample": 32768}  # the steps that differences are told in


@dataclass(frozen=True, kw_only=True)
class Replay:
    """equal: every pixel or sample as it was made; difference: the largest to the file's own, in steps of 0..255 of a
    pixel or of 16 bits of a sample (above 0 where the file was compressed with losses, or edited); same_model: whether
    the weights are the same."""

    result: Any
    request: Request
    equal: bool
    difference: int
    same_model: bool

    @property
    def image(self) -> Any:
        """The picture, where it is one."""
        return self.result

    @property
    def unit(self) -> str:
        """What it is made of: "pixel" or "sample"."""
        return "sample" if isinstance(self.result, audio_modality.Audio) else "pixel"


def media_of(path: str | Path) -> Any:
    """The modality of a file, by its ending (a WebP's by whether it moves)."""
    if Path(path).suffix.lower() in SOUNDS:
        return audio_modality
    return video_modality if video_modality.is_clip(path) else image_modality


def request_of(path: str | Path) -> Request:
    """The request that a file carries; ValueError if it carries none."""
    return _request(media_of(path).load(path), path)


def _request(media: Any, path: str | Path) -> Request:
    if not media.metadata:
        raise ValueError(
            f"{path} carries no mediagen request: it was not made by mediagen, or its metadata was stripped"
        )
    return Request.from_json(media.metadata)


def replay(path: str | Path, model: str | Path | None = None) -> Replay:
    """Run a file's own request again and compare. model: where its model is, if it does not ship.

    ValueError if the file carries none, or the picture or clip that it started from has changed or is gone.
    """
    modality = media_of(path)
    before = modality.load(path)
    request = _request(before, path)
    if request.noise:
        raise ValueError(f"{path} was made of noise that was handed in ({request.noise}): make it again with noise=")
    pipeline = _opened(request, model)
    after = _streamed(pipeline, request, before) if request.task == "stream" else _made(pipeline, request, modality)
    made = json.loads(before.metadata).get("samples" if modality is audio_modality else "pixels")
    difference = _difference(after, before)
    return Replay(
        result=after,
        request=request,
        equal=after.sha256 == made if made else difference == 0,
        difference=difference,
        same_model=pipeline.model.hash == request.model_hash,
    )


def _opened(request: Request, model: str | Path | None) -> Any:
    """Its model, or the two that it was; model: where it is, or the first of them."""
    if (both := request.refined) is None:
        return _cached(str(model or request.model), **_loaded(request))
    base, refiner = (_cached(str(name), "image", **_loaded(request)) for name in (model or both.base, both.refiner))
    return ensemble(base, refiner, share=both.share)


def _loaded(request: Request) -> dict[str, str]:
    """In which dtype its model computed, which the hash of a checkpoint that is no float32 says."""
    said = [word for word in request.model_hash.split("-")[1:] if word in ("bfloat16", "float16")]
    return {"dtype": said[0]} if said else {}


def _made(pipeline: Any, request: Request, modality: Any) -> Any:
    asked = {name: getattr(request, name) for name in GIVEN}
    asked = {name: value for name, value in asked.items() if value not in (None, ())}
    asked |= _inputs(request, modality) | adapter_options.again(request)
    if request.source or request.bars:  # they say how long it is
        asked.pop("seconds", None)
    job = pipeline.job(_prompt(request), **asked, **_how(request))
    adapter_options.check_again(request, job.requests[0])
    [after] = pipeline.run(job)
    return after


def _how(request: Request) -> dict[str, Any]:
    """The settings of its walk, or of its sampling, as options."""
    if request.sampling is None:
        return plain(request.walk)
    return plain(request.sampling) | {"guidance": request.walk.guidance}


def _inputs(request: Request, modality: Any) -> dict[str, str]:
    """The files that it was made from, as options: where they were, and as they were."""
    own, mask = modality.load, modality.load
    if modality is video_modality:
        own = partial(modality.load, rate=request.fps, size=request.size)
        mask = partial(load_mask, rate=request.fps)
    what = {image_modality: "picture", audio_modality: "sound", video_modality: "clip"}
    found = {"start": (request.source, own, what[modality]), "mask": (request.mask, mask, "mask")}
    found |= {name: (getattr(request, name), image_modality.load, "picture") for name in ("first", "last")}
    found["sound"] = request.sound, audio_modality.load, "sound"
    return {name: _found(source, *how) for name, (source, *how) in found.items() if source is not None}


def _streamed(pipeline: Any, request: Request, before: Any) -> Any:
    """As much of a stream as the file holds."""
    options = {"seed": request.seed, "negative": request.negative, **plain(request.walk)}
    if isinstance(before, video_modality.Video):
        seen = {name: getattr(request, name) for name in SEEN} | _inputs(request, video_modality)
        return _continued(pipeline.live(_prompt(request), seconds=request.seconds, **options, **seen), before.count)
    clips, count = [], round(before.samples.shape[1] * pipeline.rate / before.rate)
    for clip in pipeline.live(_prompt(request), seconds=request.seconds, **options):
        clips.append(clip.samples)
        if sum(samples.shape[1] for samples in clips) >= count:
            break
    return audio_modality.Audio(np.concatenate(clips, axis=1)[:, :count], pipeline.rate)


def _continued(stream: Any, count: int) -> video_modality.Video:
    """The first so many frames of a stream of video."""
    clips: list[np.ndarray] = []
    for clip in stream:
        clips.append(clip.frames)
        if sum(map(len, clips)) >= count:
            break
    return video_modality.Video(np.concatenate(clips)[:count], stream.rate)


def _prompt(request: Request) -> Any:
    if request.timeline:
        return request.timeline
    return request.prompts if len(request.prompts) > 1 else request.prompts[0][0]


def _difference(after: Any, before: Any) -> int:
    if isinstance(after, image_modality.Image):
        return int(np.abs(after.numpy().astype(int) - before.numpy()).max())
    if isinstance(after, video_modality.Video):
        before = video_modality.load(before, rate=after.rate, size=after.size, sound=False)
        count = min(after.count, before.count)
        return int(np.abs(after.frames[:count].astype(np.int16) - before.frames[:count]).max())
    before = audio_modality.load(before, rate=after.rate, channels=after.channels)
    count = min(after.samples.shape[1], before.samples.shape[1])
    steps = [np.rint(clip.samples[:, :count] * FULL_SCALE["sample"]).clip(max=32767) for clip in (after, before)]
    return int(np.abs(steps[0] - steps[1]).max())


def _found(source: Source, load: Callable[[str], Any], what: str) -> str:
    if source.path is None or not Path(source.path).exists():
        raise ValueError(f"the {what} that it started from is not at {source.path}: put it back there to replay")
    if load(source.path).sha256 != source.sha256:
        parts = "samples" if what == "sound" else "pixels"
        raise ValueError(f"{source.path} has changed since: its {parts} are not those that were started from")
    return source.path
