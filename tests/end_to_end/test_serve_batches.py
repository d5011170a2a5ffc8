"""OpenAI's batches by OpenAI's own client: files in, files out, cancelled, wrong, and killed with the server."""

import base64
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("openai")

import openai
from PIL import Image as Pil
from serving import MOST, served, settings

import mediagen


@pytest.fixture(scope="module")
def models(tiny_model: Path, tiny_video: Path) -> dict[str, Path]:
    return {"tiny": tiny_model, "tiny-video": tiny_video}


@pytest.fixture(scope="module")
def server(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    data = tmp_path_factory.mktemp("data")
    with served(
        settings(data, models, key="secret", hosts=["127.0.0.1"], limits={"lines": 5, "queue": 3, "text": 50_000})
    ) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: tuple[str, Any]) -> Any:
    return openai.OpenAI(base_url=f"{server[0]}/v1", api_key="secret", max_retries=0)


def asked(client: Any, bodies: list[dict], endpoint: str = "/v1/images/generations", **more: Any) -> Any:
    """A batch of these requests."""
    lines = [
        {"custom_id": f"line {n}", "method": "POST", "url": endpoint, "body": body} for n, body in enumerate(bodies)
    ]
    content = "\n".join(map(json.dumps, lines)).encode()
    kept = client.files.create(file=("requests.jsonl", content), purpose="batch")
    return client.batches.create(input_file_id=kept.id, endpoint=endpoint, completion_window="24h", **more)


def ended(client: Any, batch: Any) -> Any:
    end = time.monotonic() + MOST
    while batch.status not in ("completed", "failed", "expired", "cancelled"):
        assert time.monotonic() < end, batch
        time.sleep(0.05)
        batch = client.batches.retrieve(batch.id)
    return batch


def lines_of(client: Any, name: str) -> dict[str, dict]:
    lines = [json.loads(line) for line in client.files.content(name).text.splitlines()]
    return {line["custom_id"]: line["response"] for line in lines}


