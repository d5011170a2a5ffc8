"""OpenAI's images, models and files, driven by OpenAI's own client against a real server on the loopback."""

import base64
import io
import json
import socket
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("openai")
pytest.importorskip("httpx")

import httpx
import openai
from PIL import Image as Pil
from serving import (
    MANY,
    MOST,
    Holding,
    eventually,
    holding,
    served,
    settings,
    until,
    with_control,
    with_lora,
    with_preview,
)

import mediagen


@pytest.fixture(scope="module")
def server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    model = with_preview(tiny_model, tmp_path_factory.mktemp("previewed"))
    data = tmp_path_factory.mktemp("data")
    limits, loras = {"upload_pixels": 300_000, "body": 2_000_000}, with_lora(tmp_path_factory.mktemp("loras"))
    adapters = {"lora": loras, "control": with_control(model, tmp_path_factory.mktemp("controls"))}
    with served(settings(data, {"tiny": model}, limits=limits, adapters=adapters), Holding) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: tuple[str, Any]) -> Any:
    return openai.OpenAI(base_url=f"{server[0]}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def pipeline(tiny_model: Path) -> Any:
    return mediagen.load(tiny_model)


@pytest.fixture(scope="module")
def http(server: tuple[str, Any]) -> Iterator[Any]:
    with httpx.Client(base_url=server[0], timeout=MOST) as http:
        yield http


def pixels(encoded: str | bytes) -> np.ndarray:
    content = base64.b64decode(encoded) if isinstance(encoded, str) else encoded
    return np.array(Pil.open(io.BytesIO(content)).convert("RGB")).astype(int)


def png(size: tuple[int, int], alpha: Any = None, colour: str = "orange") -> bytes:
    picture = Pil.new("RGB", size, colour)
    if alpha is not None:
        picture.putalpha(Pil.fromarray(alpha))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def test_a_prompt_becomes_the_picture_that_the_library_makes(client: Any, pipeline: Any) -> None:
    answer = client.images.generate(prompt="a red ball", model="tiny", size="64x64", extra_body={"seed": 7, "steps": 3})
    assert answer.created > 0 and answer.size == "64x64" and answer.output_format == "png" and len(answer.data) == 1
    made = pipeline.generate("a red ball", seed=7, steps=3)
    assert (pixels(answer.data[0].b64_json) == made.pixels).all()


def test_all_the_extra_fields_reach_the_walk(client: Any, pipeline: Any) -> None:
    extra = {"seed": 1, "steps": 2, "guidance_scale": 5.5, "negative_prompt": "a cat", "solver": "heun"}
    answer = client.images.generate(prompt="a dog", extra_body=extra)
    made = pipeline.generate("a dog", seed=1, steps=2, guidance=5.5, negative="a cat", solver="heun")
    assert (pixels(answer.data[0].b64_json) == made.pixels).all()
    request = mediagen.request.Request.from_json(
        Pil.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json))).text["mediagen"]
    )
    assert (request.negative, request.walk.solver, request.walk.guidance) == ("a cat", "heun", 5.5)


def test_adapters_are_named_and_what_is_made_beside_them_does_not_see_them(
    client: Any, http: Any, pipeline: Any, server: Any
) -> None:
    folder = server[1].state.service.settings.adapters["lora"]
    assert [one["id"] for one in http.get("/v1/loras").json()["data"]] == ["bright", "style"]
    plain, extra = pipeline.generate("a cat", seed=1, steps=2), {"seed": 1, "steps": 2}
    asked = [
        ("style", [(folder / "style.safetensors", 1.0)]),
        (["style:0.5", {"name": "bright", "weight": 2}], [(folder / "style.safetensors", 0.5), (folder / "bright", 2)]),
    ]
    for said, meant in asked:
        answer = client.images.generate(prompt="a cat", extra_body=extra | {"lora": said})
        made = pipeline.generate("a cat", seed=1, steps=2, lora=meant)
        assert (pixels(answer.data[0].b64_json) == made.pixels).all() and (made.pixels != plain.pixels).any()
        text = Pil.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json))).text["mediagen"]
        assert '"./lora/style.safetensors"' in text and str(folder) not in text
        answer = client.images.generate(prompt="a cat", extra_body=extra)
        assert (pixels(answer.data[0].b64_json) == plain.pixels).all()
    for wrong in ("none", "../style", str(folder / "style.safetensors"), "style.safetensors", "owner/name"):
        with pytest.raises(openai.NotFoundError, match="there is no lora"):
            client.images.generate(prompt="a cat", extra_body={"lora": wrong})
    for wrong in ("style:x", "style:99", [{"name": "style", "path": "/"}], ["style"] * 9, 1):
        with pytest.raises(openai.BadRequestError, match="lora"):
            client.images.generate(prompt="a cat", extra_body={"lora": wrong})


