"""Jobs that outlive their server: made, batched, cancelled, broken, and killed with the process."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("sqlalchemy")

from serving import MANY, MOST, Breaking, Counted, FullDisk, Holding, asked, eventually, holding, settings, until

import mediagen
from mediagen.modalities import image
from mediagen.serve.errors import Refused
from mediagen.serve.records import Record
from mediagen.serve.service import Service, done
from mediagen.serve.store import Full, Store

SOME = 120  # steps of the job that is interrupted

CHILD = """
import asyncio, sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from serving import Holding, asked, settings
from mediagen.serve.service import Service

service = Service(settings(Path({data!r}), {{"tiny": Path({model!r})}}), Holding)
service.start()
print(service.workers[0].studio.start().process.pid, flush=True)
for steps, seed in ((2, 1), ({many}, 2), (3, 3), (3, 4)):
    print(asyncio.run(service.submit(asked(steps=steps, seed=seed))).id, flush=True)
time.sleep({most})
"""


@pytest.fixture
def service(tiny_model: Path, tmp_path: Path) -> Iterator[Service]:
    service = Service(settings(tmp_path / "data", {"tiny": tiny_model}), Holding)
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def refusing(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One for all tests of what is refused: it keeps nothing of it."""
    service = Service(settings(tmp_path_factory.mktemp("refusing"), {"tiny": tiny_model}))
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def pipeline(tiny_model: Path) -> Any:
    return mediagen.load(tiny_model)


def submit(service: Service, **options: Any) -> Record:
    return asyncio.run(service.submit(asked(**options)))


def pixels(service: Service, record: Record, number: int = 0) -> np.ndarray:
    return image.load(service.media.folder / record.results[number]).pixels.astype(int)


def test_a_job_is_made_and_its_file_carries_its_request(service: Service, pipeline: Any) -> None:
    record = until(service, submit(service, seed=7, n=2).id)
    assert record.state == "done" and len(record.results) == 2
    assert record.started >= record.created and record.finished >= record.started
    made = pipeline.generate("a red ball", seed=7, n=2)
    assert all((pixels(service, record, n) == one.pixels).all() for n, one in enumerate(made))
    alone = until(service, submit(service, seed=7).id)
    file = service.media.folder / alone.results[0]
    assert mediagen.replay(file, service.settings.models["tiny"]).equal
    assert not list(service.media.folder.glob(".*"))


def test_jobs_that_are_alike_are_one_batch_and_each_is_as_it_would_be_alone(
    tiny_model: Path, tmp_path: Path, pipeline: Any
) -> None:
    service = Service(settings(tmp_path, {"tiny": tiny_model}, limits={"batch": 4}))
    words = ("a red ball", "a cat", "two dogs left of a house", "a pizza")
    jobs = [submit(service, prompt=text, seed=n) for n, text in enumerate(words)]
    other, last = submit(service, seed=5, steps=3), submit(service, seed=6)
    service.start()
    records = [until(service, job.id) for job in (*jobs, other, last)]
    service.stop()
    assert [record.state for record in records] == ["done"] * 6
    starts = [record.started for record in records]
    assert len(set(starts[:4])) == 1 and len(set(starts)) == 3  # four fit; the other is of other settings
    for n, text in enumerate(words):
        assert (pixels(service, records[n]) == pipeline.generate(text, seed=n).pixels).all()


def test_a_running_job_is_left_within_a_step_and_a_queued_one_never_begins(tiny_model: Path, tmp_path: Path) -> None:
    service = Service(settings(tmp_path, {"tiny": tiny_model}), Counted)
    service.start()
    running = until(service, submit(service, steps=MANY).id, ("running",))
    waiting = submit(service, steps=MANY)
    assert asyncio.run(service.cancel(waiting.id))
    eventually(lambda: service.board.last(running).step >= 2)
    assert asyncio.run(service.cancel(running.id)) and not asyncio.run(service.cancel(running.id))
    assert until(service, submit(service, steps=1).id).state == "done"  # the worker is free again
    assert len((tmp_path / "steps").read_text()) < MANY
    states = [service.store.get(job.id).state for job in (running, waiting)]
    assert states == ["cancelled", "cancelled"] and service.store.get(waiting.id).started is None
    assert len(list(service.media.folder.iterdir())) == 1
    service.stop()


