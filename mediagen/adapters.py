"""What is put on a model for one request and taken off after it: LoRA, learned words, control networks, image prompts.

`Pipeline.adapters` loads each file once. A request carries what it asked for as plain data (path, hash, weight), so
that a replay asks for the same, and what was loaded for another request changes nothing.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import adapter_options as asked
from .conditioners import hints
from .families.model import Model
from .generators.diffusion import Control as Controlled
from .modalities import image as image_modality
from .nn import lora as low_rank
from .request import Control, ImagePrompt, Lora, Request, Source, Word

if TYPE_CHECKING:
    from .families._lora import Lora as LoraFile

KEPT = 8  # files of each kind that stay loaded

Wanted = tuple[tuple[Lora, ...], tuple[ImagePrompt, ...]]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Pictures that a model is shown, the records of a request and the pictures themselves: control networks', and
    image prompts."""

    control: tuple[Control, ...] = ()
    edges: tuple[Any, ...] = ()
    image_prompt: tuple[ImagePrompt, ...] = ()
    prompts: tuple[Any, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.control or self.image_prompt)


NOTHING = Shown()


class Adapters:
    """What a model is adapted with, and what is on it now. Not for two threads at once."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._loras = _Files(lambda path: _read_lora(model, path))
        self._words = _Files(lambda path: self._able("learn", "learned words")(path))
        self._controls = _Files(lambda path: self._able("control", "control networks")(path))
        self._prompts = _Files(lambda *paths: self._able("pictures", "image prompts").read(*paths))
        self._on: Wanted = ((), ())
        self._for: Request | None = None  # for which it is on
        self._handles: list[Any] = []
        self._joined: tuple[tuple[Lora, ...], Mapping[Any, Any]] = ((), {})
        self._fused: tuple[Lora, ...] = ()
        self._before: dict[Any, Tensor] = {}

    # ---- LoRA

    def lora(self, path: str | Path) -> LoraFile:
        """Load a LoRA, of diffusers, kohya or peft, and say what of it found its layer: `matched`, `unmatched`,
        `layers`. ValueError for a file that is none, or fits the model nowhere."""
        return self._loras.read(str(path))

    def fuse(self, lora: Any) -> None:
        """Add LoRA (as in `generate(lora=...)`) to the weights: they cost nothing then, and are in every request from
        now on. What was fused before is taken out."""
        self.unfuse()
        fused = self._records(lora)
        self._before = low_rank.fuse(self._layers(fused))
        self._fused = fused
        self._forget(fused)

    def unfuse(self) -> None:
        """The weights as they were before `fuse`, to the bit."""
        self.off()
        low_rank.restore(self._before)
        self._forget(self._fused)
        self._before, self._fused = {}, ()

    def _records(self, given: Any) -> tuple[Lora, ...]:
        pairs = asked.weighted(given, "lora")
        return tuple(Lora(path=path, hash=self.lora(path).hash, weight=weight) for path, weight in pairs)

    def _layers(self, loras: Sequence[Lora]) -> dict[Any, list[tuple[low_rank.LowRank, float]]]:
        layers: dict[Any, list[tuple[low_rank.LowRank, float]]] = {}
        for one in loras:
            for layer, low in self._loras.of(one).layers.items():
                layers.setdefault(layer, []).append((low, one.weight))
        return layers

    def _forget(self, loras: Sequence[Lora]) -> None:
        """Texts that were encoded without them, or with them."""
        if any(self._loras.of(one).texts for one in loras):
            self.model.adapts.forget()

    # ---- what was asked for

    def fields(self, options: dict[str, Any]) -> dict[str, Any]:
        """Takes `lora` and `words` out of a caller's options -> the fields of a request. ValueError for a file that
        cannot be read, or does not fit the model."""
        loras, words = self._records(options.pop("lora", None)), []
        for name, path in asked.named(options.pop("words", None)):
            found = self._words.read(path)
            words.append(Word(path=path, hash=found.hash, word=name or found.word))
        return {"lora": self._fused + loras, "words": tuple(words)}

    def shown(self, options: dict[str, Any], load: Callable[[Any], Any] = image_modality.load) -> Shown:
        """Takes `control` and `image_prompt` out of a caller's options, loaded. load: how that is done for control: a
        picture, or a clip where clips are made."""
        controls = asked.control(options.pop("control", None))
        prompts = asked.image_prompts(options.pop("image_prompt", None))
        edges, pictures = [load(each.image) for each in controls], [image_modality.load(each.image) for each in prompts]
        return Shown(
            control=tuple(self._control(each, picture) for each, picture in zip(controls, edges, strict=True)),
            edges=tuple(edges),
            image_prompt=tuple(self._prompt(each, picture) for each, picture in zip(prompts, pictures, strict=True)),
            prompts=tuple(pictures),
        )

    def _control(self, one: asked.ControlAsked, picture: Any) -> Control:
        if one.hint is not None:
            hints.find(one.hint)
        how = {"hint": one.hint, "weight": float(one.weight), "start": float(one.start), "end": float(one.end)}
        network = self._controls.read(str(one.model))
        how |= {"mode": one.mode, "guess": one.guess}
        record = Control(path=str(one.model), hash=network.hash, image=_source(picture), **how)
        network.check(record)
        return record

    def _prompt(self, one: asked.ImagePromptAsked, picture: Any) -> ImagePrompt:
        encoder = None if one.encoder is None else str(one.encoder)
        hash = self._prompts.read(str(one.adapter), encoder).hash
        how = {"weight": float(one.weight), "encoder": encoder}
        return ImagePrompt(path=str(one.adapter), hash=hash, image=_source(picture), **how)

    # ---- on the model

    def put(self, request: Request | None) -> None:
        """What this request asks for on the model, and nothing else; None: nothing, but what was fused."""
        if request is not None and request is self._for:  # in each step of a walk
            return
        wanted: Wanted = ((), ())
        if request is not None:
            if request.lora[: len(self._fused)] != self._fused:
                raise ValueError("a LoRA was fused after this job was made: make the job again, or unfuse it")
            wanted = (request.lora[len(self._fused) :], request.image_prompt)
        loras, prompts = wanted
        self._for = None
        if loras != self._on[0]:
            self._beside(loras)
        if prompts != self._on[1]:
            found = [(self._prompts.of(one, one.encoder), one.weight) for one in prompts]
            self._able("pictures", "image prompts").put(found)
        self._on, self._for = wanted, request

    def off(self) -> None:
        """The model as it was loaded, but for what was fused."""
        self.put(None)

    def during(self, states: Iterator[Any], request: Request) -> Iterator[Any]:
        """The states of a walk, each made with what its request asks for on the model."""
        try:
            while True:
                self.put(request)
                state = next(states, None)
                if state is None:
                    return
                yield state
        finally:
            self.off()

    def _beside(self, loras: tuple[Lora, ...]) -> None:
        low_rank.detach(self._handles)
        self._handles = []
        self._forget((*self._on[0], *loras))
        if loras and self._joined[0] != loras:
            layers = self._layers([one for one in loras if one.weight])
            self._joined = (loras, {layer: low_rank.joined(layer, parts) for layer, parts in layers.items()})
        self._handles = low_rank.attach(self._joined[1]) if loras else []

    # ---- what a network is told

    def worded(self, texts: Sequence[str], request: Request) -> list[str]:
        """The texts with the tokens of learned words in their place. ValueError for a word that is in none of them."""
        for one in request.words:
            tokens, pattern = self._words.of(one).tokens, _pattern(one.word)
            if not any(pattern.search(text) for text in texts):
                raise ValueError(f"the learned word {one.word!r} ({one.path}) is in no prompt")
            texts = [pattern.sub(lambda _, tokens=tokens: tokens, text) for text in texts]
        return list(texts)

    def hints(self, request: Request, shown: Shown) -> dict[str, Tensor]:
        """What control networks are shown, as entries of the condition [1, C, *grid]."""
        found: dict[str, Tensor] = {}
        for number, (one, picture) in enumerate(zip(request.control, shown.edges, strict=True)):
            found[f"hint {number}"] = self._controls.of(one).shown(_fitted(picture, one, request)[None])
        return found

    def unled(self, request: Request, null: Mapping[str, Any]) -> dict[str, Tensor]:
        """The entries of control networks that do not lead what guidance leads away from, zeros, of its condition."""
        alone = [f"hint {i}" for i, one in enumerate(request.control) if self._controls.of(one).alone(one)]
        return {name: torch.zeros_like(null[name]) for name in alone}

    def controls(self, request: Request) -> list[Controlled]:
        """What control networks add in their part of the walk."""
        return [_controlled(self._controls.of(one), number, one) for number, one in enumerate(request.control)]

    def seen(self, request: Request, shown: Shown, n: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What n samples are told of image prompts: (what is seen in them, what is seen in nothing)."""
        rows: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, {})
        for number, (one, picture) in enumerate(zip(request.image_prompt, shown.prompts, strict=True)):
            found = self._prompts.of(one, one.encoder).seen([image_modality.flat(picture.pil())])
            for row, each in zip(rows, found, strict=True):
                row[f"picture {number}"] = each.expand(n, *each.shape[1:])
        return rows

    def _able(self, what: str, called: str) -> Any:
        """What a model says of one kind of adapter; ValueError if it takes none."""
        if (found := getattr(self.model.adapts, what)) is None:
            raise ValueError(f"the model {self.model.name} takes no {called}: leave them out")
        return found


