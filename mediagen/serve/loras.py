"""The low-rank adapters that a server offers: names of what lies in one folder, and never paths."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request

from .errors import Refused

router = APIRouter(prefix="/v1", tags=["models"])
SUFFIX = ".safetensors"
FILES = ("adapter_model.safetensors", "pytorch_lora_weights.safetensors")  # of a folder: peft's and diffusers'


def offered(folder: Path | None) -> Mapping[str, str]:
    """Name -> file or folder in the folder: `style` for style.safetensors, and for a folder `style` that holds one."""
    if folder is None:
        return {}
    places = sorted(folder.iterdir())
    folders = {place.name: place.name for place in places if any((place / name).is_file() for name in FILES)}
    return folders | {place.stem: place.name for place in places if place.suffix == SUFFIX and place.is_file()}


def check(folder: Path | None, asked: list[tuple[str, float]] | None) -> None:
    """Refused for a name that is not offered."""
    known = offered(folder) if asked else {}
    for name, _ in asked or ():
        if name not in known:
            said = f"there is no lora {name[:80]!r} here: {', '.join(known) or 'none is offered'}"
            raise Refused(message=said[:500], status=404, code="lora_not_found", param="lora")


@router.get("/loras")
def listed(request: Request) -> Any:
    """What may be named in the field `lora`."""
    folder = request.app.state.service.settings.loras
    return {"object": "list", "data": [{"id": name, "object": "lora"} for name in offered(folder)]}
