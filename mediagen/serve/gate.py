"""What every request goes through before anything reads it: who asks, from where, how much; and what is counted."""

import hmac
import json
import logging
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import Refused

LOG = logging.getLogger("mediagen.serve")
OPEN = ("/health", "/", "/favicon.ico")  # what is answered without a key; the files of the page too, which ask for it
PAGE = "/page/"
EDGES = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300)


class Metrics:
    """Numbers for Prometheus, in a registry of this server's own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry}
        names = ("method", "route", "status")
        self.requests = Counter("mediagen_http_requests_total", "Requests answered.", names, **own)
        self.seconds = Histogram(
            "mediagen_http_seconds", "Seconds until the end of an answer.", ("route",), buckets=EDGES, **own
        )
        self.jobs = Counter("mediagen_jobs_total", "Jobs that are over.", ("modality", "state"), **own)
        self.job_seconds = Histogram(
            "mediagen_job_seconds", "Seconds from a job's start to its end.", ("modality",), buckets=EDGES, **own
        )
        self.queue = Gauge("mediagen_jobs_kept", "Jobs in the table, by state.", ("state",), **own)
        self.streams = Gauge("mediagen_streams", "Live streams that are running.", **own)
        device = ("device", "number")
        self.running = Gauge("mediagen_device_jobs", "Jobs that are made on a device now.", device, **own)
        self.processes = Gauge("mediagen_device_up", "1 if the process of a device runs.", device, **own)
        self.deaths = Gauge("mediagen_device_deaths", "How often the process of a device has died.", device, **own)


class Gate:
    """Middleware. key: what clients must name; hosts: the names that this server may be called by, none for any; body:
    the most bytes of a request."""

    def __init__(self, app: ASGIApp, *, key: str | None, hosts: Sequence[str], body: int, metrics: Metrics) -> None:
        self.app, self.body, self.metrics = app, body, metrics
        self._key, self._hosts = None if key is None else key.encode(), {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        seen = _Seen(send)
        began = time.monotonic()
        try:
            self._check(scope)
            await self.app(scope, _measured(receive, self.body), seen)
        except Refused as error:  # here, or while the body was read
            if not seen.status:
                await _answer(scope, seen, error)
        finally:
            self._count(scope, seen.status, time.monotonic() - began)

    def _check(self, scope: Scope) -> None:
        headers = {name.decode("latin-1").lower(): value for name, value in scope["headers"]}
        host = _host(headers.get("host", b"").decode("latin-1"))
        if self._hosts and host not in self._hosts:
            raise Refused(message=f"this server is not called {host[:80]!r}", status=421, code="wrong_host")
        origin = headers.get("origin")
        if origin is not None and not _same(origin, headers.get("host", b"")):
            said = "pages of other sites may not call this server"
            raise Refused(message=said, status=403, code="wrong_origin")
        if self._key is not None and scope["path"] not in OPEN and not scope["path"].startswith(PAGE):
            scheme, _, given = headers.get("authorization", b"").partition(b" ")
            right = hmac.compare_digest(given.strip(), self._key)
            if not right or scheme.lower() != b"bearer":
                raise Refused(message="the API key is missing or wrong", status=401, code="invalid_api_key")
        length = headers.get("content-length", b"0")
        if not length.isdigit() or int(length[:20]) > self.body:
            raise too_large(self.body)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        """By the route's own path, of which there are few, and not by the address that was asked for."""
        route = getattr(scope.get("route"), "path", "none")
        method = scope.get("method", "WEBSOCKET")
        method = method if method in ("GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS") else "OTHER"
        self.metrics.requests.labels(method, route, status).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        LOG.info("request", extra={"about": {"method": method, "route": route, "status": status, "seconds": seconds}})


class _Seen:
    """Passes an answer on, and remembers its status."""

    def __init__(self, send: Send) -> None:
        self.send, self.status = send, 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "websocket.accept":
            self.status = 101
        await self.send(message)


def _measured(receive: Receive, most: int) -> Receive:
    """A body that does not say how long it is ends where the limit does."""
    got = 0

    async def counted() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b"")) if message["type"] == "http.request" else 0
        if got > most:
            raise too_large(most)
        return message

    return counted


def too_large(most: int, instead: str = "") -> Refused:
    said = f"the request is larger than {most} bytes" + (f": {instead}" if instead else "")
    return Refused(message=said, status=413, code="request_too_large")


async def _answer(scope: Scope, send: Send, error: Refused) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 4000 + error.status, "reason": error.message[:100]})
        return
    body = json.dumps(error.body).encode()
    names = {"content-type": "application/json", "content-length": str(len(body)), **error.headers}
    headers = [(name.encode(), value.encode()) for name, value in names.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _host(value: str) -> str:
    """The name without its port: "[::1]:8000" -> "::1"."""
    try:
        return (urlsplit(f"//{value}").hostname or "").lower()
    except ValueError:
        return ""


def _same(origin: bytes, host: bytes) -> bool:
    """Whether a page lies on this very server."""
    try:
        return urlsplit(origin.decode("latin-1")).netloc.lower() == host.decode("latin-1").lower()
    except ValueError:
        return False
