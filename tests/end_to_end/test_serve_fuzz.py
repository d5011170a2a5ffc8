"""Hundreds of requests that schemathesis thinks of, from the server's own OpenAPI document: none breaks it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("schemathesis")

import schemathesis
from hypothesis import HealthCheck, settings
from serving import served
from serving import settings as settings_of

SMALL = {"steps": 2, "count": 2, "pixels": 64 * 64, "frames": 32 * 32 * 40, "sound": 2, "film": 2, "stream_seconds": 1}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(
    tiny_model: Path, tiny_audio: Path, tiny_video: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    models = {"tiny": tiny_model, "tiny-audio": tiny_audio, "tiny-video": tiny_video}
    with served(settings_of(tmp_path_factory.mktemp("data"), models, limits=SMALL, ahead=1000.0)) as (address, _):
        yield address


@pytest.fixture(scope="module")
def document(address: str) -> Any:
    return schemathesis.openapi.from_url(f"{address}/openapi.json")


lazy = schemathesis.pytest.from_fixture("document")


@lazy.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_breaks_it(case: Any) -> None:
    answer = case.call(timeout=60)
    assert answer.status_code < 500, answer.text
    assert "Traceback" not in answer.text and "site-packages" not in answer.text
    if answer.status_code >= 400 and answer.request.method != "HEAD":
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