def pixels(encoded: str) -> np.ndarray:
    return np.array(Pil.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB"))


def test_pictures_of_a_file_of_requests(client: Any, tiny_model: Path) -> None:
    bodies = [{"prompt": "a red ball", "seed": seed, "steps": 2} for seed in range(3)]
    bodies += [{"prompt": "a cat", "output_format": "webp", "response_format": "url", "steps": 1, "seed": 9}]
    batch = asked(client, [*bodies, {"prompt": "", "steps": 2}], metadata={"for": "a test"})
    assert batch.status == "in_progress" and batch.request_counts.total == 5 and batch.metadata == {"for": "a test"}
    batch = ended(client, batch)
    counts = batch.request_counts
    assert (batch.status, counts.completed, counts.failed) == ("completed", 4, 1)
    assert batch.in_progress_at and batch.finalizing_at and batch.completed_at and not batch.cancelled_at
    made, wrong = lines_of(client, batch.output_file_id), lines_of(client, batch.error_file_id)
    pipeline = mediagen.load(tiny_model)
    for seed in range(3):
        answer = made[f"line {seed}"]
        assert answer["status_code"] == 200 and answer["request_id"].startswith("img_")
        alone = pipeline.generate("a red ball", seed=seed, steps=2)
        assert (pixels(answer["body"]["data"][0]["b64_json"]) == alone.pixels).all()
    url = made["line 3"]["body"]["data"][0]["url"]
    assert url.startswith(str(client.base_url).removesuffix("v1/")) and "webp" in url
    assert wrong["line 4"]["status_code"] == 400 and "empty" in wrong["line 4"]["body"]["error"]["message"]
    assert next(iter(client.batches.list(limit=1))).id == batch.id
    assert {file.purpose for file in client.files.list()} == {"batch", "batch_output"}


def test_videos_of_a_file_of_requests(client: Any) -> None:
    bodies = [{"prompt": "a ball rolls", "seconds": 1, "size": "32x32", "steps": 1, "seed": seed} for seed in range(2)]
    batch = ended(client, asked(client, bodies, "/v1/videos"))
    assert batch.status == "completed" and batch.error_file_id is None
    videos = [answer["body"] for answer in lines_of(client, batch.output_file_id).values()]
    assert {video["status"] for video in videos} == {"completed"}
    assert client.videos.download_content(videos[0]["id"]).read()[4:8] == b"ftyp"


def test_a_batch_is_cancelled(client: Any) -> None:
    batch = asked(client, [{"prompt": "a cat", "steps": 1}, *({"prompt": "a cat", "steps": 1000} for _ in range(4))])
    while client.batches.retrieve(batch.id).request_counts.completed < 1:
        time.sleep(0.05)
    assert client.batches.cancel(batch.id).status == "cancelling"
    batch = ended(client, batch)
    assert batch.status == "cancelled" and batch.cancelled_at
    made, left = lines_of(client, batch.output_file_id), lines_of(client, batch.error_file_id)
    assert len(made) + len(left) == 5 and {answer["status_code"] for answer in left.values()} == {409}
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(batch.id)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 lines"),
        (b"{}\n" * 6, "1 to 5"),
        (b"\n" * 100, "most of them empty"),
        (b'{"custom_id": "' + b"a" * 60_000 + b'"}', "at most 50000"),
        (b'{"custom_id": [' + b"1," * 20_000 + b"1]}", "more than 10000 values"),
        (b"nonsense", "no JSON"),
        (b'{"custom_id": "a", "method": "GET", "url": "/v1/images/generations", "body": {}}', "must be"),
        (b'{"custom_id": "a", "method": "POST", "url": "/v1/videos", "body": {}}', "must be"),
        (b'{"custom_id": "", "method": "POST", "url": "/v1/images/generations", "body": {}}', "custom_id"),
        (b'{"custom_id": "a", "method": "POST", "url": "/v1/images/generations", "body": {}}\n' * 2, "more than once"),
        (b'{"custom_id": "a", "method": "POST", "url": "/v1/images/generations", "body": {"stream": true}}', "stream"),
    ],
)
def test_files_that_are_no_batch(client: Any, content: bytes, message: str) -> None:
    kept = client.files.create(file=("requests.jsonl", content), purpose="batch")
    endpoint = "/v1/images/generations"
    batch = client.batches.create(input_file_id=kept.id, endpoint=endpoint, completion_window="24h")
    assert batch.status == "failed" and message in batch.errors.data[0].message


def test_batches_that_cannot_be(client: Any) -> None:
    about: dict[str, Any] = {"endpoint": "/v1/images/generations", "completion_window": "24h"}
    with pytest.raises(openai.NotFoundError, match="no file"):
        client.batches.create(input_file_id="file-nothing", **about)
    with pytest.raises(openai.BadRequestError, match="UTF-8"):
        client.files.create(file=("requests.jsonl", b"\xff\xfe"), purpose="batch")
    with pytest.raises(openai.BadRequestError, match="endpoint must be"):
        client.batches.create(input_file_id="file-nothing", **about | {"endpoint": "/v1/chat/completions"})
    with pytest.raises(openai.NotFoundError, match="no batch"):
        client.batches.retrieve("batch_nothing")


def test_a_batch_goes_on_where_it_was_when_the_server_ended(models: dict[str, Path], tmp_path: Path) -> None:
    options: dict[str, Any] = {"grace": 0.05, "limits": {"batch": 1}}
    with served(settings(tmp_path, models, **options)) as (address, app):
        client = openai.OpenAI(base_url=f"{address}/v1", api_key="none")
        batch = asked(client, [{"prompt": "a cat", "steps": steps, "seed": 1} for steps in (1, 150, 1)])
        while client.batches.retrieve(batch.id).request_counts.completed < 1:
            time.sleep(0.02)
        before = [line.job for line in app.state.service.batches.lines(batch.id)]
    with served(settings(tmp_path, models, **options)) as (address, app):
        client = openai.OpenAI(base_url=f"{address}/v1", api_key="none")
        batch = ended(client, batch)
        after = [line.job for line in app.state.service.batches.lines(batch.id)]
    assert batch.status == "completed" and batch.request_counts.completed == 3
    assert [job for job in before if job] == after[: sum(map(bool, before))] and len(set(after)) == 3
