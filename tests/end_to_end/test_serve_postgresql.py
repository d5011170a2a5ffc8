"""The tables and every query on a real PostgreSQL, and a server that works on it; skipped where there is none."""

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("psycopg")

from serving import asked, settings, until

from mediagen.serve.batch_records import Batch, Batches
from mediagen.serve.records import Kept, Record
from mediagen.serve.service import Service
from mediagen.serve.store import Full, Store


def programs() -> Path | None:
    """The folder of PostgreSQL's programs."""
    found = shutil.which("postgres")
    places = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((place for place in reversed(places) if (place / "initdb").is_file()), None)


def account() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: as whom it runs then."""
    if os.getuid():
        return {}
    try:
        person = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("PostgreSQL does not run as root, and there is no account postgres")
    return {"user": person.pw_uid, "group": person.pw_gid}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of an empty database of a server of our own, on a socket in its folder."""
    place = programs()
    if place is None:
        pytest.skip("PostgreSQL is not installed")
    who, folder = account(), Path("/tmp") / f"mediagen-pg-{os.getpid()}"
    folder.mkdir(mode=0o700)
    if who:
        os.chown(folder, who["user"], who["group"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **who}
    begin = [place / "initdb", "-D", folder / "db", "-U", "tester", "-A", "trust", "--no-sync", "-E", "UTF8"]
    subprocess.run(list(map(str, begin)), check=True, env={"LC_ALL": "C"}, **quiet)
    serve = [place / "pg_ctl", "-D", folder / "db", "-w", "-o", f"-p {port} -k {folder} -h 127.0.0.1", "start"]
    subprocess.run(list(map(str, serve)), check=True, env={"LC_ALL": "C"}, **quiet)
    try:
        yield f"postgresql+psycopg://tester@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([str(place / "pg_ctl"), "-D", str(folder / "db"), "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(folder, ignore_errors=True)


def test_jobs_and_files(url: str) -> None:
    store = Store(url)
    about = {"modality": "image", "model": "m", "asked": {"prompt": "ein Bär"}, "sources": {"start": "given-a.png"}}
    records = [Record(id=f"job{n}", endpoint="images" if n % 2 else "videos", alike="x", **about) for n in range(5)]
    made = [store.add(record, most=5) for record in records]
    with pytest.raises(Full):
        store.add(made[0], most=5)
    assert store.get("job1") == made[1] and store.get("job\0") is None
    assert [one.id for one in store.all(limit=2, after="job3", endpoints=("images",), modality="image")] == ["job1"]
    assert [one.id for one in store.take(3)] == ["job0", "job1", "job2"]
    assert store.counts() == {"queued": 2, "running": 3} and not store.forget("job0")
    assert store.finish("job0", ["a.png"]) and not store.cancel("job0") and store.fail("job1", "x", "why")
    assert store.requeue("job2") == 1 and store.requeue() == 0 and store.cancel("job2")
    assert store.uses("given-a.png") and store.places() == {"given-a.png"}
    assert store.get("job0").results == ("a.png",) and store.forget("job0")
    kept = [Kept(id=f"file-{n}", name="é", purpose="vision", place=f"p{n}", bytes=3, created=1.5) for n in range(2)]
    assert [store.keep(one) for one in kept] == kept and store.bytes_kept() == 6 and store.is_kept("p0")
    assert [one.id for one in store.all_kept(after="file-1")] == ["file-0"] and store.drop("file-0")
    for name in ("job1", "job2", "job3", "job4"):
        store.cancel(name)
        assert store.forget(name)
    store.close()


def test_batches(url: str) -> None:
    store = Store(url)
    batches = Batches(store)
    about = {"endpoint": "/v1/videos", "status": "in_progress", "times": {"created": 1.0}}
    made = [Batch(id=f"batch_{n}", input_file="file-x", metadata={"a": "b"}, **about) for n in range(2)]
    for one in made:
        batches.add(one, [("a", {"prompt": "x"}), ("b", {"prompt": "y"})])
    assert [one.id for one in batches.all(after="batch_1")] == ["batch_0"] and len(batches.working()) == 2
    first, second = batches.lines("batch_0")
    batches.note(first, job="job1", status=200)
    batches.note(second, status=400, answer={"error": {"message": "no"}})
    assert batches.counts("batch_0") == {"total": 2, "completed": 1, "failed": 1}
    assert batches.counts("batch_1") == {"total": 2, "completed": 0, "failed": 0}
    assert not batches.lines("batch_0", waiting=True) and batches.lines("batch_0")[1].answer["error"]
    assert batches.move("batch_0", "finalizing", "in_progress") and not batches.move("batch_0", "x", "in_progress")
    assert batches.move("batch_0", "completed", "finalizing", output_file="file-y")
    assert batches.get("batch_0").output_file == "file-y" and set(batches.get("batch_0").times) > {"created"}
    store.close()


def test_a_server_works_on_it(url: str, tiny_model: Path, tmp_path: Path) -> None:
    service = Service(settings(tmp_path, {"tiny": tiny_model}, database=url))
    service.start()
    jobs = [asyncio.run(service.submit(asked(seed=seed, steps=1))) for seed in range(3)]
    states = [until(service, job.id).state for job in jobs]
    service.stop()
    assert states == ["done"] * 3 and not (tmp_path / "jobs.sqlite").exists()