def test_a_network_of_ours_leads_by_a_picture_that_was_made_here(client: Any, pipeline: Any, server: Any) -> None:
    """Also the picture of another job; a plain one after it is as one before."""
    extra = {"seed": 1, "steps": 2}
    first = client.images.generate(prompt="a cat", extra_body=extra)
    shown = {"name": "brightness", "image": first.id, "weight": 0.5, "end": 0.6}
    led = client.images.generate(prompt="a cat", extra_body=extra | {"control": shown})
    plain, net = (
        pipeline.generate("a cat", **extra),
        server[1].state.service.settings.adapters["control"] / "brightness",
    )
    made = pipeline.generate("a cat", **extra, control={"model": net, "image": plain, "weight": 0.5, "end": 0.6})
    assert (pixels(led.data[0].b64_json) == made.pixels).all() and (made.pixels != plain.pixels).any()
    again = client.images.generate(prompt="a cat", extra_body=extra)
    assert (pixels(again.data[0].b64_json) == plain.pixels).all()
    for body, said in (
        ({"words": "x"}, "no learned word 'x' here: none is offered"),
        ({"control": shown | {"mode": 1}}, "leave"),
    ):
        with pytest.raises(openai.APIStatusError, match=said):
            client.images.generate(prompt="a cat", extra_body=body)


@pytest.mark.parametrize(("format", "kind"), [("png", "PNG"), ("webp", "WEBP"), ("jpeg", "JPEG"), ("gif", "GIF")])
def test_formats_and_addresses(client: Any, http: Any, format: str, kind: str) -> None:
    extra = {"seed": 3, "steps": 1}
    answer = client.images.generate(
        prompt="a cat", n=2, output_format=format, response_format="url", extra_body=extra, output_compression=80
    )
    assert len(answer.data) == 2 and answer.data[0].b64_json is None
    got = http.get(answer.data[1].url)
    assert got.status_code == 200 and got.headers["content-type"] == f"image/{format}"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert Pil.open(io.BytesIO(got.content)).format == kind and pixels(got.content).shape == (64, 64, 3)
    assert http.get(answer.data[1].url.replace("results/1", "results/2")).status_code == 404


def all_of(service: Any, make: Any, **options: Any) -> list[Any]:
    """The events of a stream; its job goes on once the first of them is seen."""
    with holding(service.settings.data) as go:
        events = make(stream=True, **options)
        first = next(iter(events))
        go()
        return [first, *events]


def test_a_stream_shows_previews_and_then_the_picture(client: Any, pipeline: Any, server: Any) -> None:
    extra = {"seed": 7, "steps": 8}
    asked: dict[str, Any] = {"prompt": "a red ball", "partial_images": 3, "extra_body": extra}
    events = all_of(server[1].state.service, client.images.generate, **asked)
    kinds = [event.type for event in events]
    assert kinds == ["image_generation.partial_image"] * 3 + ["image_generation.completed"]
    assert [event.partial_image_index for event in events[:3]] == [0, 1, 2]
    assert pixels(events[0].b64_json).shape == (64, 64, 3)
    assert (pixels(events[3].b64_json) == pipeline.generate("a red ball", seed=7, steps=8).pixels).all()


