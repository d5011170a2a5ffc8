"""A process of its own: values, events, leaving, errors, and what happens when it dies."""

import logging
import os
import signal
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi")

from mediagen.serve import process
from mediagen.serve.errors import Refused
from mediagen.serve.process import Broken, Gone, Late, Process


class Room:
    """What is called in the other process."""

    def __init__(self, name: str) -> None:
        self.name = name

    def pid(self) -> int:
        return os.getpid()

    def said(self, *words: str) -> str:
        logging.getLogger("mediagen.serve").info("heard %s", words[0])
        return " ".join((self.name, *words))

    def counted(self, count: int, pause: float = 0.0) -> Iterator[int]:
        for number in range(count):
            time.sleep(pause)
            yield number

    def broken(self, kind: str) -> None:
        if kind == "refused":
            raise Refused(message="no", status=413, code="too_much", param="n", after=3)
        if kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise {"value": ValueError("that cannot be"), "type": TypeError("odd")}[kind]


@pytest.fixture
def room() -> Iterator[Process]:
    room = Process("test-room", Room, "anna")
    yield room
    room.stop()


def test_values_events_and_what_is_logged(room: Process, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mediagen.serve"):
        assert room.call("said", "hello") == "anna hello"
        assert list(room.begin("counted", 4).events()) == [0, 1, 2, 3]
    assert "heard hello" in caplog.text and room.pid == room.call("pid") != os.getpid()


def test_calls_run_beside_each_other_and_are_left_early(room: Process) -> None:
    slow = room.begin("counted", 10_000, 0.01)
    events = slow.events()
    assert next(events) == 0 and room.call("said", "meanwhile") == "anna meanwhile"
    slow.leave()
    assert len(list(events)) < 1000


def test_errors_come_back_as_what_they_are(room: Process) -> None:
    with pytest.raises(Refused, match="no") as refused:
        room.call("broken", "refused")
    assert (refused.value.status, refused.value.code, refused.value.param, refused.value.after) == (
        413,
        "too_much",
        "n",
        3,
    )
    with pytest.raises(Broken, match="that cannot be") as foreseen:
        room.call("broken", "value")
    with pytest.raises(Broken, match="TypeError: odd") as unforeseen:
        room.call("broken", "type")
    assert not foreseen.value.trace and "Traceback" in unforeseen.value.trace


def test_one_that_dies_takes_its_calls_along_and_another_is_started(room: Process) -> None:
    first = room.call("pid")
    beside = room.begin("counted", 10_000, 0.01)
    with pytest.raises(Gone, match="SIGKILL"):
        room.call("broken", "killed", again=False)
    with pytest.raises(Gone):
        list(beside.events())
    assert room.call("pid") != first


def test_what_takes_too_long_is_left_and_what_cannot_be_left_is_ended(
    room: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "PATIENCE", 0.3)
    first, late = room.call("pid"), room.begin("counted", 10_000, 0.01)
    late.until = time.monotonic() + 0.1
    with pytest.raises(Late):
        list(late.events())
    assert room.call("pid") == first
    stuck = room.begin("counted", 1, 600.0)
    stuck.until = time.monotonic() + 0.1
    with pytest.raises(Late):
        list(stuck.events())
    assert room.call("pid") != first
