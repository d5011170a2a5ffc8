"""Models that this project trained: those that ship inside the package, and folders written by `mediagen train`."""

import math
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import config
from ..autoencoders.base import LatentSpec
from ..backbones import build
from ..conditioners.scalar import Scalar
from ..conditioners.text import TextEncoder
from ..core import path as paths
from ..core.denoiser import Denoiser
from ..training import weights
from ..training.weights import load_autoencoder
from . import _constant as constant
from . import _elsewhere
from ._cards import SHIPPED, cards, read_card
from ._loading import PLAIN, Loading, only
from ._outline import Part, part_of
from ._own_control import reader
from .model import Adapts, Model

__all__ = ["cards", "claims", "load", "read_card"]

LOADS = ("dtype", "device")  # of `Loading`, what it takes


def claims(source: str | Path) -> bool:
    """Whether it is a folder that holds a model of this family."""
    return (Path(source) / "card.yaml").is_file()


def load(source: str | Path, loading: Loading = PLAIN) -> Model:
    """A folder with card.yaml -> the model, ready to run. ValueError for a broken card or broken weights."""
    only(loading, LOADS, "is for published checkpoints: a model of mediagen's own")
    folder = Path(source)
    card = read_card(folder)
    text_folder = folder / card["text"] if card["text"] else SHIPPED / "minilm"
    denoiser, multiple = load_denoiser(folder / card["denoiser"])
    denoiser = denoiser.to(loading.torch_dtype) if loading.dtype is not None else denoiser
    autoencoder = load_autoencoder(folder / card["autoencoder"]) if card.get("autoencoder") else Pixels()
    if loading.place.type != "cpu":
        _elsewhere.put(denoiser.net, loading.place)
        _elsewhere.put_coder(autoencoder, loading.place)
    opener = (folder / card["opener"]).resolve() if card.get("opener") else None
    files = files_of(folder, card) + ([] if opener is None else files_of(opener, read_card(opener)))
    multiple *= autoencoder.spec.stride[-1]
    return Model(
        name=card["name"],
        modality=card["modality"],
        size=size_of(card, multiple),
        multiple=multiple,
        text=TextEncoder.load(text_folder, even=True),
        denoiser=denoiser,
        autoencoder=autoencoder,
        preview=load_preview(folder / card["preview"]) if card.get("preview") else None,
        defaults=card.get("defaults", {}),
        hash=digest([*files, text_folder / "model.safetensors"]) + loading.label,
        scalars=scalars_of(card, denoiser.net.config.scalars, folder),
        signals=denoiser.net.config.signals,
        even=getattr(denoiser.net, "even", False),
        token=tuple(getattr(denoiser.net.config, "patch", ())) if card.get("known") else None,
        rate=card.get("rate"),
        seconds=card.get("seconds"),
        opener=opener,
        adapts=Adapts(control=reader(denoiser.net, autoencoder.spec)),
        during=constant.during([denoiser.net]),
    )


def files_of(folder: Path, card: Mapping[str, Any]) -> list[Path]:
    """The weight files that decide what a model makes."""
    return [folder / card[part] for part in ("denoiser", "autoencoder") if card.get(part)]


def outline(source: str | Path, revision: str | None = None) -> tuple[Model, list[Part], list[str]]:
    """(the model, its parts, the names of the denoiser's), for what is counted before a job. These are small: they are
    read whole."""
    model = load(source)
    modules = {"denoiser": model.denoiser.net, "autoencoder": model.autoencoder, "text_encoder": model.text}
    modules["preview"] = model.preview
    parts = [part_of(name, module) for name, module in modules.items() if isinstance(module, nn.Module)]
    return model, parts, ["denoiser"]


def size_of(card: Mapping[str, Any], multiple: int) -> tuple[int, ...]:
    """The size that a model is best at: the card's, or its seconds in samples, up to the next one that it can make."""
    if "size" in card:
        return tuple(card["size"])
    return (multiple * math.ceil(round(card["seconds"] * card["rate"]) / multiple),)


def scalars_of(card: Mapping[str, Any], known: Mapping[str, int], folder: Path) -> tuple[Scalar, ...]:
    """The card's numbers; ValueError unless they are those that the network knows."""
    scalars = tuple(
        config.build(Scalar, values, f"{folder / 'card.yaml'}: scalars") for values in card.get("scalars", ())
    )
    widths = {scalar.name: scalar.width for scalar in scalars}
    if widths != known:
        raise ValueError(
            f"{folder / 'card.yaml'} has scalars of the widths {widths}, its denoiser was made for {known}"
        )
    return scalars


def load_denoiser(file: Path) -> tuple[Denoiser, int]:
    """Weights written by training -> the denoiser, and the patch that the latent grid must be a multiple of."""
    tensors, about = weights.load(file)
    with torch.device("meta"):
        net = build(about["backbone"], about["model"])
    weights.fit(net, tensors, file)
    denoiser = Denoiser(net.eval().requires_grad_(False), paths.find(**about["path"]), about["prediction"])
    return denoiser, net.config.multiple


def load_preview(file: Path) -> nn.Module:
    from ..autoencoders.preview import Preview, PreviewConfig

    tensors, about = weights.load(file)
    preview = Preview(config.build(PreviewConfig, about["config"]))
    weights.fit(preview, tensors, file)
    return preview.eval().requires_grad_(False)


@cache
def _digest(files: tuple[tuple[Path, int], ...]) -> str:
    total = sha256()
    for file, _ in files:
        total.update(file.read_bytes())
    return total.hexdigest()[:16]


def digest(files: list[Path]) -> str:
    """A short hash of the bytes of weight files: it names a model in the metadata of what it made."""
    return _digest(tuple((f, f.stat().st_mtime_ns) for f in files))


class Pixels:
    """No autoencoder: the state is the picture itself (models trained in pixel space)."""

    spec = LatentSpec(channels=3, stride=(1, 1))
    reach = encoder_reach = 0

    def encode(self, x: Tensor) -> Tensor:
        return x

    def decode(self, z: Tensor) -> Tensor:
        return z
