"""mediagen serve."""

import json
import logging
import os
import time
import webbrowser
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import spread
from .terminal import make_folder, tell

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _folder(what: str) -> Any:
    """An option that names one."""
    return typer.Option(help=f"Folder of {what}.", file_okay=False, exists=True)


@dataclass(frozen=True, kw_only=True)
class Served:
    """Which models, and which files of them."""

    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="A model beside the shipped ones: NAME=FOLDER. Repeat.")
    ] = None
    shipped: Annotated[bool, typer.Option(help="Whether the shipped models are served.")] = True
    variant: Annotated[
        list[str] | None,
        typer.Option(help="Which weight files of published checkpoints, such as fp16; of one: NAME=fp16. Repeat."),
    ] = None

    def models(self) -> dict[str, Path]:
        """Name -> folder."""
        from ..serve.models import shipped

        return (dict(shipped()) if self.shipped else {}) | dict(map(read_model, self.model or ()))


@dataclass(frozen=True, kw_only=True)
class Offered:
    """Folders of what requests may put on a model, by name."""

    loras: Annotated[Path | None, _folder("low-rank adapters that requests may name")] = None
    controls: Annotated[Path | None, _folder("control networks that they may name")] = None
    hints: Annotated[Path | None, _folder("models that see depth, segments or poses")] = None
    words: Annotated[Path | None, _folder("learned words that they may name")] = None
    image_prompts: Annotated[Path | None, _folder("IP-Adapters that they may name")] = None

    def folders(self) -> dict[str, Path]:
        """By the field of requests in which it is named."""
        found = {"lora": self.loras, "control": self.controls, "hint": self.hints, "words": self.words}
        found |= {"image_prompt": self.image_prompts}
        return {kind: folder.absolute() for kind, folder in found.items() if folder is not None}


@spread
def serve(  # noqa: PLR0913 (one argument an option)
    *,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 for any free one.", min=0, max=65535)] = 8000,
    data: Annotated[Path, typer.Option(help="Folder of the jobs and their media.")] = Path("mediagen-data"),
    served: Served,
    offered: Offered,
    device: Annotated[
        list[str] | None,
        typer.Option(help="Where models compute: cpu, cuda:0, ... Repeat: a process for each, also of the same one."),
    ] = None,
    database: Annotated[str | None, typer.Option(help="SQLAlchemy's URL, instead of SQLite in the folder.")] = None,
    limit: Annotated[
        list[str] | None, typer.Option(help="Another limit: NAME=NUMBER, see docs/server.md. Repeat.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A name that the server may be called by. Repeat.")
    ] = None,
    grace: Annotated[float, typer.Option(help="Seconds that a running job has to end when the server does.")] = 10.0,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Serve images, music and video: a page, and OpenAI's API over durable jobs. A key: MEDIAGEN_API_KEY."""
    try:
        import uvicorn

        from ..serve.app import create
        from ..serve.service import Settings
    except ImportError as error:
        raise ValueError(f"the server needs `pip install 'mediagen[serve]'`: {error}") from error
    make_folder(data)
    models = served.models()
    key = os.environ.get("MEDIAGEN_API_KEY") or None
    if key is None and host not in LOOPBACK:
        tell("mediagen: anyone who reaches this address may use it; set MEDIAGEN_API_KEY to ask for a key", aside=True)
    hosts = [*(allow_host or ()), *(LOOPBACK if host in LOOPBACK else ())] if host in LOOPBACK or allow_host else []
    settings = Settings(
        data=data,
        models=models,
        database=database,
        adapters=offered.folders(),
        key=key,
        hosts=hosts,
        limits=read_limits(limit or ()),
        grace=grace,
        devices=tuple(device or ("cpu",)),
        variants=read_variants(served.variant or (), models),
    )
    _log()
    app = create(settings)
    options: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False, "ws_max_size": 65_536}
    config = uvicorn.Config(app, host=host, port=port, timeout_graceful_shutdown=round(grace) + 5, **options)
    _run(uvicorn.Server(config), host, browser)


def _run(server: Any, host: str, browser: bool) -> None:
    """Tell the page's address, and open it, once the server listens: only then its port is known, if it was any."""
    from threading import Thread

    def greet() -> None:
        while not server.started:
            time.sleep(0.05)
        address = address_of(host, server.servers[0].sockets[0].getsockname()[1])
        tell(f"the page: {address}/  the API: {address}/v1", aside=True)
        if browser:
            webbrowser.open(f"{address}/")

    Thread(target=greet, daemon=True).start()  # ends with the process, even of a server that never starts
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise typer.Exit(3)


def address_of(host: str, port: int) -> str:
    """Where a browser on this machine finds a server that listens there: 0.0.0.0 is no address to go to."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def read_model(text: str) -> tuple[str, Path]:
    """ "mine=runs/mine" -> ("mine", runs/mine)."""
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise ValueError(f"--model is {text!r}; it must be NAME=FOLDER")
    return name, Path(folder)


def read_variants(texts: Iterable[str], models: Mapping[str, Path]) -> dict[str, str]:
    """ "fp16" -> {each published checkpoint: "fp16"}; "mine=fp16" -> {"mine": "fp16"}."""
    from ..capabilities import published

    found: dict[str, str] = {}
    for text in texts:
        name, equals, own = text.partition("=")
        names = [name] if equals else [one for one, folder in models.items() if published(folder)]
        if not (name and (own or not equals) and names):
            said = "one of published checkpoints, such as fp16, or of one, NAME=fp16"
            raise ValueError(f"--variant is {text!r}; it must be {said}")
        found |= dict.fromkeys(names, own if equals else name)
    return found


def read_limits(texts: Any) -> Any:
    """ "queue=20" -> the limits with that one changed."""
    from dataclasses import fields

    from ..serve.limits import Limits

    kinds, changed = {field.name: type(field.default) for field in fields(Limits)}, {}
    for text in texts:
        name, _, number = text.partition("=")
        if name not in kinds:
            raise ValueError(f"unknown limit {name!r}; known: {', '.join(kinds)}")
        try:
            changed[name] = kinds[name](number)
        except ValueError:
            raise ValueError(f"the limit {name} must be a number, not {number!r}") from None
    return Limits(**changed)


class Lines(logging.Formatter):
    """A line of JSON for each record: time, level, what, and the facts in `about`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"), "level": record.levelname.lower()}
        line |= {"logger": record.name, "message": record.getMessage(), **getattr(record, "about", {})}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _log() -> None:
    """The server's own lines, and of what it stands on what goes wrong."""
    handler = logging.StreamHandler()
    handler.setFormatter(Lines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("mediagen.serve").setLevel(logging.INFO)