def test_one_of_a_batch_that_is_cancelled_does_not_take_the_others_along(tiny_model: Path, tmp_path: Path) -> None:
    service = Service(settings(tmp_path, {"tiny": tiny_model}), Holding)
    one, other = submit(service, steps=60, seed=1), submit(service, steps=60, seed=2)
    with holding(tmp_path):
        service.start()
        until(service, one.id, ("running",))
        assert asyncio.run(service.cancel(one.id))
    assert until(service, other.id).state == "done" and service.store.get(one.id).state == "cancelled"
    service.stop()
    assert len(list((tmp_path / "media").iterdir())) == 1


def test_progress_tells_step_and_time_left(service: Service) -> None:
    async def watched() -> list[Any]:
        job, seen = await service.submit(asked(steps=40)), []
        async for progress in service.watch(job.id):
            seen.append(progress)
            if progress.stage == "step":
                go()
        return seen

    with holding(service.settings.data) as go:
        seen = asyncio.run(watched())
    steps = [progress.step for progress in seen if progress.stage == "step"]
    assert steps == sorted(steps) and steps[-1] == 40 and seen[-1].state == "done"
    last = [progress for progress in seen if progress.stage == "step"][-1]
    assert last.total == 40 and last.left == 0


@pytest.mark.parametrize(
    ("studio", "prompt", "why", "code"),
    [
        (FullDisk, "a red ball", "No space left on device", "generation_failed"),
        (Breaking, "a red ball", "RuntimeError: the network is broken", "generation_failed"),
        (Breaking, "no memory", "MemoryError", "generation_failed"),
        (Breaking, "killed", "the process that made it was ended by SIGKILL", "process_died"),
    ],
)
def test_what_breaks_fails_alone_with_its_reason(
    tiny_model: Path, tmp_path: Path, studio: Any, prompt: str, why: str, code: str
) -> None:
    service = Service(settings(tmp_path / "data", {"tiny": tiny_model}), studio)
    jobs = [submit(service, seed=seed, prompt=prompt) for seed in (11, 13, 12)]  # they wait together: one batch
    service.start()
    states = [until(service, job.id) for job in jobs]
    service.stop()
    assert [record.state for record in states] == ["done", "failed", "done"]
    broken = states[1]
    assert why in broken.reason and broken.code == code and str(service.media.folder) not in broken.reason
    with pytest.raises(Refused, match=why.split(":")[0]):
        done(broken)


def test_a_process_that_is_killed_once_is_started_again_and_its_job_made(
    tiny_model: Path, tmp_path: Path, pipeline: Any
) -> None:
    service = Service(settings(tmp_path / "data", {"tiny": tiny_model}), Breaking)
    service.start()
    job = until(service, submit(service, seed=13, prompt="killed once").id)
    assert job.state == "done" and (tmp_path / "data" / "once").exists()
    assert (pixels(service, job) == pipeline.generate("killed once", seed=13).pixels).all()
    service.stop()


def test_a_model_that_is_stuck_in_a_step_is_ended(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mediagen.serve import process

    monkeypatch.setattr(process, "PATIENCE", 0.2)
    service = Service(settings(tmp_path / "data", {"tiny": tiny_model}, limits={"time": 5}), Breaking)
    service.start()
    until(service, submit(service, seed=1, steps=1).id)  # loads the model
    stuck, after = submit(service, seed=13, prompt="stuck"), submit(service, seed=2, steps=1)
    record = until(service, stuck.id)
    assert (record.state, record.code) == ("failed", "timeout")
    assert until(service, after.id).state == "done"
    service.stop()


def test_a_job_that_takes_too_long_is_ended(tiny_model: Path, tmp_path: Path) -> None:
    service = Service(settings(tmp_path, {"tiny": tiny_model}, limits={"time": 0.05}))
    job = submit(service, steps=MANY)
    service.start()
    record = until(service, job.id)
    service.stop()
    assert (record.state, record.code) == ("failed", "timeout") and "longer than 0.05 s" in record.reason


def test_the_queue_has_an_end(tiny_model: Path, tmp_path: Path) -> None:
    service = Service(settings(tmp_path, {"tiny": tiny_model}, limits={"queue": 3}))
    for seed in range(3):
        submit(service, seed=seed)
    with pytest.raises(Refused, match="at most 3") as caught:
        submit(service)
    assert caught.value.status == 429 and int(caught.value.headers["retry-after"]) >= 1
    service.workers[0].studio.stop()
    service.store.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": [63, 64]}, "multiples of"),
        ({"size": [2048, 1024]}, "at most 1.04858e"),
        ({"n": 11}, "at most 10"),
        ({"steps": 0}, "steps must be"),
        ({"seed": -1}, "seed must be"),
        ({"seed": 2**70}, "seed must be"),
        ({"solver": "magic"}, "magic"),
        ({"prompt": "word " * 900}, "characters"),
        ({"prompt": "word " * 80}, "tokens"),
        ({"prompt": ""}, "empty"),
        ({"nonsense": 1}, "unknown option"),
    ],
)
def test_what_cannot_be_is_refused_before_it_waits(refusing: Service, options: dict, message: str) -> None:
    with pytest.raises(Refused, match=message) as caught:
        submit(refusing, **options)
    assert caught.value.status == 400 and refusing.store.counts() == {}