class _Files:
    """The latest files of one kind, loaded; each is known by its hash and by where it lies."""

    def __init__(self, load: Callable[..., Any]) -> None:
        self.load = load
        self.kept: dict[tuple[Any, ...], Any] = {}

    def read(self, *paths: str | None) -> Any:
        """What lies there now."""
        key = (paths, *(_stamp(path) for path in paths))
        found = self.kept.pop(key, None) or self.load(*paths)
        self.kept[key] = found  # the latest is the last
        while len(self.kept) > KEPT:
            self.kept.pop(next(iter(self.kept)))
        return found

    def of(self, record: Any, *more: str | None) -> Any:
        """What a request has a record of, though its file may be gone meanwhile. ValueError if it changed."""
        found = next((one for one in self.kept.values() if one.hash == record.hash), None)
        found = self.read(record.path, *more) if found is None else found
        if found.hash != record.hash:
            raise ValueError(f"{record.path} has changed since it was asked for")
        return found


def _read_lora(model: Model, path: str) -> LoraFile:
    from .families import _lora

    found = _lora.read(path, model.adapts.parts or {"denoiser": model.denoiser.net}, model.adapts.renamed)
    if found.unmatched:
        warnings.warn(f"part of a LoRA fits the model {model.name} nowhere: {found}", stacklevel=2)
    return found


