"""The page: static files of our own that call the same public API as everyone. Nothing of it comes from outside."""

from functools import cache
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as InPath
from fastapi.responses import FileResponse, Response

from .errors import missing

router = APIRouter(include_in_schema=False)
FOLDER = Path(__file__).parent / "page"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# Scripts, styles, pictures and calls of this server alone; no text is ever taken for markup (trusted types).
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob: data:",
    "media-src": "'self' blob:",
    "connect-src": "'self'",
    "manifest-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}
HEADERS = {
    "content-security-policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}


@router.get("/", response_class=Response)
def index() -> Response:
    """The page itself."""
    return _file("index.html")


@router.get("/favicon.ico", response_class=Response)
def icon() -> Response:
    """What browsers ask for of their own accord."""
    return _file("icon.svg")


@router.get("/page/{name}", response_class=Response)
def part(name: Annotated[str, InPath(max_length=64)]) -> Response:
    """A script, a style or the icon. A name is a key of the table of what lies there, and no path."""
    return _file(name)


@cache
def parts() -> dict[str, Path]:
    """The files of the page by their names."""
    return {path.name: path for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES}


def _file(name: str) -> Response:
    path = parts().get(name)
    if path is None:
        raise missing("part of the page", name)
    return FileResponse(path, media_type=f"{TYPES[path.suffix]}; charset=utf-8", headers=HEADERS)
