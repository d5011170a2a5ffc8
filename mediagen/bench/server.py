"""The server under load, on the loopback: cold start, batching, a hundred clients at once, memory over many jobs."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .fresh import machine

CLIENTS, QUEUE, MANY = 100, 60, int(os.environ.get("MEDIAGEN_BENCH_JOBS", "1000"))
SEVERAL = 24  # clients at once that are all served
SIZE, STEPS = "64x64", 4
WARM = 50  # jobs after which memory is first looked at
WATCHING = """
import http.client, sys, time
connection = http.client.HTTPConnection(sys.argv[1])
while True:
    began = time.perf_counter()
    connection.request("GET", "/health")
    connection.getresponse().read()
    print(time.perf_counter() - began, flush=True)
    time.sleep(0.02)
"""
PATIENCE = 900  # seconds that an answer is waited for


@dataclass(frozen=True, kw_only=True)
class Server:
    address: str
    process: Any
    began: float

    @property
    def megabytes(self) -> float:
        """Memory that it and its processes hold; what several hold is counted once."""
        return sum(map(_held, _family(self.process.pid))) / 1e3


@contextmanager
def running(*options: str) -> Iterator[Server]:
    """`mediagen serve` in a process and a folder of its own, asked for nothing yet."""
    import httpx

    with socket.socket() as free, tempfile.TemporaryDirectory() as data:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [sys.executable, "-c", "from mediagen.cli import main; main()", "serve", "--port", str(port)]
        began = time.perf_counter()
        process = subprocess.Popen([*command, "--data", data, *options], stderr=subprocess.DEVNULL)
        try:
            while process.poll() is None:
                try:
                    httpx.get(f"http://127.0.0.1:{port}/health")
                    break
                except httpx.TransportError:
                    time.sleep(0.05)
            yield Server(address=f"http://127.0.0.1:{port}", process=process, began=began)
        finally:
            process.terminate()
            process.wait()


def body(seed: int, steps: int = STEPS) -> dict[str, Any]:
    return {"prompt": "a cat left of a pizza", "seed": seed, "steps": steps, "size": SIZE, "response_format": "url"}


@contextmanager
def watched(address: str) -> Iterator[list[float]]:
    """How long `/health` takes meanwhile, filled in at the end; asked by a process that has nothing else to do."""
    times: list[float] = []
    watcher = subprocess.Popen([sys.executable, "-c", WATCHING, address.partition("//")[2]], stdout=subprocess.PIPE)
    try:
        yield times
    finally:
        watcher.terminate()
        times += map(float, watcher.communicate()[0].split(b"\n")[:-1])


async def together(address: str, bodies: Sequence[dict[str, Any]]) -> list[int]:
    """All at once: the status of each answer."""
    import httpx

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=address, timeout=PATIENCE, limits=limits) as client:
        answers = await asyncio.gather(*(client.post("/v1/images/generations", json=one) for one in bodies))
    return [answer.status_code for answer in answers]


def rate(address: str, count: int) -> float:
    """Pictures a second of so many clients at once, after one that loads the model."""
    asyncio.run(together(address, [body(0)]))
    began = time.perf_counter()
    codes = asyncio.run(together(address, [body(seed) for seed in range(count)]))
    if set(codes) != {200}:
        raise ValueError(f"the server answered {sorted(set(codes))}")
    return count / (time.perf_counter() - began)


def table(*options: str) -> str:
    """Markdown; some minutes. options: of `mediagen serve`, such as another model."""
    rows: list[tuple[str, str]] = []
    with running("--limit", "batch=1", *options) as server:
        asyncio.run(together(server.address, [body(0, 20)]))
        rows.append(("first picture (20 steps) from a cold start", f"{time.perf_counter() - server.began:.1f} s"))
        single = rate(server.address, SEVERAL)
    with running("--limit", f"queue={QUEUE}", *options) as server:
        several = rate(server.address, SEVERAL)
        rows.append(("pictures a second, one by one", f"{single:.2f}"))
        rows.append(("in batches of up to 8", f"{several:.2f} ({several / single:.2f} times as many)"))
        with watched(server.address) as times:
            codes = asyncio.run(together(server.address, [body(seed) for seed in range(CLIENTS)]))
        answers = ", ".join(f"{codes.count(code)} x {code}" for code in sorted(set(codes)))
        rows.append((f"{CLIENTS} clients at once, {QUEUE} may wait", answers))
        rows.append(("/health meanwhile, p50 / p99", " / ".join(f"{1000 * q:.0f} ms" for q in quantiles(times))))
        rows.append((f"memory after {WARM} and {MANY} more jobs", memory(server)))
    return "\n".join(f"| {what} | {figure} |" for what, figure in (("server", machine()), ("---", "---"), *rows))


def _family(pid: int) -> set[int]:
    """A process, those that it started, and those that they did."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(place.parent.name)] = int(place.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has just ended
            continue
    found, more = {pid}, {pid}
    while more:
        more = {child for child, parent in parents.items() if parent in more} - found
        found |= more
    return found


def _held(pid: int) -> int:
    """Kilobytes, of what is shared the part that falls to it."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def quantiles(times: Sequence[float]) -> tuple[float, float]:
    ordered = sorted(times)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def memory(server: Server) -> str:
    """In rounds of as many jobs as may wait, one step each."""

    def work(count: int) -> None:
        for first in range(0, count, QUEUE):
            bodies = [body(seed, 1) for seed in range(first, min(first + QUEUE, count))]
            asyncio.run(together(server.address, bodies))

    work(WARM)
    before = server.megabytes
    work(MANY)
    after = server.megabytes
    return f"{before:.0f} MB, {after:.0f} MB ({100 * (after / before - 1):+.1f} %)"
