"""Requests that schemathesis thinks of, from the server's own OpenAPI document: none breaks it.

A few of each kind within a bounded time, or (marked slow) many.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("schemathesis")

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from serving import MOST, served
from serving import settings as settings_of

SMALL = {"steps": 2, "count": 2, "pixels": 64 * 64, "frames": 32 * 32 * 40, "sound": 2, "film": 2, "stream_seconds": 1}
MODES = (GenerationMode.NEGATIVE, GenerationMode.POSITIVE)
BUDGET = 15.0  # seconds after which the short run begins no other kind of request
SHORT = {"phases": [Phase.generate], "derandomize": True, "max_examples": 3}


@pytest.fixture(scope="module")
def address(
    tiny_model: Path, tiny_audio: Path, tiny_video: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    models = {"tiny": tiny_model, "tiny-audio": tiny_audio, "tiny-video": tiny_video}
    with served(settings_of(tmp_path_factory.mktemp("data"), models, limits=SMALL, ahead=1000.0)) as (address, _):
        yield address


@pytest.fixture(scope="module")
def operations(address: str) -> list[Any]:
    document = schemathesis.openapi.from_url(f"{address}/openapi.json")
    operations = [result.ok() for result in document.get_all_operations()]
    assert len(operations) > 35
    return operations


def test_a_few_requests_of_each_kind_do_not_break_it(operations: list[Any]) -> None:
    began = time.monotonic()
    writing = sorted(operations, key=lambda operation: operation.method.lower() != "post")
    for mode in MODES:
        for operation in writing:
            if time.monotonic() - began < BUDGET:
                ask(operation, mode, **SHORT)


@pytest.mark.slow
def test_no_request_breaks_it(operations: list[Any]) -> None:
    for operation in operations:
        for mode in MODES:
            ask(operation, mode, max_examples=15)


def ask(operation: Any, mode: GenerationMode, **options: Any) -> None:
    """Some requests of one kind, right ones or wrong ones."""

    @settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), **options)
    @given(case=operation.as_strategy(generation_mode=mode))
    def answered(case: Any) -> None:
        answer = case.call(timeout=MOST)
        assert answer.status_code < 500, (operation.label, answer.content)
        assert b"Traceback" not in answer.content and b"site-packages" not in answer.content
        if answer.status_code >= 400:
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}

    with suppress(Unsatisfiable):  # where nothing can be asked wrongly
        answered()
