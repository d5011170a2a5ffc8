"""The models that a server offers, each loaded when it is first asked for and kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from ..capabilities import capabilities, read_card
from .errors import Refused

MODALITIES = ("image", "audio", "video")


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a card says of a model, without loading it."""

    name: str
    folder: Path
    modality: str
    card: Mapping[str, Any]

    @property
    def tasks(self) -> list[str]:
        return [task for task, refusal in capabilities(self.folder).items() if not refusal]


class Models:
    """offered: name -> folder, the first of a modality is the one that is used where none is named."""

    def __init__(self, offered: Mapping[str, Path]) -> None:
        if not offered:
            raise ValueError("there is no model to serve: name a folder that holds one")
        self._offers = {name: _offer(name, Path(folder)) for name, folder in offered.items()}
        self._loaded: dict[str, Any] = {}
        self._lock = Lock()

    @property
    def offers(self) -> tuple[Offer, ...]:
        return tuple(self._offers.values())

    def find(self, name: str | None, modality: str) -> Offer:
        """The model of this name, or the first that makes such media. Refused if there is none, or another kind."""
        able = [offer for offer in self.offers if offer.modality == modality]
        names = ", ".join(offer.name for offer in able) or "none"
        if name is None and not able:
            raise Refused(message=f"this server has no model that makes {modality}", code="model_not_found")
        offer = able[0] if name is None else self._offers.get(name)
        if offer is None:
            said = f"there is no model {str(name)[:80]!r} here; for {modality}: {names}"
            raise Refused(message=said, status=404, code="model_not_found", param="model")
        if offer.modality != modality:
            said = f"the model {offer.name} makes {offer.modality}, not {modality}; for that: {names}"
            raise Refused(message=said, code="model_not_supported", param="model")
        return offer

    def open(self, name: str) -> Any:
        """Its pipeline. ValueError if its folder is broken, or it is not offered any more."""
        with self._lock:
            if name not in self._loaded:
                if name not in self._offers:
                    raise ValueError(f"the model {name!r} is not served any more")
                self._loaded[name] = _load(self._offers[name].folder)
            return self._loaded[name]


def _offer(name: str, folder: Path) -> Offer:
    card = read_card(folder)
    return Offer(name=name, folder=folder, modality=card["modality"], card=card)


def _load(folder: Path) -> Any:
    from .. import load

    return load(folder)


def shipped() -> dict[str, Path]:
    from .. import models

    return models()
