"""What a server lets requests put on its models: names of what lies in the operator's folders, and never paths."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request

from .errors import Refused

router = APIRouter(prefix="/v1", tags=["models"])
KINDS = {
    "lora": "lora",
    "control": "control network",
    "words": "learned word",
    "image_prompt": "image prompt adapter",
    "hint": "hint",
}  # the fields of requests, each with a folder of its own, and what is named in them
SUFFIX = ".safetensors"
FILES = ("adapter_model.safetensors", "pytorch_lora_weights.safetensors")  # of a folder of LoRA: peft's, diffusers'
NETWORKS = ("config.json", "control.safetensors")  # of a control network: diffusers', and one that was trained here
ENCODER = "image_encoder"  # beside an IP-Adapter
HINTS = ("canny", "luminance")  # that need no model
SEEN = {"DepthEstimation": "depth", "SemanticSegmentation": "segments", "PoseEstimation": "pose"}  # by classes' names

Folders = Mapping[str, Path]


def offered(kind: str, folder: Path | None) -> Mapping[str, str]:
    """Name -> what a pipeline is told of it, as seen from the folder: `style` for style.safetensors, or for a folder
    `style` that holds one. A hint is called by what it is made of and its folder: `depth:dpt`."""
    if folder is None:
        return {}
    places = sorted(folder.iterdir())
    if kind == "hint":
        found = ((_sees(place), place.name) for place in places)
        return {f"{seen}:{name}": name for seen, name in found if seen}
    folders = {place.name: held for place in places if place.is_dir() and (held := _held(kind, place))}
    return folders | {place.stem: place.name for place in places if place.suffix == SUFFIX and place.is_file()}


def _held(kind: str, place: Path) -> str | None:
    """What of a folder is told; None if it holds none."""
    if kind == "lora" and any((place / name).is_file() for name in FILES):
        return place.name
    if kind == "control" and any((place / name).is_file() for name in NETWORKS):
        return place.name
    files = sorted(place.glob(f"*{SUFFIX}"))
    if kind == "words" and len(files) == 1:
        return f"{place.name}/{files[0].name}"
    if kind == "image_prompt" and len(files) == 1 and (place / ENCODER).is_dir():
        return f"{place.name}/{files[0].name}"
    return None


def _sees(place: Path) -> str | None:
    """What a folder in transformers' layout makes of a picture, by the class of its model."""
    try:
        classes = json.loads((place / "config.json").read_text()).get("architectures") or [""]
    except (OSError, ValueError, AttributeError):
        return None
    return next((seen for name, seen in SEEN.items() if str(classes[0]).endswith(name)), None)


def named(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(kind, name) of all that a request puts on a model."""
    yield from (("lora", name) for name, _ in options.get("lora") or ())
    words = options.get("words") or ()
    yield from (("words", name) for name in (words.values() if isinstance(words, Mapping) else words))
    for kind in ("control", "image_prompt"):
        yield from ((kind, one["name"]) for one in options.get(kind) or ())
    yield from (("hint", one["hint"]) for one in options.get("control") or () if one.get("hint"))


def check(folders: Folders, options: Mapping[str, Any]) -> None:
    """Refused for a name that is not offered."""
    for kind, name in named(options):
        known = [*(HINTS if kind == "hint" else ()), *offered(kind, folders.get(kind))]
        if name not in known:
            said = f"there is no {KINDS[kind]} {name[:80]!r} here: {', '.join(known) or 'none is offered'}"
            param = "control" if kind == "hint" else kind
            raise Refused(message=said[:500], status=404, code=f"{kind}_not_found", param=param)


# ---- in the process of the models


def link(media: Path, folders: Folders) -> None:
    """Each folder under the name of its kind in the media folder, where the models work: what is made there says
    `lora/style.safetensors` beside the names of the pictures that it began from, and can be made again there."""
    for kind in KINDS:
        place = media / kind
        if place.is_symlink():
            place.unlink()
        if kind in folders:
            place.symlink_to(folders[kind].absolute(), target_is_directory=True)


def placed(folders: Folders, options: Mapping[str, Any], pictures: Mapping[str, Any]) -> dict[str, Any]:
    """What a request names, as options of a pipeline's job. folders: as seen from where this process works; pictures:
    "control.0" -> what the first control network is shown. ValueError for a name that is not there any more."""
    made: dict[str, Any] = {}
    if loras := options.get("lora"):
        made["lora"] = [(_path(folders, "lora", name), weight) for name, weight in loras]
    if isinstance(words := options.get("words"), Mapping):
        made["words"] = {word: _path(folders, "words", name) for word, name in words.items()}
    elif words:
        made["words"] = [_path(folders, "words", name) for name in words]
    for kind, called in (("control", "model"), ("image_prompt", "adapter")):
        rows = list(enumerate(options.get(kind) or ()))
        if rows:
            made[kind] = [_shown(folders, kind, called, one, pictures[f"{kind}.{number}"]) for number, one in rows]
    return made


def _shown(folders: Folders, kind: str, called: str, one: Mapping[str, Any], picture: Any) -> dict[str, Any]:
    more = {name: value for name, value in one.items() if name != "name"}
    if more.get("hint") and more["hint"] not in HINTS:
        more["hint"] = f"{more['hint'].partition(':')[0]}:{_path(folders, 'hint', more['hint'])}"
    return {called: _path(folders, kind, one["name"]), "image": picture, **more}


def _path(folders: Folders, kind: str, name: str) -> str:
    """A path that begins with a dot, which is no name of a repository: nothing is fetched."""
    place = offered(kind, folders.get(kind)).get(name)
    if place is None:
        raise ValueError(f"the {KINDS[kind]} {name!r} that is asked for is not there any more")
    return f"./{folders[kind]}/{place}"


# ---- what there is


@router.get("/loras")
def loras(request: Request) -> Any:
    """What may be named in the field `lora`."""
    return {"object": "list", "data": _listed(request, "lora")}


@router.get("/adapters")
def listed(request: Request) -> Any:
    """What may be named in the fields `lora`, `control` (and its `hint`), `words` and `image_prompt`: `object` says in
    which."""
    data = [one for kind in KINDS for one in _listed(request, kind)]
    return {"object": "list", "data": data + [{"id": name, "object": "hint"} for name in HINTS]}


def _listed(request: Request, kind: str) -> list[dict[str, str]]:
    folder = request.app.state.service.settings.adapters.get(kind)
    return [{"id": name, "object": kind} for name in offered(kind, folder)]
