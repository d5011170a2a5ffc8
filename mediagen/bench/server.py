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
from itertools import pairwise
from pathlib import Path
from typing import Any

from .document import row
from .fresh import machine

CLIENTS, QUEUE, MANY = 100, 60, int(os.environ.get("MEDIAGEN_BENCH_JOBS", "1000"))
SEVERAL = 24  # clients at once that are all served
PROMPT, SIZE, STEPS = "a cat left of a pizza", "64x64", 4
WARM = 100  # jobs after which memory is first looked at
SPAN = 480.0  # seconds that the jobs of the memory may take
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
    return {"prompt": PROMPT, "seed": seed, "steps": steps, "size": SIZE, "response_format": "url"}


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
    """Markdown: what was measured beside what is to be reached. Some minutes on two cores. options: of `mediagen
    serve`, such as another model or device."""
    rows = [("server", machine(), "goal"), ("---", "---", "---")]
    with running("--limit", "batch=1", *options) as server:
        rows.append(("first picture, as large as the model likes it, from a cold start", _first(server), "15 s"))
        single = rate(server.address, SEVERAL)
    with running("--limit", f"queue={QUEUE}", *options) as server:
        several = rate(server.address, SEVERAL)
        rows.append(("pictures a second, one by one", f"{single:.2f}", ""))
        rows.append(("in batches of up to 8", f"{several:.2f}, {several / single:.2f} times as many", "1.5 times"))
        rows += _crowd(server)
        rows.append(("previews of one picture", previews(server), "every step, or every second"))
        rows += memory(server)
    return "\n".join(map(row, rows))


def _first(server: Server) -> str:
    asyncio.run(together(server.address, [{"prompt": PROMPT, "response_format": "url"}]))
    return f"{time.perf_counter() - server.began:.1f} s"


def _crowd(server: Server) -> list[tuple[str, str, str]]:
    """Many clients at once: what each is answered, and how soon the server answers others meanwhile."""
    with watched(server.address) as times:
        codes = asyncio.run(together(server.address, [body(seed) for seed in range(CLIENTS)]))
    answers = ", ".join(f"{codes.count(code)} x {code}" for code in sorted(set(codes)))
    soon = " / ".join(f"{1000 * quantile(times, q):.0f} ms" for q in (0.5, 0.99))
    return [
        (f"{CLIENTS} clients at once, {QUEUE} may wait", answers, f"{CLIENTS} x 200 or 429"),
        (f"/health meanwhile, p50 / p99 of {len(times)}", soon, "p99 100 ms"),
    ]


def previews(server: Server) -> str:
    """How many there are of a job, and how long one is waited for at most after the one before."""
    import httpx

    times, asked = [], {"prompt": PROMPT, "seed": 1, "wait": False}
    with httpx.Client(base_url=server.address, timeout=PATIENCE) as client:
        job = client.post("/v1/images/generations", json=asked).json()
        with client.stream("GET", f"/v1/jobs/{job['id']}/events") as events:
            for line in events.iter_lines():
                if '"preview"' in line:
                    times.append(time.perf_counter())
        steps = client.get(f"/v1/jobs/{job['id']}").json()["about"]["steps"]
    gap = max((b - a for a, b in pairwise(times)), default=float("nan"))
    return f"{len(times)} in {steps} steps, {gap:.2f} s apart at most"


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


def quantile(times: Sequence[float], q: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))]


def memory(server: Server) -> list[tuple[str, str, str]]:
    """Of all processes, after WARM jobs and after MANY, and on the way; jobs of one step each, in rounds of as many as
    may wait. It ends early where that takes too long, and says after how many jobs."""
    made, held, began = 0, {}, time.perf_counter()
    first = min(WARM, MANY)
    marks = [first + (MANY - first) * part // 4 for part in range(5)]
    for mark in marks:
        while made < mark and time.perf_counter() - began < SPAN:
            count = min(QUEUE, mark - made)
            asyncio.run(together(server.address, [body(made + n, 1) for n in range(count)]))
            made += count
        held[made] = server.megabytes
    grown = 100 * (held[made] / next(iter(held.values())) - 1)
    said = ", ".join(f"{megabytes:.0f}" for megabytes in held.values())
    seconds = time.perf_counter() - began
    return [
        (f"memory of all processes after {', '.join(map(str, held))} jobs", f"{said} MB", ""),
        (f"its growth ({made} jobs took {seconds:.0f} s)", f"{grown:+.1f} %", "5 %"),
    ]
