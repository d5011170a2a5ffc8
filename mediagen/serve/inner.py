"""A request that the server asks itself: it goes the way of all others, without a socket."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message

from .service import Settings


async def ask(
    app: ASGIApp, settings: Settings, method: str, address: str, body: Mapping[str, Any] | None = None
) -> tuple[int, dict[str, str], Any]:
    """The status, headers and JSON of the answer. address: with the name that the server is called by."""
    content = b"" if body is None else json.dumps(body).encode()
    url = urlsplit(address)
    names = {"host": url.netloc, "content-type": "application/json", "content-length": str(len(content))}
    names |= {} if settings.key is None else {"authorization": f"Bearer {settings.key}"}
    headers = [(name.encode(), value.encode()) for name, value in names.items()]
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": url.scheme}
    scope |= {"path": url.path, "raw_path": url.path.encode(), "query_string": b"", "root_path": "", "headers": headers}
    scope |= {"server": (url.hostname, url.port or 80), "client": ("127.0.0.1", 0), "app": app}
    status, got, parts = 0, {}, []
    asked: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Message:
        return asked.pop() if asked else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status, got
        if message["type"] == "http.response.start":
            status = message["status"]
            got = {name.decode().lower(): value.decode() for name, value in message["headers"]}
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return status, got, json.loads(b"".join(parts) or b"null")
