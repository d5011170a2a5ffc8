"""Hostile and malformed requests, keys, limits, and what the server tells of itself: never a 500, never a path."""

import base64
import io
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import httpx
from PIL import Image as Pil
from serving import MOST, Slow, eventually, served, settings, with_preview

KEY = "correct horse"


@pytest.fixture(scope="module")
def server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    data = tmp_path_factory.mktemp("data")
    limits = {"upload_pixels": 300_000, "body": 2_000_000, "text": 900_000, "files": 10_000}
    options = {"key": KEY, "hosts": ["127.0.0.1"], "limits": limits}
    with served(settings(data, {"tiny": tiny_model}, **options), Slow) as running:
        yield running


@pytest.fixture(scope="module")
def http(server: tuple[str, Any]) -> Iterator[Any]:
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=server[0], timeout=MOST, headers=headers) as http:
        yield http


@pytest.fixture(autouse=True)
def nothing_breaks(server: tuple[str, Any], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No request of this file makes the server log an error, or leaves an upload behind."""
    yield
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
    folder = server[1].state.service.media.folder
    assert [path.name for path in folder.iterdir() if path.name.startswith((".", "given-"))] == []


def refused(answer: Any, *status: int) -> dict:
    assert answer.status_code in status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"] and error["code"]
    assert "/tmp" not in answer.text and "Traceback" not in answer.text and "site-packages" not in answer.text
    return error


def test_the_key(server: tuple[str, Any], http: Any) -> None:
    assert http.get("/v1/models").status_code == 200
    for wrong in ({}, {"authorization": "Bearer wrong"}, {"authorization": KEY}, {"authorization": "Basic " + KEY}):
        answer = httpx.get(f"{server[0]}/v1/models", headers=wrong, timeout=MOST)
        assert refused(answer, 401)["type"] == "authentication_error" and "www-authenticate" in answer.headers
    assert refused(httpx.get(f"{server[0]}/metrics", timeout=MOST), 401)
    assert httpx.get(f"{server[0]}/health", timeout=MOST).json()["status"] == "ok"


def test_a_page_of_another_site_may_not_call_it(http: Any) -> None:
    assert refused(http.get("/v1/models", headers={"origin": "https://evil.example"}), 403)["code"] == "wrong_origin"
    assert refused(http.get("/v1/models", headers={"host": "evil.example"}), 421)["code"] == "wrong_host"
    assert refused(http.get("/v1/models", headers={"host": "["}), 421)
    own = http.get("/v1/models", headers={"origin": str(http.base_url).rstrip("/")})
    assert own.status_code == 200 and "access-control-allow-origin" not in own.headers
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in http.options("/v1/models", headers=asked).headers


def test_bodies_that_are_too_large(http: Any) -> None:
    assert refused(http.post("/v1/images/generations", content=b"x" * 2_000_001), 413)["code"] == "request_too_large"
    chunks = (b" " * 100_000 for _ in range(30))  # no length is told
    assert refused(http.post("/v1/images/generations", content=chunks), 413)
    files = {"image": ("a.png", b"x" * 2_100_000)}
    assert refused(http.post("/v1/images/variations", files=files), 413)


FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b'{"prompt": "' + b"a" * 1_000_000 + b'"}', {}, 413),  # a text has less room than a file
        (b'{"prompt": [' + b"1," * 100_000 + b"1]}", {}, 400),
        (b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", {}, 400),
        (b'{"prompt": "a", "lora": [' + b'{"name": 1},' * 5_000 + b"1]}", {}, 400),
        (b'{"prompt": [' + b"1," * 9_000 + b"1]}", {}, 400),  # as many as are read, each of them wrong
        (b"prompt=" + b"a" * 1_000_000, FORM, 413),
        (b"a=&" * 100_000, FORM, 400),
    ],
)
def test_texts_that_take_long_to_read_are_not_read(http: Any, content: bytes, headers: dict, status: int) -> None:
    """Whoever asks for something else meanwhile does not wait for them."""
    for address in ("images/generations", "videos", "audio/stream", "batches"):
        refused(http.post(f"/v1/{address}", content=content, headers=headers), status)
    chunks = (content[n : n + 50_000] for n in range(0, len(content), 50_000))  # no length is told
    refused(http.post("/v1/images/generations", content=chunks, headers=headers), status)


def test_health_answers_while_texts_are_refused(server: tuple[str, Any], http: Any) -> None:
    wrong = b'{"prompt": [' + b"1," * 9_000 + b"1]}"
    over, codes = Event(), []

    def flood() -> None:
        while not over.is_set():
            codes.append(http.post("/v1/videos", content=wrong).status_code)

    threads = [Thread(target=flood) for _ in range(4)]
    began = time.process_time()  # of the server and of these clients, whatever else the machine does
    for thread in threads:
        thread.start()
    for _ in range(10):
        assert httpx.get(f"{server[0]}/health", timeout=MOST).status_code == 200
    over.set()
    for thread in threads:
        thread.join()
    assert set(codes) == {400} and (time.process_time() - began) / len(codes) < 0.03


BODIES = [
    b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"prompt":' * 20_000, b"{}",
    b'{"prompt": 1}',
    b'{"prompt": null}', b'{"prompt": "a", "seed": NaN}', b'{"prompt": "a", "guidance_scale": Infinity}',
    b'{"prompt": "a", "n": 1e999}', b'{"prompt": "a", "steps": "many"}', b'{"prompt": ["a"]}', b'{"prompt": {"a": 1}}',
    b'{"prompt": "\\ud800"}', b'{"prompt": "\\u0000"}', b'{"prompt": "((((a"}', b'{"prompt": "a", "model": "../../x"}',
    b'{"prompt": "a", "model": {}}', b'{"prompt": "a", "size": "0x0"}', b'{"prompt": "a", "size": "-8x8"}',
    b'{"prompt": "a", "size": "\xd9\xa1x\xd9\xa1"}', b'{"prompt": "a", "seed": 99999999999999999999999999}',
    b'{"prompt": "a", "solver": "__import__"}', b'{"prompt": "a", "__class__": 1}', b'{"prompt": "a", "n": true}',
    b'{"prompt": "a", "start": "/etc/passwd"}', b'{"prompt": "a", "n": -1}',
    b'{"prompt": "a", "size": "' + b"9" * 5000 + b'"}',
]  # fmt: skip


ADDRESSES = ("images/generations", "images/edits", "images/variations", "audio/generations", "batches")


@pytest.mark.parametrize("address", ADDRESSES)
def test_bodies_that_are_wrong(http: Any, address: str) -> None:
    kinds = ("application/json", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/plain")
    for body in BODIES:
        for kind in kinds if body in (b"", b"{", b"[]") else kinds[:1]:
            answer = http.post(f"/v1/{address}", content=body, headers={"content-type": kind})
            refused(answer, 400, 404, 422) if answer.status_code != 200 else None
    assert http.get("/health").status_code == 200


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def crafted(width: int, height: int, *more: bytes, rows: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + b"".join(more) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def uploads() -> dict[str, bytes]:
    """Files that are no pictures, or would fill the memory."""
    gif = io.BytesIO()
    Pil.new("P", (16, 16)).save(gif, "GIF")
    bomb = zlib.compress(b"a" * 80_000_000, 9)
    return {
        "empty": b"",
        "text": b"hello",
        "huge head": crafted(60_000, 60_000),
        "over the limit": crafted(1000, 301, rows=b"\0" * 301 * 3001),
        "zip in a text": crafted(8, 8, chunk(b"zTXt", b"a\0\0" + bomb), rows=b"\0" * 200)[:-30],
        "zip in a profile": crafted(8, 8, chunk(b"iCCP", b"a\0\0" + bomb), rows=b"")[:60_000],
        "cut short": crafted(64, 64, rows=b"\0" * 100),
        "no rows": crafted(64, 64),
        "cut gif": gif.getvalue()[:20],
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/etc/passwd) (r) file\nshowpage\n",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "zip": b"PK\x03\x04" + b"\0" * 100,
        "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "mp4": b"\0\0\0\x20ftypisom\0\0\0\0isomiso2" + b"\0" * 200,
    }


@pytest.mark.parametrize("name", uploads())
def test_uploads_that_are_no_pictures(http: Any, name: str) -> None:
    content = uploads()[name]
    answer = http.post("/v1/images/variations", files={"image": ("../../../tmp/a.png", content)})
    refused(answer, 400)
    for kind in (None, "image", "audio", "video"):
        form = {"purpose": "vision"} | ({} if kind is None else {"kind": kind})
        refused(http.post("/v1/files", files={"file": ("a", content)}, data=form), 400, 413)
    url = "data:image/png;base64," + base64.b64encode(content).decode()
    if len(url) < 800_000:
        refused(http.post("/v1/images/variations", json={"image": url}), 400)


REFERENCES = (
    "/etc/passwd", "../jobs.sqlite", "file:///etc/passwd", "http://127.0.0.1/x", "data:,x", "data:image/png;base64,@",
    "given-0.png", "' OR 1=1 --", "\0", "a" * 5000,
)  # fmt: skip


@pytest.mark.parametrize("reference", REFERENCES)
def test_names_are_no_paths(http: Any, reference: str) -> None:
    for value in (reference, {"file_id": reference}, {"image_url": reference}, {"image_url": {"url": reference}}):
        refused(http.post("/v1/images/variations", json={"image": value}), 400, 404)
    for value in (1, [reference], {}, {"id": 1}, {"url": []}, None, True):
        refused(http.post("/v1/images/variations", json={"image": value}), 400, 404)


@pytest.mark.parametrize("path", [
    "jobs/..%2f..%2fetc%2fpasswd", "jobs/x/results/0", "jobs/x/results/-1", "jobs/x/results/999999999999999999999",
    "jobs/x/results/0?format=../../x", "jobs/%00", "jobs/" + "x" * 300, "files/%2e%2e%2fjobs.sqlite/content",
    "jobs/x/events",
    "jobs/x/preview?number=-1", "videos/x/content?variant=exe", "videos/x", "models/..%2f..", "jobs?limit=0",
    "jobs?limit=x",
    "jobs?status=lost", "nothing", "audio/stream/x", "%ff%fe", "files?limit=100000", "batches?limit=0", "batches/x",
    "batches/..%2fx", "jobs/x/answer", "videos?order=sideways",
])  # fmt: skip
def test_addresses_that_lead_nowhere(http: Any, path: str) -> None:
    refused(http.get(f"/v1/{path}"), 400, 404, 405)
    assert http.request("DELETE", f"/v1/{path}").status_code in (400, 404, 405)
    assert http.request("BREW", f"/v1/{path}").status_code in (400, 404, 405)


def test_forms_with_too_many_parts(http: Any) -> None:
    picture = io.BytesIO()
    Pil.new("RGB", (64, 64)).save(picture, "PNG")
    many = [("image[]", ("a.png", picture.getvalue()))] * 3
    assert refused(http.post("/v1/images/edits", files=many, data={"prompt": "x"}), 400)["param"] == "image"
    refused(http.post("/v1/images/edits", files=[("image", ("a", b"x"))] * 9), 400)
    refused(http.post("/v1/images/edits", files={"image": ("a", b"x")}, data={f"f{n}": "x" for n in range(100)}), 400)
    refused(http.post("/v1/images/edits", files={"prompt": ("a", b"x"), "image": ("a", picture.getvalue())}), 400)


LINES = [
    b"\0" * 100, b"[" * 100_000, b'{"custom_id": ' * 20_000, b"null\n" * 10, b"[]", b'"x"', b'{"custom_id": 1}',
    b'{"custom_id": "\\u0000", "method": "POST", "url": "/v1/images/generations", "body": {}}',
    b'{"custom_id": "a", "method": "POST", "url": "http://127.0.0.1/", "body": {}}',
    b'{"custom_id": "a", "method": "POST", "url": "/v1/images/generations", "body": []}',
    b'{"custom_id": "a", "method": "POST", "url": "/v1/images/generations", "body": {}, "headers": {}}',
    b'{"custom_id": "' + b"a" * 600 + b'", "method": "POST", "url": "/v1/images/generations", "body": {}}',
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(LINES)))
def test_files_of_batches_that_are_wrong(http: Any, number: int) -> None:
    form = {"purpose": "batch", "kind": "../../x"}
    kept = http.post("/v1/files", files={"file": ("../a.jsonl", LINES[number][:9000])}, data=form).json()["id"]
    body = {"input_file_id": kept, "endpoint": "/v1/images/generations", "completion_window": "24h"}
    batch = http.post("/v1/batches", json=body)
    assert batch.status_code == 200 and batch.json()["status"] == "failed", batch.text
    assert batch.json()["errors"]["data"][0]["message"] and "/tmp" not in batch.text
    assert http.get(f"/v1/batches/{batch.json()['id']}").json()["output_file_id"] is None
    refused(http.post(f"/v1/batches/{batch.json()['id']}/cancel"), 409)
    assert http.delete(f"/v1/files/{kept}").json()["deleted"]


def test_files_fill_no_disk(http: Any) -> None:
    picture = io.BytesIO()
    Pil.effect_noise((90, 90), 90).save(picture, "PNG")
    kept = [http.post("/v1/files", files={"file": ("a.png", picture.getvalue())}) for _ in range(2)]
    assert kept[0].status_code == 200 and refused(kept[1], 413)["code"] == "storage_full"
    assert http.delete(f"/v1/files/{kept[0].json()['id']}").json()["deleted"]


def test_raw_bytes_that_are_no_http(server: tuple[str, Any]) -> None:
    port = int(server[0].rsplit(":", 1)[1])
    negative = b"POST /v1/files HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: -5\r\n\r\n"
    for sent in (b"\0" * 100, b"GET\r\n\r\n", negative):
        with socket.create_connection(("127.0.0.1", port), timeout=MOST) as raw:
            raw.sendall(sent)
            assert raw.recv(100).startswith((b"HTTP/1.1 4", b""))
    assert httpx.get(f"{server[0]}/health", timeout=MOST).status_code == 200


def test_metrics_and_the_document(http: Any) -> None:
    made = http.post("/v1/images/generations", json={"prompt": "a cat", "steps": 1})
    assert made.status_code == 200
    text = http.get("/metrics").text
    assert 'mediagen_jobs_total{modality="image",state="done"}' in text and "mediagen_http_seconds_bucket" in text
    assert 'mediagen_http_requests_total{method="POST",route="/v1/images/generations",status="200"}' in text
    document = http.get("/openapi.json").json()
    assert {"/v1/images/generations", "/v1/videos", "/v1/audio/generations", "/health"} <= set(document["paths"])
    body = document["paths"]["/v1/images/edits"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "multipart/form-data"}


def test_health_answers_while_it_works(http: Any) -> None:
    job = http.post("/v1/images/generations", json={"prompt": "a cat", "steps": 1000, "wait": False}).json()["id"]
    eventually(lambda: http.get(f"/v1/jobs/{job}").json()["status"] == "running")
    assert {http.get("/health").status_code for _ in range(30)} == {200}
    assert http.get(f"/v1/jobs/{job}").json()["status"] == "running"  # all were answered before its end
    http.delete(f"/v1/jobs/{job}")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_the_command_serves_logs_and_ends_politely(tiny_model: Path, tmp_path: Path) -> None:
    port, data = free_port(), tmp_path / "data"
    command = ["serve", "--port", str(port), "--data", str(data)]
    command += ["--no-shipped", "--model", f"tiny={tiny_model}", "--limit", "queue=3", "--grace", "1"]
    command += ["--device", "cpu", "--device", "cpu"]
    code = f"from mediagen.cli import main; import sys; sys.argv[1:] = {command}; main()"
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env={**os.environ})
    base = f"http://127.0.0.1:{port}"
    for _ in range(3000):
        try:
            assert len(httpx.get(f"{base}/health", timeout=MOST).json()["devices"]) == 2
            break
        except httpx.TransportError:
            assert child.poll() is None
            time.sleep(0.02)
    body = {"prompt": "a cat", "steps": 150, "wait": False}
    jobs = [httpx.post(f"{base}/v1/images/generations", timeout=MOST, json=body) for _ in range(4)]
    codes = [job.status_code for job in jobs]
    assert codes[:3] == [202] * 3 and codes[3] in (202, 429)
    child.send_signal(signal.SIGTERM)
    _, errors = child.communicate(timeout=MOST)
    lines = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    assert [line["message"] for line in lines][:1] == ["started"] and lines[-1]["message"] == "stopped"
    assert any(line["message"] == "request" and line["route"] == "/v1/images/generations" for line in lines)
    from mediagen.serve.store import Store

    store = Store(f"sqlite:///{data / 'jobs.sqlite'}")
    assert set(store.counts()) <= {"queued", "done"}  # finished or requeued
    store.close()


def test_the_command_refuses_in_one_line(
    tiny_model: Path, command: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mediagen.cli.serve import read_limits, read_model

    room = sys.modules[read_limits.__module__]  # its name in the room above is the command's
    monkeypatch.setattr(room, "_log", lambda: None)  # this process' own lines go on as they were
    assert read_limits(["queue=3", "time=1.5"]).time == 1.5
    for wrong in ("nothing=1", "queue=many", "queue=0", "queue"):
        with pytest.raises(ValueError, match="limit"):
            read_limits([wrong])
    with pytest.raises(ValueError, match="NAME=FOLDER"):
        read_model("x")
    for variant, said in (("fp16", "it must be one of published checkpoints"), ("tiny=fp16", "mediagen's own")):
        assert command("serve", "--no-shipped", "--model", f"tiny={tiny_model}", "--variant", variant) == 2
        assert said in capsys.readouterr().err


@pytest.mark.slow
def test_the_load_test_measures_what_it_says(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mediagen.bench import server as bench

    for name, value in (("CLIENTS", 12), ("QUEUE", 6), ("MANY", 10), ("SEVERAL", 4), ("WARM", 2)):
        monkeypatch.setattr(bench, name, value)
    table = bench.table("--no-shipped", "--model", f"tiny={with_preview(tiny_model, tmp_path / 'tiny')}")
    rows = [row.split(" | ") for row in table.splitlines()]
    assert {len(row) for row in rows} == {3} and "goal" in rows[0][2], table
    found = {what.strip("| "): figure for what, figure, _ in rows}
    codes = re.findall(r"(\d+) x (200|429)", found["12 clients at once, 6 may wait"])
    assert sum(int(count) for count, _ in codes) == 12, table
    assert found["previews of one picture"].startswith("4 in 4 steps"), table
    assert len(found["memory of all processes after 2, 4, 6, 8, 10 jobs"].split(",")) == 5, table
    [answered] = [line for line in table.splitlines() if "clients at once" in line]
    counts = [int(part.split(" x ")[0]) for part in answered.split("|")[2].split(",")]
    assert sum(counts) == 12  # nothing is lost
