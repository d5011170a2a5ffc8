"""A process of the models for each device: two on the CPU work together, and one that is killed leaves the other."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import httpx
from serving import MANY, MOST, Breaking, Holding, Slow, asked, eventually, holding, served, settings, until

import mediagen
from mediagen.modalities import image
from mediagen.serve.board import Board
from mediagen.serve.limits import Limits
from mediagen.serve.media import Media
from mediagen.serve.process import Process
from mediagen.serve.records import Record
from mediagen.serve.service import Service
from mediagen.serve.store import Store
from mediagen.serve.workers import TURN, Workers, chosen

TWO = ("cpu", "cpu")
CHILD = """
import asyncio, sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from serving import Holding, asked, settings
from mediagen.serve.service import Service

service = Service(settings(Path({data!r}), {{"tiny": Path({model!r})}}, devices=("cpu", "cpu")), Holding)
service.start()
for seed in (1, 2):
    print(asyncio.run(service.submit(asked(steps=20 + seed, seed=seed))).id, flush=True)
time.sleep({most})
"""


@pytest.fixture
def service(tiny_model: Path, tmp_path: Path) -> Iterator[Service]:
    service = Service(settings(tmp_path / "data", {"tiny": tiny_model}, devices=TWO), Holding)
    service.start()
    yield service
    service.stop()


def submit(service: Service, **options: Any) -> Record:
    return asyncio.run(service.submit(asked(**options)))


def both_running(service: Service, *jobs: Record) -> None:
    """Wait until each of two jobs is at its second step at least, in a process of its own."""
    eventually(lambda: min(service.board.last(service.store.get(job.id)).step for job in jobs) >= 2)
    assert [worker.working for worker in service.workers] == [1, 1]


def is_right(service: Service, record: Record, tiny_model: Path) -> bool:
    """Whether it is what the library makes of the same seed."""
    kept = image.load(service.media.folder / record.results[0]).pixels
    options = {name: record.asked[name] for name in ("seed", "steps")}
    return bool(np.array_equal(kept, mediagen.load(tiny_model).generate(record.asked["prompt"], **options).pixels))


def test_two_jobs_are_made_at_once_and_cancelled_one_by_one(service: Service, tiny_model: Path) -> None:
    with holding(service.settings.data):
        jobs = [submit(service, seed=seed, steps=MANY + seed) for seed in (1, 2)]
        both_running(service, *jobs)
        assert len({worker.studio.pid for worker in service.workers}) == 2
        assert asyncio.run(service.cancel(jobs[0].id))
        short = until(service, submit(service, seed=3, steps=2).id)  # on the device that is free again
        assert short.state == "done" and service.store.get(jobs[1].id).state == "running"
        assert asyncio.run(service.cancel(jobs[1].id)) and is_right(service, short, tiny_model)


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_the_other_and_its_job_is_made_again(
    service: Service, tiny_model: Path
) -> None:
    with holding(service.settings.data):
        jobs = [submit(service, seed=seed, steps=20 + seed) for seed in (1, 2)]
        both_running(service, *jobs)
        killed, other = service.workers
        before = other.studio.pid
        os.kill(killed.studio.pid, signal.SIGKILL)
    made = [until(service, job.id) for job in jobs]
    assert [job.state for job in made] == ["done", "done"]
    assert all(is_right(service, job, tiny_model) for job in made)
    assert other.studio.pid == before and killed.studio.deaths == 1 and other.studio.deaths == 0


@pytest.mark.slow
def test_a_killed_server_loses_nothing_of_any_device(tiny_model: Path, tmp_path: Path) -> None:
    code = CHILD.format(tests=str(Path(__file__).parents[1]), data=str(tmp_path), model=str(tiny_model), most=MOST)
    with holding(tmp_path):
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        names = [child.stdout.readline().strip() for _ in range(2)]
        store = Store(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
        eventually(lambda: [store.get(name).state for name in names] == ["running", "running"])
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        store.close()
    service = Service(settings(tmp_path, {"tiny": tiny_model}, devices=TWO))
    assert service.start() == 2  # were interrupted
    made = [until(service, name) for name in names]
    service.stop()
    assert all(job.state == "done" and is_right(service, job, tiny_model) for job in made)


def test_what_breaks_on_one_device_fails_alone(service: Service) -> None:
    well = submit(service, seed=1, steps=150)
    broken = submit(service, seed=13, prompt="killed", steps=3)
    assert until(service, broken.id).code == "process_died"
    assert until(service, well.id).state == "done"


@pytest.mark.slow
def test_stopping_finishes_or_requeues_on_each_device(tiny_model: Path, tmp_path: Path) -> None:
    service = Service(settings(tmp_path, {"tiny": tiny_model}, devices=TWO, grace=10.0), Slow)
    service.start()
    slow, quick = submit(service, seed=1, steps=1000), submit(service, seed=2, steps=120)
    both_running(service, slow, quick)
    eventually(lambda: (job := service.store.get(quick.id)).over or service.board.last(job).step > 115)
    service.stop()
    store = Store(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    assert [store.get(job.id).state for job in (slow, quick)] == ["queued", "done"]
    store.close()


def test_each_device_is_told(tiny_model: Path, tmp_path: Path) -> None:
    with served(settings(tmp_path, {"tiny": tiny_model}, devices=("cpu", "cpu:0"))) as (address, _):
        made = httpx.post(f"{address}/v1/images/generations", json={"prompt": "a cat", "steps": 1}, timeout=MOST)
        assert made.status_code == 200, made.text
        health = httpx.get(f"{address}/health", timeout=MOST).json()
        metrics = httpx.get(f"{address}/metrics", timeout=MOST).text
    assert health["status"] == "ok" and [one["status"] for one in health["devices"]] == ["ok", "ok"]
    assert all(one["device"] == "cpu" and one["process"] == "running" for one in health["devices"])
    assert sorted(one["models"] for one in health["devices"]) == [[], ["tiny"]]  # loaded where it is used, only
    for number in (0, 1):
        assert f'mediagen_device_up{{device="cpu",number="{number}"}} 1.0' in metrics
        assert f'mediagen_device_jobs{{device="cpu",number="{number}"}} 0.0' in metrics


def test_a_device_that_is_not_there_is_refused_before_anything_is_served(tiny_model: Path, tmp_path: Path) -> None:
    for name in ("cuda:99", "toaster", "meta"):
        with pytest.raises(ValueError, match=f"there is no device '{name}' here"):
            Service(settings(tmp_path / name, {"tiny": tiny_model}, devices=("cpu", name)))


def test_a_job_goes_where_its_model_is_and_none_waits_for_that_alone() -> None:
    now = time.time()

    def choose(models: str, *, warm: str = "", others: str = "", age: float = 0.0) -> Any:
        waiting = [SimpleNamespace(model=model, created=now - age, id=n) for n, model in enumerate(models)]
        job = chosen(waiting, warm=set(warm), others=set(others))
        return None if job is None else job.id

    assert choose("ab") == 0  # nobody has anything
    assert choose("ab", others="a") == 1  # the first is for who has its model and is free
    assert choose("aa", others="a") is None
    assert choose("aa", warm="a", others="a") == 0
    assert choose("ab", warm="b") == 1  # needs no loading
    assert choose("ab", warm="b", age=TURN + 1) == 0  # but the first does not wait for that for long
    assert choose("", warm="a") is None


def test_plans_go_to_who_has_the_model_and_streams_to_who_makes_the_fewest(tmp_path: Path) -> None:
    studios = [("cpu", Process(f"studio-{n}", Breaking)) for n in range(2)]
    store = Store(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    workers = Workers(store, Media(tmp_path), Board(), Limits(), studios)
    first, second = workers
    assert workers.for_plans("m") is first and workers.for_streams("m") is first
    second.warmed("m")
    assert workers.for_plans("m") is second and workers.for_plans("other") is first
    assert workers.for_streams("m") is second
    second.streams = 1
    assert workers.for_streams("m") is first
    first.free, first.pace, second.pace = True, 1.0, 0.5
    assert workers.for_plans("other") is first and workers.pace == pytest.approx(1 / 3)
    store.close()


def test_free_devices_share_what_could_be_one_batch(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    about: dict[str, Any] = {"modality": "image", "model": "m", "asked": {}, "sources": {}, "endpoint": "images"}
    for n in range(6):
        store.add(Record(id=f"job{n}", alike="same", **about), most=9)
    assert [job.id for job in store.take(8, sharing=2)] == ["job0", "job1", "job2"]
    assert [job.id for job in store.take(2, lambda waiting: waiting[-1])] == ["job5", "job3"]
    assert store.take(8, lambda waiting: None) == []
    assert [job.id for job in store.take(8)] == ["job4"]
    store.close()
