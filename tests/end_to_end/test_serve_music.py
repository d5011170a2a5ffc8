"""Music and video over HTTP: generations, edits, live streams that follow their prompt, OpenAI's videos."""

import asyncio
import base64
import io
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("openai")
pytest.importorskip("httpx")
pytest.importorskip("websockets")

import httpx
import openai
import websockets
from serving import MOST, Holding, eventually, holding, served, settings

import mediagen
from mediagen.modalities import audio, video


@pytest.fixture(scope="module")
def server(tiny_audio: Path, tiny_video: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    models = {"tiny-audio": tiny_audio, "tiny-video": tiny_video}
    limits = {"sound": 8, "film": 4, "streams": 1, "upload_seconds": 20}
    asked = settings(tmp_path_factory.mktemp("data"), models, limits=limits, ahead=1000.0)
    with served(asked, Holding) as running:
        yield running


@pytest.fixture(scope="module")
def http(server: tuple[str, Any]) -> Iterator[Any]:
    with httpx.Client(base_url=server[0], timeout=MOST) as http:
        yield http


@pytest.fixture(scope="module")
def client(server: tuple[str, Any]) -> Any:
    return openai.OpenAI(base_url=f"{server[0]}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def musician(tiny_audio: Path) -> Any:
    return mediagen.load(tiny_audio)


def sound(content: bytes, tmp_path: Path) -> Any:
    file = tmp_path / "heard"
    file.write_bytes(content)
    return audio.load(file)


def clip(answer: Any, tmp_path: Path) -> Any:
    assert answer.status_code == 200, answer.text
    return sound(base64.b64decode(answer.json()["data"][0]["b64_json"]), tmp_path)


@pytest.fixture(scope="module")
def wave(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Two seconds of a rising tone, as a file."""
    t = np.arange(16_000) / 8000
    samples = np.tile(0.3 * np.sin(2 * np.pi * (200 + 100 * t) * t), (2, 1)).astype(np.float32)
    file = audio.Audio(samples, 8000).save(tmp_path_factory.mktemp("wave") / "tone.wav", bits=32)
    return file.read_bytes()


def test_a_prompt_becomes_the_clip_that_the_library_makes(http: Any, musician: Any, tmp_path: Path) -> None:
    body = {"prompt": "slow jazz", "seconds": 1.5, "seed": 7, "output_format": "flac"}
    answer = http.post("/v1/audio/generations", json=body)
    made = musician.generate("slow jazz", seconds=1.5, seed=7)
    assert clip(answer, tmp_path).sha256 == made.sha256 and answer.json()["seconds"] == 1.5
    timeline = http.post("/v1/audio/generations", json=body | {"prompt": [[0, "piano"], [1, "drums"]]})
    assert clip(timeline, tmp_path).seconds == 1.5


@pytest.mark.parametrize(
    ("address", "body", "kind"),
    [
        ("/v1/audio/generations", {"prompt": "rain", "seconds": 1, "response_format": "binary"}, "audio/wav"),
        ("/v1/audio/generate", {"input": "rain", "audio_length": 1, "response_format": "mp3"}, "audio/mpeg"),
        ("/v1/sound-generation", {"text": "rain", "duration_seconds": 1, "prompt_influence": 0.3}, "audio/mpeg"),
    ],
)
def test_the_names_that_others_use_answer_with_a_file(
    http: Any, tmp_path: Path, address: str, body: dict, kind: str
) -> None:
    answer = http.post(address, json=body | {"steps": 1})
    assert answer.status_code == 200 and answer.headers["content-type"] == kind, answer.text
    assert abs(sound(answer.content, tmp_path).seconds - 1) < 0.1
    assert answer.headers["x-seed"].isdigit() and answer.headers["x-job-id"].startswith("audio_")


def test_progress_shows_what_will_be_heard(http: Any, server: tuple[str, Any]) -> None:
    body = {"prompt": "rain", "seconds": 1, "steps": 6, "n": 2, "wait": False}
    seen, pictures = [], []
    with holding(server[1].state.service.settings.data) as go:
        job = http.post("/v1/audio/generations", json=body).json()["id"]
        with http.stream("GET", f"/v1/jobs/{job}/events") as events:
            for line in events.iter_lines():
                if line.startswith("data: ") and '"preview"' in line:
                    seen.append(json.loads(line[6:]))
                    if len(seen) == 1:
                        pictures = [http.get(f"/v1/jobs/{job}/preview", params={"number": n}) for n in range(2)]
                        go()
    assert {progress["previews"] for progress in seen} == {2} and {3, 4, 5, 6} <= {one["step"] for one in seen}
    assert all(picture.content.startswith(b"\x89PNG") for picture in pictures)


def test_a_loop_of_bars(http: Any, tmp_path: Path) -> None:
    body = {"prompt": "house drums", "bars": 1, "bpm": 120, "steps": 1}
    assert clip(http.post("/v1/audio/generations", json=body), tmp_path).seconds == 2


def test_edits_and_extensions_keep_every_other_sample(http: Any, wave: bytes, tmp_path: Path) -> None:
    before = sound(wave, tmp_path).samples
    files = {"audio": ("tone.wav", wave)}
    form = {"prompt": "drums", "start": "0.5", "end": "1.0", "seed": "3", "steps": "1", "output_format": "flac"}
    mended = clip(http.post("/v1/audio/edits", files=files, data=form), tmp_path).samples
    outside = np.r_[0:3900, 8100:16000]
    assert np.abs(mended[:, outside] - before[:, outside]).max() < 1e-4
    assert np.abs(mended[:, 4000:8000] - before[:, 4000:8000]).max() > 1e-3
    form = {"prompt": "drums", "right": "1.0", "steps": "1", "output_format": "flac"}
    longer = clip(http.post("/v1/audio/extensions", files=files, data=form), tmp_path).samples
    assert longer.shape[1] == 24_000 and np.abs(longer[:, :15_800] - before[:, :15_800]).max() < 1e-4
    form = {"prompt": "drums", "strength": "0.5", "steps": "2"}
    assert clip(http.post("/v1/audio/variations", files=files, data=form), tmp_path).seconds == 2


def test_what_a_job_made_is_edited_by_its_id(http: Any, tmp_path: Path) -> None:
    made = http.post("/v1/audio/generations", json={"prompt": "rain", "seconds": 1, "steps": 1}).json()["id"]
    body = {"audio": made, "prompt": "rain", "left": 0.5, "steps": 1}
    assert clip(http.post("/v1/audio/extensions", json=body), tmp_path).seconds == 1.5
    wrong = http.post("/v1/audio/extensions", json=body | {"audio": "audio_nothing"})
    assert wrong.status_code == 404 and wrong.json()["error"]["param"] == "audio"


@pytest.mark.parametrize(
    ("address", "body", "status", "message"),
    [
        ("generations", {"prompt": "x", "seconds": 9}, 400, "at most 8"),
        ("generations", {"prompt": "x", "seconds": 2, "bars": 2}, 400, "leave out seconds"),
        ("generations", {"prompt": [[1, "x"]]}, 400, "rise from 0"),
        ("edits", {"prompt": "x", "start": 0, "end": 1}, 400, "audio is missing"),
        ("edits", {"prompt": "x", "audio": "data:audio/wav;base64,AAAA", "start": 0, "end": 1}, 400, "cannot be read"),
        ("edits", {"prompt": "x", "audio": "/etc/passwd", "start": 0, "end": 1}, 404, "no file or job"),
        ("generate", {"prompt": "x", "input": "y"}, 400, "prompt, or in input"),
        ("speech", {"model": "tts-1", "input": "hello", "voice": "alloy"}, 400, "no speech"),
        ("stream", {"prompt": "x", "seconds": 4000}, 400, "3600 s at most"),
        ("stream", {"prompt": "x", "n": 2}, 400, "n 1"),
    ],
)
def test_refusals(http: Any, address: str, body: dict, status: int, message: str) -> None:
    answer = http.post(f"/v1/audio/{address}", json=body)
    assert answer.status_code == status and message in answer.json()["error"]["message"], answer.text


def test_speech_is_refused_in_words_that_openais_client_understands(client: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="no speech") as caught:
        client.audio.speech.create(model="tts-1", voice="alloy", input="hello")
    assert caught.value.code == "model_not_supported"


@pytest.mark.parametrize("format", ["wav", "mp3"])
def test_a_stream_over_http_is_what_the_library_streams(http: Any, musician: Any, tmp_path: Path, format: str) -> None:
    body = {"prompt": "slow jazz", "seconds": 4, "seed": 5, "steps": 1, "output_format": format}
    with http.stream("POST", "/v1/audio/stream", json=body) as answer:
        assert answer.status_code == 200 and answer.headers["x-rate"] == "8000"
        busy = httpx.post(f"{str(http.base_url).rstrip('/')}/v1/audio/stream", json=body, timeout=MOST)
        assert busy.status_code == 429 and busy.headers["retry-after"]
        content = answer.read()
    heard = sound(content, tmp_path)
    if format == "mp3":
        assert abs(heard.seconds - 4) < 0.2
    else:
        parts = list(musician.live("slow jazz", seconds=4, seed=5, steps=1))
        assert np.abs(heard.samples - np.concatenate([part.samples for part in parts], 1)).max() < 1e-4


def test_a_stream_follows_its_prompt(http: Any) -> None:
    body = {"prompt": "slow jazz", "seconds": 600, "steps": 1, "seed": 5, "output_format": "pcm"}
    with http.stream("POST", "/v1/audio/stream", json=body) as answer:
        chunks = answer.iter_raw()
        next(chunks)
        place = f"{str(http.base_url).rstrip('/')}/v1/audio/stream/{answer.headers['x-stream-id']}"
        changed = httpx.post(place, json={"prompt": "house drums", "guidance_scale": 3}, timeout=MOST).json()
        assert changed["prompt"] == "house drums"
        for _ in zip(chunks, range(400), strict=False):
            heard = httpx.get(place, timeout=MOST).json()["heard"]
            if len(heard) > 1:
                break
        assert heard[-1]["prompts"] == [["house drums", 1.0]] and heard[-1]["guidance"] == 3 and heard[-1]["second"] > 0
        assert httpx.post(place, json={"prompt": ""}, timeout=MOST).status_code == 400
        assert httpx.delete(place, timeout=MOST).json()["deleted"]
        for _ in chunks:
            pass
    eventually(lambda: httpx.get(place, timeout=MOST).status_code == 404)


def test_a_stream_over_a_websocket_follows_its_prompt(server: tuple[str, Any]) -> None:
    async def talk() -> list[dict]:
        told = []
        async with websockets.connect(server[0].replace("http", "ws") + "/v1/audio/stream") as socket:
            await socket.send(json.dumps({"prompt": "slow jazz", "seconds": 600, "steps": 1, "seed": 5}))
            sound, asked = b"", False
            async for message in socket:
                if isinstance(message, bytes):
                    sound += message
                    if not asked:
                        asked = True
                        await socket.send("no json")
                        await socket.send(json.dumps({"bpm": 9000}))
                        await socket.send(json.dumps({"prompt": "house drums"}))
                    continue
                told.append(json.loads(message))
                if told[-1]["type"] == "changed":
                    await socket.send(json.dumps({"type": "stop"}))
            assert len(sound) % 4 == 0 and len(sound) > 8000
        return told

    told = asyncio.run(talk())
    kinds = [one["type"] for one in told]
    assert kinds == ["start", "error", "error", "changed", "end"]
    assert told[0]["rate"] == 8000
    assert told[1]["error"]["code"] == "invalid_json" and "bpm" in told[2]["error"]["message"]
    assert told[3]["prompt"] == "house drums"


def test_a_websocket_is_told_what_is_wrong(server: tuple[str, Any]) -> None:
    async def talk(first: str) -> dict:
        async with websockets.connect(server[0].replace("http", "ws") + "/v1/audio/stream") as socket:
            await socket.send(first)
            return json.loads(await socket.recv())

    wrong = ('{"prompt": ""}', '{"prompt": "x", "nonsense": 1}', '{"prompt": "x", "seconds": NaN}')
    for first in ("", "[]", "{}", *wrong):
        assert asyncio.run(talk(first))["type"] == "error"


# ---- video


def film(content: bytes, tmp_path: Path, suffix: str = ".mp4") -> Any:
    file = tmp_path / f"seen{suffix}"
    file.write_bytes(content)
    return video.load(file)


def test_videos_with_openais_own_helpers(client: Any, tmp_path: Path, tiny_video: Path) -> None:
    made = client.videos.create_and_poll(prompt="a ball rolls", seconds="1", size="32x32", extra_body={"seed": 3})
    assert (made.status, made.progress, made.seconds, made.size) == ("completed", 100, "1", "32x32")
    content = client.videos.download_content(made.id).read()
    seen = film(content, tmp_path)
    assert seen.size == (32, 32) and seen.count == 8
    thumbnail = client.videos.download_content(made.id, variant="thumbnail").read()
    sheet = client.videos.download_content(made.id, variant="spritesheet").read()
    assert thumbnail[8:12] == b"WEBP" and sheet[:2] == b"\xff\xd8"
    exact = client.get(f"/videos/{made.id}/content", cast_to=httpx.Response, options={"params": {"format": "mkv"}})
    direct = mediagen.load(tiny_video).generate("a ball rolls", seconds=1, size=32, seed=3)
    assert film(exact.content, tmp_path, ".mkv").sha256 == direct.sha256

    other = client.videos.remix(made.id, prompt="a cat")
    while (other := client.videos.retrieve(other.id)).status in ("queued", "in_progress"):
        time.sleep(0.02)
    assert other.status == "completed" and other.remixed_from_video_id == made.id
    assert [one.id for one in client.videos.list(limit=1)][:2] == [other.id, made.id]
    oldest = [one.id for one in client.videos.list(limit=1, order="asc")]
    assert oldest.index(made.id) == oldest.index(other.id) - 1
    assert client.videos.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(made.id)


def test_films_and_sounds_without_end_are_left(http: Any, tmp_path: Path) -> None:
    """Twenty seconds are read; what their heads say of their length does not matter."""
    from mediagen.modalities.video import Video

    frames = np.zeros((8 * 25, 32, 32, 3), np.uint8)
    film = Video(frames, 8.0, None).save(tmp_path / "long.mp4").read_bytes()
    wave = audio.Audio(np.zeros((1, 8000 * 25), np.float32), 8000).save(tmp_path / "long.wav").read_bytes()
    unended = wave[:4] + b"\xff" * 4 + wave[8:40] + b"\xff" * 4 + wave[44:]
    raw = b"\xff\xfb\x90\x00" * 400_000  # heads of frames of MP3 and nothing else
    for content, kinds in ((film, ("video",)), (wave, ("audio",)), (unended, ("audio",)), (raw, ("audio", "video"))):
        for kind in kinds:
            answer = http.post("/v1/files", files={"file": ("a", content)}, data={"kind": kind})
            assert answer.status_code == 400, answer.text
            error = answer.json()["error"]
            assert content is raw or (error["code"] == "file_too_large" and "longer than 20 s" in error["message"])
    fits = Video(frames[:8], 8.0, None).save(tmp_path / "short.mp4").read_bytes()
    kept = http.post("/v1/files", files={"file": ("a", fits)}, data={"kind": "video"})
    assert kept.status_code == 200 and http.delete(f"/v1/files/{kept.json()['id']}").status_code == 200


def test_a_video_begins_with_a_picture(client: Any, tmp_path: Path) -> None:
    from PIL import Image as Pil

    buffer = io.BytesIO()
    Pil.new("RGB", (32, 32), "orange").save(buffer, "PNG")
    reference = ("first.png", buffer.getvalue())
    extra = {"num_frames": 9, "fps": 8, "steps": 1}
    made = client.videos.create(prompt="a ball", input_reference=reference, size="32x32", extra_body=extra)
    while (made := client.videos.retrieve(made.id)).status in ("queued", "in_progress"):
        time.sleep(0.02)
    assert made.status == "completed", made.error
    seen = client.get(f"/videos/{made.id}/content", cast_to=httpx.Response, options={"params": {"format": "mkv"}})
    frames = film(seen.content, tmp_path, ".mkv").frames
    assert len(frames) == 9 and (frames[0] == (255, 165, 0)).all() and (frames[5] != (255, 165, 0)).any()
    clip = ("a.mkv", seen.content)
    longer = client.videos.extend(video=clip, prompt="a ball", seconds="1", extra_body={"steps": 1})
    between = client.videos.edit(video=clip, prompt="a cat", extra_body={"start": 0.5, "end": 1, "steps": 1})
    body = {"video": {"id": made.id}, "prompt": "a ball", "seconds": 1, "steps": 1}  # which its own method refuses
    named = client.post("/videos/extensions", body=body, cast_to=dict)["id"]
    for job in (longer.id, between.id, named):
        ended = client.videos.poll(job, poll_interval_ms=20)
        assert ended.status == "completed", ended.error
        assert ended.seconds == ("1.125" if job == between.id else "2.125")


def test_an_animated_gif_is_made_by_a_model_of_video(client: Any) -> None:
    from PIL import Image as Pil

    body = {"frame_count": 9, "frame_duration_ms": 120, "seed": 1, "steps": 1}
    answer = client.images.generate(prompt="a ball rolls", output_format="gif", size="32x32", extra_body=body)
    assert answer.output_format == "gif" and answer.size == "32x32"
    gif = Pil.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json)))
    assert (gif.format, gif.n_frames, gif.size, gif.info["duration"]) == ("GIF", 9, (32, 32), 120)
    buffer = io.BytesIO()
    Pil.new("RGB", (32, 32), "orange").save(buffer, "PNG")
    first = ("first.png", buffer.getvalue())
    answer = client.images.edit(image=first, prompt="it rolls", output_format="gif", size="32x32", extra_body=body)
    gif = Pil.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json))).convert("RGB")
    assert all(abs(a - b) < 12 for a, b in zip(gif.getpixel((16, 16)), (255, 165, 0), strict=True))
    with pytest.raises(openai.BadRequestError, match="of a gif"):
        client.images.generate(prompt="a ball", extra_body=body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"prompt": "x", "seconds": 5}, "at most 4"),
        ({"prompt": "x", "seconds": 1, "num_frames": 8}, "leave out one"),
        ({"prompt": "x", "size": "33x32"}, "multiples of"),
        ({"prompt": "x", "input_reference": "http://localhost/x.png"}, "no file or job"),
    ],
)
def test_videos_that_cannot_be(http: Any, body: dict, message: str) -> None:
    answer = http.post("/v1/videos", json=body)
    assert answer.status_code in (400, 404) and message in answer.json()["error"]["message"], answer.text


def test_a_stream_that_breaks_says_so_and_gives_its_place_back(server: tuple[str, Any]) -> None:
    async def talk() -> list[dict]:
        told = []
        async with websockets.connect(server[0].replace("http", "ws") + "/v1/audio/stream") as socket:
            await socket.send(json.dumps({"prompt": "slow jazz", "seconds": 600, "steps": 1}))
            async for message in socket:
                if isinstance(message, str):
                    told.append(json.loads(message))
                elif len(told) == 1:  # it is heard: now what makes it is killed
                    os.kill(server[1].state.service.workers[0].studio.pid, signal.SIGKILL)
        return told

    for _ in range(2):  # there is one place
        told = asyncio.run(talk())
        assert [one["type"] for one in told] == ["start", "error"]
        assert told[1]["error"]["code"] == "stream_lost"
