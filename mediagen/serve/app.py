"""The application: a service, its routes, and what goes wrong said in one way."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from .. import __version__
from . import adapters, batches, files, images, jobs, live, music, page, videos
from .errors import Refused, is_full, storage_full
from .fields import refusal
from .gate import Gate, Metrics
from .process import Broken, Gone
from .records import Record
from .runner import Runner
from .service import Service, Settings
from .studio import Studio

LOG = logging.getLogger("mediagen.serve")
STATES = ("queued", "running", "done", "failed", "cancelled")
CODES = {404: "not_found", 405: "method_not_allowed"}

router = APIRouter(tags=["server"])


def create(settings: Settings, studio: type[Studio] = Studio) -> FastAPI:
    """An application to be run by an ASGI server. ValueError for a folder, database or model that cannot be opened.
    studio: what works in the processes of the models."""
    service, metrics = Service(settings, studio), Metrics()
    about = {"title": "mediagen", "version": __version__, "summary": "Images, music and video from one API."}
    app = FastAPI(**about, lifespan=_lifespan, docs_url=None, redoc_url=None)
    app.state.service, app.state.metrics, app.state.streams = service, metrics, live.Streams(service, metrics)
    app.state.runner = Runner(app, service)
    service.workers.watched_by(lambda record, state: _counted(metrics, service, record, state))
    gate = {"key": settings.key, "hosts": settings.hosts, "body": settings.limits.body, "metrics": metrics}
    app.add_middleware(Gate, **gate)
    for room in (images, music, videos, files, jobs, batches, adapters, live, page):
        app.include_router(room.router)
    app.include_router(router)
    for kind, answer in ((Refused, _refused), (RequestValidationError, _invalid), (HTTPException, _http)):
        app.add_exception_handler(kind, answer)
    app.add_exception_handler(ClientDisconnect, _left)
    app.add_exception_handler(OSError, _disk)
    for kind, answer in ((Gone, _gone), (OperationalError, _busy), (NoConnection, _busy)):
        app.add_exception_handler(kind, answer)
    app.add_exception_handler(Exception, _broken)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    again = await run_in_threadpool(service.start)
    LOG.info("started", extra={"about": {"models": [offer.name for offer in service.models.offers], "again": again}})
    app.state.runner.start()
    yield
    app.state.streams.stop_all()
    await app.state.runner.stop()
    await run_in_threadpool(service.stop)
    LOG.info("stopped")


@router.get("/health")
async def health(request: Request) -> Response:
    """Whether the server works: 200, or 503 when it works on no device any more. Asks neither a database nor a
    model. process: of the models: whether it runs, or is being started (again)."""
    workers = request.app.state.service.workers
    devices = [
        {
            "device": worker.device,
            "status": "ok" if worker.alive else "broken",
            "process": "running" if worker.studio.alive else "starting",
            "jobs": worker.working,
            "streams": worker.streams,
            "models": sorted(worker.warm),
        }
        for worker in workers
    ]
    well = [worker.alive for worker in workers]
    status = "ok" if all(well) else "degraded" if any(well) else "broken"
    body = {"status": status, "version": __version__, "devices": devices}
    return JSONResponse(body, 200 if any(well) else 503)


@router.get("/metrics", response_class=Response)
def metrics(request: Request) -> Response:
    """Numbers in Prometheus' text format."""
    kept: Metrics = request.app.state.metrics
    counts = request.app.state.service.store.counts()
    for state in STATES:
        kept.queue.labels(state).set(counts.get(state, 0))
    for number, worker in enumerate(request.app.state.service.workers):
        kept.running.labels(worker.device, number).set(worker.working)
        kept.processes.labels(worker.device, number).set(worker.studio.alive)
        kept.deaths.labels(worker.device, number).set(worker.studio.deaths)
    return Response(generate_latest(kept.registry), media_type=CONTENT_TYPE_LATEST)


def _counted(metrics: Metrics, service: Service, record: Record, state: str) -> None:
    """A job that is over, as a number and as a line of the log."""
    metrics.jobs.labels(record.modality, state).inc()
    now = service.store.get(record.id)
    seconds = None if now is None or not now.started or not now.finished else now.finished - now.started
    if seconds is not None:
        metrics.job_seconds.labels(record.modality).observe(seconds)
    LOG.info("job", extra={"about": {"id": record.id, "model": record.model, "state": state, "seconds": seconds}})


# ---- what goes wrong


async def _refused(request: Request, error: Any) -> Response:
    """What was uploaded for it is not kept."""
    places = getattr(request.state, "given", ())
    if places:
        await run_in_threadpool(request.app.state.service.discard, places)
    return JSONResponse(error.body, error.status, error.headers)


async def _invalid(request: Request, error: Any) -> Response:
    return await _refused(request, refusal(error.errors()))


async def _http(request: Request, error: Any) -> Response:
    code = CODES.get(error.status_code, "invalid_request")
    refused = Refused(message=str(error.detail)[:300], status=error.status_code, code=code)
    return JSONResponse(refused.body, error.status_code, error.headers)


async def _left(request: Request, error: Any) -> Response:
    return Response(status_code=499)


async def _gone(request: Request, error: Any) -> Response:
    said = "a process of the server ended and is started again: try again"
    return await _refused(request, Refused(message=said, status=503, code="restarting", after=5))


async def _busy(request: Request, error: Exception) -> Response:
    """The database is away, or too busy."""
    LOG.error("the database: %s", " ".join(str(error).split())[:300])
    said = "the database does not answer: try again"
    return await _refused(request, Refused(message=said, status=503, code="storage_busy", after=5))


async def _disk(request: Request, error: Any) -> Response:
    """A disk that is full is told; all else that a disk does is an error of ours."""
    if not is_full(error):
        raise error
    LOG.error("the disk is full: %s", error)
    return await _refused(request, storage_full("that"))


async def _broken(request: Request, error: Exception) -> Response:
    """An error of ours: it is logged, and told without what is inside."""
    if isinstance(error, Broken):
        LOG.error("a process of the server broke: %s", error.trace or error)
    refused = Refused(message="the server failed; its log says why", status=500, code="server_error")
    return JSONResponse(refused.body, 500)
