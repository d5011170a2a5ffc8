"""What is done with the models, in a process of its own: jobs are planned and made, music streams.

The server never loads a model, and so answers while one works; what ends this process (a model that is broken in a bad
way, memory that runs out) ends no more than that.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any

from . import adapters
from .chunks import CODING, pieces
from .errors import Refused, reason
from .limits import Limits, check_job
from .media import Media
from .models import Models
from .records import Record

Batch = Sequence[tuple[Record, Any]]
READ = ("encode", 1)  # the event after which a walk begins


@dataclass(frozen=True, kw_only=True, eq=False)
class News:
    """What has happened to a batch. stage, step, total: as a pipeline's events say it; previews: job -> a small
    picture, uint8 [3, H, W], of each of its media; files: job -> the names of its results; broken: job -> why they
    could not be kept."""

    stage: str
    step: int = 0
    total: int = 0
    previews: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)


class Studio:
    def __init__(
        self,
        models: Mapping[str, Path],
        media: Media,
        limits: Limits,
        kinds: Sequence[str] = (),
        device: str = "cpu",
        sharing: int = 1,
        variants: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """kinds: of adapters whose folders are linked in the media folder. This process works there, so that requests
        carry names alone. device: where it computes, as PyTorch names it; sharing: how many processes share the cores
        of the CPU; variants: as of `models.Offers`."""
        self._models, self._media, self._limits = Models(models, device, variants), media, limits
        self._names = {str(folder): name for name, folder in models.items()}
        self._device = device
        if sharing > 1:
            _share_cores(sharing)
        self._adapters = {kind: Path(kind) for kind in kinds}
        if kinds:
            os.chdir(media.folder)
        self._reading = Lock()
        self._streams: dict[str, tuple[Any, Iterator[bytes]]] = {}

    def place(self) -> str:
        """Where it computes, as PyTorch says it. ValueError for a device that is not known or not there."""
        import torch

        try:
            one = torch.empty(1, device=self._device)
            one.cpu()  # of the device "meta" nothing comes back
        except Exception as error:  # each kind of device has errors of its own
            raise ValueError(f"there is no device {self._device!r} here: {reason(error)[:200]}") from error
        return str(one.device)

    def _refused(self, error: BaseException, param: str | None = None) -> Refused:
        """In the words of the error; where media and models lie is nobody's business."""
        text = self._media.hidden(reason(error))
        for folder in sorted(self._names, key=len, reverse=True):
            text = text.replace(folder, self._names[folder])
        return Refused(message=text, param=param)

    # ---- jobs

    def plan(self, record: Record) -> Record:
        """With what its job will be. Refused if there can be no such job."""
        try:
            pipeline = self._opened(record)
            with self._reading:
                job = self._job(pipeline, record)
                check_job(self._limits, record.modality, job)
                _check_lengths(job)
                pipeline.check(job)
                same = pipeline.alike(job)
        except (ValueError, OverflowError) as error:
            raise self._refused(error) from error
        first = job.requests[0]
        about = {"size": list(first.size), "seconds": first.seconds, "steps": first.walk.steps, **record.about}
        alike = sha256(same.encode()).hexdigest() if same else ""
        return replace(record, alike=alike, count=len(job.requests), about=about)

    def make(self, records: Sequence[Record]) -> Iterator[News]:
        """The media of jobs that are alike, made together and kept; one batch at a time."""
        pipeline = self._opened(records[0])
        with self._reading:
            batch = [(record, self._job(pipeline, record)) for record in records]
            whole = pipeline.together([job for _, job in batch])
        with closing(self._walked(pipeline, whole)) as events:
            for event in events:
                yield self._news(batch, event)

    def _walked(self, pipeline: Any, job: Any) -> Iterator[Any]:
        """Its events. While texts are read, and adapters are put on the model and taken off, no other job is planned: a
        pipeline's adapters are not for two threads at once. Whatever ends it, the model is plain."""
        events, walks = pipeline.stream(job), False
        try:
            while True:
                with nullcontext() if walks else self._reading:
                    event = next(events, None)
                if event is None:
                    return
                yield event
                walks = 0 < event.step < event.total or event.stage == "decode" or (event.stage, event.step) == READ
        finally:
            with self._reading:
                events.close()
                pipeline.adapters.off()

    def _news(self, batch: Batch, event: Any) -> News:
        if event.stage == "done":
            return self._kept(batch, event.results)
        small = [] if event.preview is None else [_small(one) for one in event.preview]
        previews = {record.id: tuple(own) for record, own in _shares(batch, small) if own}
        return News(stage=event.stage, step=event.step, total=event.total, previews=previews)

    def _kept(self, batch: Batch, results: Sequence[Any]) -> News:
        """What goes wrong with the files of a job is that job's alone."""
        files, broken = {}, {}
        for record, own in _shares(batch, results):
            try:
                files[record.id] = [self._media.save(record, number, one) for number, one in enumerate(own)]
            except Exception as error:
                broken[record.id] = reason(error)
        return News(stage="done", files=files, broken=broken)

    def _opened(self, record: Record) -> Any:
        """Its model; of a job that is refined, both models as one. What is put on one that also makes live streams, is
        put on another one of it: they are made at the same time."""
        asked = record.asked
        if "refiner" in asked:
            try:
                return self._models.both(record.model, asked["refiner"], asked.get("share"))
            except ValueError as error:
                raise self._refused(error, "refiner") from error
        return self._models.open(record.model, adapted=record.modality == "audio" and bool(asked.get("lora")))

    def _job(self, pipeline: Any, record: Record) -> Any:
        """A record's job for its pipeline: the same one each time it is built."""
        options = {name: value for name, value in record.asked.items() if name not in ("refiner", "share")}
        given = {option: self._media.load(place) for option, place in record.sources.items()}
        options |= adapters.placed(self._adapters, options, given)
        given = {option: one for option, one in given.items() if "." not in option}
        if "mask" in given and options.get("size"):
            given["mask"] = _scaled(given["mask"], tuple(options["size"]))
        return pipeline.job(**options, **given, previews=True)

    # ---- music that streams

    def open_stream(self, name: str, model: str, prompt: Any, form: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """A stream of this name, in the form "wav", "mp3" or "pcm"; how it is. Refused for what cannot be."""
        try:
            sound = self._models.open(model).live(prompt, **options)
        except (ValueError, OverflowError) as error:
            raise self._refused(error) from error
        blocks = (piece for clip in sound for piece in pieces(clip.samples))
        self._streams[name] = sound, CODING[form](blocks, sound.rate, sound.channels)
        return shown(sound)

    def next_chunk(self, name: str) -> tuple[bytes | None, dict[str, Any]]:
        """The bytes that follow, None at the end; and how the stream is by then."""
        sound, chunks = self._stream(name)
        return next(chunks, None), shown(sound)

    def change_stream(self, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Refused for what cannot be: the stream then goes on as it was."""
        sound, _ = self._stream(name)
        try:
            for option, value in changes.items():
                setattr(sound, option, value)
        except (ValueError, OverflowError) as error:
            raise self._refused(error) from error
        return shown(sound)

    def close_stream(self, name: str) -> None:
        self._streams.pop(name, None)

    def _stream(self, name: str) -> tuple[Any, Iterator[bytes]]:
        if name not in self._streams:
            said = "the stream ended with the process that made it: begin another"
            raise Refused(message=said, status=503, code="stream_lost", after=5)
        return self._streams[name]


def _check_lengths(job: Any) -> None:
    """Refuse what leads a clip and is a clip of another length."""
    for number, shown in enumerate(job.adapted.edges):
        count = len(getattr(shown, "frames", (shown,)))
        if count not in (1, getattr(job, "frames", 1)):
            param = f"control.{number}.image"
            said = f"{param} has {count} frames, the clip {job.frames}: give as many, or one picture"
            raise Refused(message=said, param=param)


def _share_cores(processes: int) -> None:
    """More threads than there are cores would wait for each other."""
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // processes))


def shown(sound: Any) -> dict[str, Any]:
    """Where a stream is, and what was heard from which second on."""
    made = {"seconds_made": round(sound.made, 3), "real_time_factor": round(sound.real_time_factor, 3)}
    names = ("second", "prompts", "guidance")
    changes = [dict(zip(names, change, strict=True)) for change in sound.changes]
    about = {"rate": sound.rate, "channels": sound.channels, "seed": sound.request.seed}
    return {"prompt": sound.prompt, **about, **made, "heard": changes}


def _scaled(mask: Any, size: tuple[int, int]) -> Any:
    """A mask goes with its picture to the size that is asked for."""
    from ..modalities.image import Image, fitted

    return mask if mask.size == size else Image(Image.from_tensor(fitted(mask, size)).pixels, None, mask.path)


def _small(preview: Any) -> Any:
    """[3, H, W] or, of a clip, [3, F, H, W] in [-1, 1] -> uint8 [3, H, W]; of a clip the middle frame."""
    picture = preview if preview.ndim == 3 else preview[:, preview.shape[1] // 2]
    return ((picture + 1) * 127.5).round().byte().numpy()


def _shares(batch: Batch, media: Sequence[Any]) -> Iterator[tuple[Record, Sequence[Any]]]:
    """Each job's part of what was made together."""
    begin = 0
    for record, job in batch:
        count = len(job.requests)
        yield record, media[begin : begin + count]
        begin += count