def test_an_edit_keeps_what_its_mask_keeps(client: Any) -> None:
    alpha = np.full((64, 64), 255, np.uint8)
    alpha[:, 32:] = 0  # transparent: made anew
    source = png((64, 64))
    answer = client.images.edit(
        image=("in.png", source), mask=("mask.png", png((64, 64), alpha)), prompt="a cat", extra_body={"seed": 2}
    )
    made = pixels(answer.data[0].b64_json)
    assert (made[:, :32] == pixels(source)[:, :32]).all() and (made[:, 32:] != pixels(source)[:, 32:]).any()
    white = (alpha == 0).astype(np.uint8) * 255
    buffer = io.BytesIO()
    Pil.fromarray(white).save(buffer, "PNG")
    same = client.images.edit(
        image=("in.png", source), mask=("mask.png", buffer.getvalue()), prompt="a cat", extra_body={"seed": 2}
    )
    assert (pixels(same.data[0].b64_json) == made).all()


def test_a_variation_in_another_size_of_a_kept_file(client: Any, http: Any) -> None:
    kept = client.files.create(file=("../../etc/passwd", png((50, 40))), purpose="vision")
    assert client.files.retrieve(kept.id).filename == "../../etc/passwd"
    body = {"image": {"file_id": kept.id}, "size": "64x32", "steps": 2, "strength": 0.5, "output_format": "webp"}
    answer = http.post("/v1/images/variations", json=body)
    assert answer.status_code == 200, answer.text
    assert pixels(answer.json()["data"][0]["b64_json"]).shape == (32, 64, 3)
    assert [file.id for file in client.files.list()] == [kept.id]
    assert (pixels(client.files.content(kept.id).read()) == pixels(png((50, 40)))).all()
    assert client.files.delete(kept.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(kept.id)


def test_an_edit_is_streamed_too(client: Any, server: Any) -> None:
    extra = {"seed": 2, "steps": 4, "strength": 1.0}
    asked: dict[str, Any] = {"image": ("in.png", png((64, 64))), "prompt": "a cat", "extra_body": extra}
    events = all_of(server[1].state.service, client.images.edit, **asked, partial_images=2)
    assert [event.type for event in events] == ["image_edit.partial_image"] * 2 + ["image_edit.completed"]
    whole = client.images.edit(**asked, n=2)
    assert len(whole.data) == 2 and (pixels(whole.data[0].b64_json) == pixels(events[-1].b64_json)).all()


def test_a_zip_behind_a_picture_is_not_kept(client: Any) -> None:
    hidden = io.BytesIO()
    with zipfile.ZipFile(hidden, "w") as packed:
        packed.writestr("page.html", "<script>")
    kept = client.files.create(file=("a.png", png((50, 40)) + hidden.getvalue()), purpose="vision")
    content = client.files.content(kept.id).read()
    assert b"PK" not in content and b"page.html" not in content and pixels(content).shape == (40, 50, 3)
    other = client.files.create(file=("b.png", png((8, 8))), purpose="user_data")
    assert [file.id for file in client.files.list(order="asc")] == [kept.id, other.id]
    assert [file.id for file in client.files.list(purpose="vision")] == [kept.id]
    for file in (kept, other):
        client.files.delete(file.id)


def test_openais_own_variation(client: Any) -> None:
    answer = client.images.create_variation(image=("in.png", png((64, 64))), n=2, extra_body={"seed": 1, "steps": 2})
    assert len(answer.data) == 2


def test_models(client: Any) -> None:
    [model] = client.models.list().data
    assert model.id == "tiny" and client.models.retrieve("tiny").modality == "image" and "inpaint" in model.tasks
    assert model.takes == ["lora", "control", "refiner"]
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("../tiny")


@pytest.mark.parametrize(
    ("asked", "param", "message"),
    [
        ({"prompt": ""}, None, "empty"),
        ({"prompt": "a cat", "size": "63x64"}, None, "multiples of"),
        ({"prompt": "a cat", "size": "large"}, "size", "WIDTHxHEIGHT"),
        ({"prompt": "a cat", "size": "4096x4096"}, "size", "at most"),
        ({"prompt": "a cat", "n": 0}, "n", "greater than"),
        ({"prompt": "a cat", "n": 11}, "n", "at most 10"),
        ({"prompt": "a cat", "extra_body": {"seed": -1}}, "seed", "greater than"),
        ({"prompt": "a cat", "extra_body": {"steps": 2000}}, "steps", "less than"),
        ({"prompt": "a cat", "extra_body": {"solver": "magic"}}, None, "magic"),
        ({"prompt": "a cat", "extra_body": {"sampler": "magic"}}, "sampler", "not known"),
        ({"prompt": "a cat " * 2000}, "prompt", "characters"),
        ({"prompt": "a cat", "output_format": "svg"}, "output_format", "png"),
        ({"prompt": "a cat", "partial_images": 2}, "partial_images", "stream"),
    ],
)
def test_what_cannot_be_is_an_error_in_openais_shape(client: Any, asked: dict, param: str | None, message: str) -> None:
    with pytest.raises(openai.BadRequestError, match=message) as caught:
        client.images.generate(**asked)
    assert caught.value.type == "invalid_request_error" and caught.value.code
    assert param is None or caught.value.param == param


def test_a_model_that_is_not_there(client: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="there is no model"):
        client.images.generate(prompt="a cat", model="dall-e-3")
    with pytest.raises(openai.BadRequestError, match="no model that makes audio"):
        client.post("/audio/generations", body={"prompt": "jazz"}, cast_to=object)


def test_jobs_go_on_by_themselves_and_tell_how_far_they_are(client: Any, http: Any, server: Any) -> None:
    body = {"prompt": "a cat", "wait": False, "steps": 30, "seed": 5}
    kinds, steps, preview = [], [], None
    with holding(server[1].state.service.settings.data) as go:
        answer = http.post("/v1/images/generations", json=body)
        assert answer.status_code == 202 and answer.json()["status"] in ("queued", "running")
        name = answer.json()["id"]
        with http.stream("GET", f"/v1/jobs/{name}/events") as events:
            for line in events.iter_lines():
                if line.startswith("event:"):
                    kinds.append(line[7:])
                if '"step": ' in line and '"percent"' in line and kinds[-1] == "progress":
                    steps.append(int(line.partition('"step": ')[2].partition(",")[0]))
                if '"preview"' in line and preview is None:
                    preview = http.get(f"/v1/jobs/{name}/preview")
                    go()
    assert kinds[-1] == "done" and set(kinds[:-1]) == {"progress"}
    assert steps == sorted(steps) and max(steps) == 30
    assert preview is not None and preview.content.startswith(b"\x89PNG")
    job = http.get(f"/v1/jobs/{name}").json()
    assert job["status"] == "done" and job["asked"]["seed"] == 5 and job["progress"]["percent"] == 100
    assert http.get(job["results"][0]).content.startswith(b"\x89PNG")
    assert name in [one["id"] for one in http.get("/v1/jobs", params={"limit": 100, "status": "done"}).json()["data"]]
    assert http.delete(f"/v1/jobs/{name}").json()["deleted"] and http.get(f"/v1/jobs/{name}").status_code == 404
    assert not list(server[1].state.service.media.folder.glob(f"{name}*"))


def of_seed(service: Any, seed: int) -> list[Any]:
    return [one for one in service.store.all(limit=100) if one.asked["seed"] == seed]


def test_a_client_that_hangs_up_cancels_its_job(http: Any, server: Any) -> None:
    service, port = server[1].state.service, int(server[0].rpartition(":")[2])
    head = "POST /v1/images/generations HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    for streaming in (False, True):
        body = json.dumps({"prompt": "a cat", "steps": MANY, "seed": 90 + streaming, "stream": streaming})
        with holding(service.settings.data):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
                [record] = eventually(partial(of_seed, service, 90 + streaming))
                until(service, record.id, ("running",))
            assert until(service, record.id).state == "cancelled"


def test_cancelling_ends_who_waits_with_an_error(client: Any, http: Any, server: Any) -> None:
    failed: list[Exception] = []

    def wait() -> None:
        try:
            client.images.generate(prompt="a cat", extra_body={"steps": MANY, "seed": 77})
        except openai.APIStatusError as error:
            failed.append(error)

    thread = threading.Thread(target=wait)
    with holding(server[1].state.service.settings.data):
        thread.start()
        running = eventually(lambda: http.get("/v1/jobs", params={"status": "running"}).json()["data"])
        assert http.post(f"/v1/jobs/{running[0]['id']}/cancel").json()["status"] == "cancelled"
        thread.join(MOST)
    assert failed and failed[0].status_code == 409 and failed[0].code == "cancelled"
