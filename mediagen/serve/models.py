"""The models that a server offers: what their cards say, and the models themselves."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any

from ..capabilities import capabilities, card_of, check_variant, takes
from .errors import Refused

LOG = logging.getLogger("mediagen.serve")


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

    @property
    def takes(self) -> list[str]:
        """The fields of requests that put something on it."""
        return list(takes(self.folder))

    @property
    def made(self) -> float:
        """When its card was written, or a published checkpoint was laid here: seconds since 1970."""
        card = self.folder / "card.yaml"
        return (card if card.is_file() else self.folder).stat().st_mtime


class Offers:
    """offered: name -> folder, the first of a modality is the one that is used where none is named. variants: of some
    published checkpoints, which of their weight files are read. ValueError for what is not there."""

    def __init__(self, offered: Mapping[str, Path], variants: Mapping[str, str] = MappingProxyType({})) -> None:
        if not offered:
            raise ValueError("there is no model to serve: name a folder that holds one")
        for name, variant in variants.items():
            if name not in offered:
                raise ValueError(f"variant {variant!r} is of the model {name!r}, and served are: {', '.join(offered)}")
            check_variant(name, Path(offered[name]), variant)
        self._offers = {name: _offer(name, Path(folder)) for name, folder in offered.items()}

    @property
    def offers(self) -> tuple[Offer, ...]:
        return tuple(self._offers.values())

    def find(self, name: str | None, modality: str, param: str = "model") -> Offer:
        """The model of this name, or the first that makes such media. Refused if there is none, or another kind. param:
        the field that names it."""
        able = [offer for offer in self.offers if offer.modality == modality]
        names = ", ".join(offer.name for offer in able) or "none"
        if name is None and not able:
            raise Refused(message=f"this server has no model that makes {modality}", code="model_not_found")
        offer = able[0] if name is None else self._offers.get(name)
        if offer is None:
            said = f"there is no model {str(name)[:80]!r} here; for {modality}: {names}"
            raise Refused(message=said, status=404, code="model_not_found", param=param)
        if offer.modality != modality:
            said = f"the model {offer.name} makes {offer.modality}, not {modality}; for that: {names}"
            raise Refused(message=said, code="model_not_supported", param=param)
        return offer


class Models:
    """Each loaded when it is first asked for, and kept. folders: name -> folder; device: where they compute; variants:
    as of `Offers`."""

    def __init__(
        self, folders: Mapping[str, Path], device: str = "cpu", variants: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._folders, self._device, self._variants, self._lock = folders, device, variants, Lock()
        self._loaded: dict[tuple[str, bool], Any] = {}
        self._both: tuple[tuple[Any, ...], Any] = ((), None)

    def open(self, name: str, *, adapted: bool = False) -> Any:
        """Its pipeline. Refused if it cannot be loaded, or is not offered any more. adapted: another one, for jobs that
        put something on it: what is made with the first at the same time is not to see that."""
        with self._lock:
            if (name, adapted) not in self._loaded:
                if name not in self._folders:
                    raise Refused(message=f"the model {name!r} is not served any more", code="model_not_found")
                variant = self._variants.get(name)
                self._loaded[name, adapted] = _load(name, self._folders[name], self._device, variant)
            return self._loaded[name, adapted]

    def both(self, base: str, refiner: str, share: float | None) -> Any:
        """Two of them as one (`mediagen.ensemble`), the latest of which is kept: all of them are made of the same
        parts. share: the base's, None for the usual one. ValueError for two that cannot share a walk."""
        from .. import ensemble

        key, (one, two) = (base, refiner, share), (self.open(base), self.open(refiner))
        with self._lock:
            if self._both[0] != key:
                self._both = key, ensemble(one, two, **({} if share is None else {"share": share}))
            return self._both[1]


def _offer(name: str, folder: Path) -> Offer:
    card = card_of(folder)
    return Offer(name=name, folder=folder, modality=card["modality"], card=card)


def _load(name: str, folder: Path, device: str, variant: str | None) -> Any:
    """As the commands load it. What is wrong with a folder is for who runs the server, in its log."""
    from .. import _commanded, load

    how = {} if device.partition(":")[0] == "cpu" else {"device": device}  # the CPU is where they lie unasked
    how |= {} if variant is None else {"variant": variant}
    try:
        return load(folder, **_commanded(str(folder)), **how)
    except Exception as error:
        LOG.exception("the model %s cannot be loaded", name)
        said = f"the model {name} cannot be loaded; the server's log says why"
        raise Refused(message=said, status=500, code="model_broken") from error


def shipped() -> dict[str, Path]:
    from ..capabilities import cards

    return cards()