def test_stopping_leaves_what_would_take_too_long_in_the_queue(tiny_model: Path, tmp_path: Path) -> None:
    service = Service(settings(tmp_path, {"tiny": tiny_model}, grace=0.05), Holding)
    with holding(tmp_path):
        service.start()
        slow = until(service, submit(service, steps=MANY).id, ("running",))
        service.stop()
    store = Store(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    assert store.get(slow.id).state == "queued" and store.get(slow.id).started is None
    store.close()


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_server_loses_nothing_and_makes_the_same(tiny_model: Path, tmp_path: Path, pipeline: Any) -> None:
    data = tmp_path / "data"
    data.mkdir()
    about = {"tests": str(Path(__file__).parents[1]), "data": str(data), "model": str(tiny_model)}
    code = CHILD.format(**about, many=SOME, most=MOST)
    with holding(data):
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        studio, *names = [child.stdout.readline().strip() for _ in range(5)]
        store = Store(f"sqlite:///{data / 'jobs.sqlite'}")
        eventually(lambda: store.get(names[1]).state == "running")
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        eventually(lambda: not alive(studio))  # the process of the models does not outlive its server
    assert [store.get(name).state for name in names] == ["done", "running", "queued", "queued"]
    finished = store.get(names[0])
    store.close()
    (data / "media" / ".half-written.png-x.partial").write_bytes(b"half")

    service = Service(settings(data, {"tiny": tiny_model}))
    assert service.start() == 1  # one was interrupted
    records = [until(service, name) for name in names]
    service.stop()
    assert [record.state for record in records] == ["done"] * 4 and records[0] == finished
    for record, (steps, seed) in zip(records, ((2, 1), (SOME, 2), (3, 3), (3, 4)), strict=True):
        assert (pixels(service, record) == pipeline.generate("a red ball", steps=steps, seed=seed).pixels).all()
    assert {path.name for path in (data / "media").iterdir()} == {record.results[0] for record in records}


def test_a_model_that_cannot_be_loaded_is_told_without_its_folder(tiny_model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "card.yaml").write_text((tiny_model / "card.yaml").read_text())
    service = Service(settings(tmp_path / "data", {"tiny": broken}))
    with pytest.raises(Refused, match="the server's log says why") as caught:
        submit(service)
    assert caught.value.status == 500 and str(tmp_path) not in caught.value.message
    service.workers[0].studio.stop()
    service.store.close()


def test_two_servers_do_not_share_a_folder(service: Service) -> None:
    with pytest.raises(ValueError, match="another server"):
        Service(service.settings)


def test_the_tables_are_ones_that_postgresql_takes() -> None:
    from sqlalchemy.dialects import postgresql
    from sqlalchemy.schema import CreateIndex, CreateTable

    from mediagen.serve.records import TABLES

    for table in TABLES.sorted_tables:
        assert "PRIMARY KEY (number)" in str(CreateTable(table).compile(dialect=postgresql.dialect()))
        for index in table.indexes:
            assert "CREATE INDEX" in str(CreateIndex(index).compile(dialect=postgresql.dialect()))


def test_the_store_counts_lists_and_forgets(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    about = {"modality": "image", "model": "m", "asked": {}, "sources": {}}
    records = [Record(id=f"job{n}", endpoint="images" if n % 2 else "videos", **about) for n in range(5)]
    made = [store.add(record, most=5) for record in records]
    with pytest.raises(Full):
        store.add(made[0], most=5)
    assert [r.id for r in store.all(limit=2)] == ["job4", "job3"]
    assert [r.id for r in store.all(limit=2, after="job3", endpoints=("images",))] == ["job1"]
    assert [r.id for r in store.take(4)] == ["job0"]  # not alike: alone
    assert store.counts() == {"queued": 4, "running": 1} and not store.forget("job0")
    assert store.finish("job0", ["a.png"]) and not store.cancel("job0") and not store.fail("job0", "x", "y")
    assert store.get("job0").results == ("a.png",) and store.forget("job0") and store.get("job0") is None
    with pytest.raises(ValueError, match="cannot open the database"):
        Store("nosuchdatabase://x")
    store.close()