def _fitted(media: Any, one: Control, request: Request) -> Tensor:
    """A picture [3, H, W], or the frames of a clip [3, F, H, W], of the request's size, or what the hint makes of them;
    one frame is that of all. ValueError for a clip of another length."""
    hint = hints.find(one.hint) if one.hint is not None else lambda picture: picture
    if isinstance(media, image_modality.Image):
        return hint(image_modality.fitted(media, request.size))
    count, frames = round((request.seconds or 0) * (request.fps or 0)), media.frames
    if len(frames) not in (1, count):
        raise ValueError(f"what control is shown has {len(frames)} frames, the clip {count}: give as many, or one")
    made = [hint(image_modality.fitted(image_modality.Image(frame), request.size)) for frame in frames]
    return torch.stack(made if len(made) == count else made * count, 1)


def _controlled(network: Any, number: int, one: Control) -> Controlled:
    def residuals(x: Tensor, told: Tensor, cond: Mapping[str, Any]) -> dict[str, Any]:
        return network(x, told, cond, cond[f"hint {number}"], one)

    return Controlled(residuals=residuals, begin=one.start, end=one.end)


def _pattern(word: str) -> re.Pattern[str]:
    """A word by itself, not within another."""
    before, after = (r"(?<!\w)" if word[0].isalnum() else "", r"(?!\w)" if word[-1].isalnum() else "")
    return re.compile(before + re.escape(word) + after)


def _source(picture: Any) -> Source:
    return Source(path=None if picture.path is None else str(picture.path), sha256=picture.sha256)


def _stamp(path: str | None) -> int:
    """What changes when a file does."""
    place = None if path is None else Path(path)
    return place.stat().st_mtime_ns if place is not None and place.exists() else 0
