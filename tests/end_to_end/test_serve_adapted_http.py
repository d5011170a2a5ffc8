"""Control networks, learned words, image prompts and refiners asked for over HTTP: what the library makes of them."""

import base64
import io
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("sqlalchemy")
pytest.importorskip("diffusers")
pytest.importorskip("accelerate")
pytest.importorskip("httpx")
sys.path.append(str(Path(__file__).parents[1] / "families"))

import controlled
import httpx
import numpy as np
import test_hints
import tiny
import tiny_clips
import tiny_image
from PIL import Image as Pil
from serving import MOST, served, settings, until
from test_serve_adapted import SIDE, WALK, laid

import mediagen
from mediagen.modalities import image, video
from mediagen.serve.models import Models

pytestmark = pytest.mark.slow
TEXT = {"prompt": "a red cat", "size": f"{SIDE}x{SIDE}", **WALK}


def sent(answer: Any) -> str:
    """The pixels of the one picture of an answer, as a hash."""
    assert answer.status_code == 200, answer.text
    return image.load(Pil.open(io.BytesIO(base64.b64decode(answer.json()["data"][0]["b64_json"])))).sha256


def told(answer: Any) -> tuple[int, str | None, str]:
    error = answer.json()["error"]
    return answer.status_code, error["param"], error["message"]


def shown(folder: Path) -> tuple[bytes, str]:
    """A picture as a file, and as a data: URL."""
    controlled.picture(1).save(folder / "shown.png")
    content = (folder / "shown.png").read_bytes()
    return content, f"data:image/png;base64,{base64.b64encode(content).decode()}"


def test_pictures_are_led(tmp_path: Path) -> None:
    """Whatever names the picture that is shown; two at once; a wrong one leaves nothing behind."""
    sd = tiny.sd(tmp_path / "sd", tiny.scheduler("DDIMScheduler", **tiny.DDIM))
    pipe = Models({"sd": sd}).open("sd")
    folders = laid(tmp_path / "adapters", pipe, "sd") | {"hint": tmp_path / "hints"}
    depth = test_hints.depth_model(folders["hint"] / "dpt")
    content, url = shown(tmp_path)
    with served(settings(tmp_path / "data", {"sd": sd}, adapters=folders)) as (place, app):
        http, media = httpx.Client(base_url=f"{place}/v1", timeout=MOST), app.state.service.media
        listed = [(one["object"], one["id"]) for one in http.get("/adapters").json()["data"]]
        assert ("control", "edges") in listed and ("hint", "canny") in listed and ("words", "sks") in listed
        assert [one["id"] for one in http.get("/loras").json()["data"]] == ["style"]

        def made(address: str = "images/generations", **body: Any) -> str:
            return sent(http.post(f"/{address}", json=TEXT | body))

        def library(**options: Any) -> str:
            return pipe.generate("a red cat", size=SIDE, **WALK, **options).sha256

        plain, picture = made(), controlled.picture(1)
        kept = http.post("/files", files={"file": ("shown.png", content)}).json()["id"]
        led = library(control=(folders["control"] / "edges", picture))
        assert plain == library() != led
        assert made(control={"name": "edges", "image": url}) == led == made(control={"name": "edges", "image": kept})
        form = {"control[name]": "edges", **{name: str(value) for name, value in TEXT.items()}}
        answer = http.post("/images/generations", data=form, files={"control[image]": ("x.png", content)})
        assert sent(answer) == led
        both = [
            {"name": "edges", "image": kept, "hint": "canny"},
            {"name": "shade", "image": url, "start": 0.5, "weight": 2},
        ]
        options = [{"model": folders["control"] / one["name"], **one, "image": picture} for one in both]
        for one in options:
            one.pop("name")
        assert made(control=both) == library(control=options) != led
        assert made(words={"red": "sks"}, image_prompt={"name": "looks", "image": kept, "weight": 0.5}) == library(
            words={"red": folders["words"] / "sks.safetensors"},
            image_prompt=(folders["image_prompt"] / "looks" / "ip.safetensors", picture, 0.5),
        )
        seen = {"name": "edges", "image": url, "hint": "depth:dpt"}
        near = library(control={"model": folders["control"] / "edges", "image": picture, "hint": f"depth:{depth}"})
        assert made(control=seen) == near != led
        varied = pipe.vary(picture, "a red cat", strength=0.6, **WALK, control=options[0]).sha256
        assert made("images/variations", image=kept, control=both[0]) == varied
        assert made() == plain
        before = set(media.given())
        for wrong, status, param, message in (
            ({"control": {"name": "../control/edges", "image": url}}, 404, "control", "here: edges, shade"),
            ({"control": {"name": "edges", "image": url, "hint": "depth:/etc"}}, 404, "control", "depth:dpt"),
            ({"control": {"name": "edges"}}, 400, "control.0.image", "is missing"),
            ({"control": {"name": "edges", "image": "http://127.0.0.1:1/x.png"}}, 404, "control.0.image", "no file"),
            ({"control": {"name": "edges", "image": "/etc/passwd"}}, 404, "control.0.image", "no file or job"),
            ({"control": {"name": "edges", "image": "data:;base64,aaaa"}}, 400, "control.0.image", "cannot be read"),
            ({"control": {"name": "edges", "image": url, "mode": 1}}, 400, None, "is no union network"),
            ({"image_prompt": {"name": "edges", "image": url}}, 404, "image_prompt", "here: looks"),
            ({"words": ["sks"]}, 400, None, "is in no prompt"),
            ({"refiner": "none"}, 404, "refiner", "for image: sd"),
        ):
            got = told(http.post("/images/generations", json=TEXT | wrong))
            assert got[:2] == (status, param) and message in got[2] and str(tmp_path) not in got[2], (wrong, got)
        assert set(media.given()) == before
        http.close()


def test_a_refiner(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `ensemble` makes of the same two, also with a LoRA; then the base alone again; and a replay."""
    plan = tiny.scheduler("EulerDiscreteScheduler", **tiny.LEADING)
    models = {"base": tiny.sdxl(tmp_path / "base", plan), "refiner": tiny_image.sdxl_refiner(tmp_path / "two", plan)}
    models["other"] = tiny_model
    base, refiner = (Models(models).open(name) for name in ("base", "refiner"))
    folders = laid(tmp_path / "adapters", base, "sdxl")
    asked = TEXT | {"model": "base", "steps": 5, "wait": True}
    with served(settings(tmp_path / "data", models, adapters=folders)) as (place, app):
        http = httpx.Client(base_url=f"{place}/v1", timeout=MOST)

        def made(**body: Any) -> str:
            return sent(http.post("/images/generations", json=asked | body))

        def library(pipe: Any, **options: Any) -> str:
            return pipe.generate("a red cat", size=SIDE, seed=3, steps=5, **options).sha256

        alone, lora = library(base), (folders["lora"] / "style.safetensors", 1.0)
        picture, url = controlled.picture(1), shown(tmp_path)[1]
        assert made() == alone
        assert made(refiner="refiner") == library(mediagen.ensemble(base, refiner)) != alone
        half = mediagen.ensemble(base, refiner, share=0.5)
        assert made(refiner="refiner", share=0.5, guidance_scale_2=3) == library(half, guidance_2=3.0)
        seen = {"image_prompt": {"name": "looks", "image": url}}
        led = seen | {"control": {"name": "edges", "image": url}}
        options = {"image_prompt": (folders["image_prompt"] / "looks" / "ip.safetensors", picture)}
        assert made(refiner="refiner", share=0.5, **seen) == library(half, **options)
        options |= {"control": (folders["control"] / "edges", picture)}
        assert made(refiner="refiner", share=0.5, **led) == library(half, **options)
        assert made(refiner="refiner", share=0.5, lora="style") == library(half, lora=[lora])
        assert made() == alone
        for wrong, param, message in (
            ({"refiner": "other"}, "refiner", "they share no walk"),
            ({"refiner": "refiner", "share": 2}, "share", "less than 1"),
        ):
            got = told(http.post("/images/generations", json=asked | wrong))
            assert got[:2] == (400, param) and message in got[2], got
        http.close()
        newest = app.state.service.store.all(limit=2)[1]
        monkeypatch.chdir(app.state.service.media.folder)
        again = mediagen.replay(newest.results[0])
        assert again.equal and again.request.refined.share == 0.5 and again.request.lora[0].path.startswith("./lora/")


def test_a_clip_is_led_by_a_picture_and_by_a_clip(tmp_path: Path) -> None:
    plan = tiny.scheduler("DDIMScheduler", **tiny_clips.ANIMATED, **tiny_clips.LINSPACE)
    models = {"moving": tiny_clips.animatediff(tmp_path / "model", plan)}
    pipe = Models(models).open("moving")
    still = mediagen.load(tiny.sd(tmp_path / "still", tiny.scheduler("DDIMScheduler", **tiny.DDIM)))
    folders = {"control": tmp_path / "controls"}
    net = controlled.drawn(folders["control"] / "edges", "sd", controlled.network(still), 11)
    controlled.picture(1).save(tmp_path / "shown.png")
    plain = pipe.generate("a red cat", size=SIDE, **WALK)
    noise = np.random.default_rng(1).integers(0, 256, plain.frames.shape, np.uint8)
    video.Video(noise, plain.rate).save(tmp_path / "shown.mkv")
    body = {name: str(value) for name, value in TEXT.items()}
    with served(settings(tmp_path / "data", models, adapters=folders)) as (place, app):
        http, service = httpx.Client(base_url=f"{place}/v1", timeout=MOST), app.state.service
        for file in ("shown.png", "shown.mkv", None):
            form = {"control[name]": "edges", "control[weight]": "0.8"} if file else {}
            files = {"control[image]": (file, (tmp_path / file).read_bytes())} if file else None
            answer = http.post("/videos", data=body | form, files=files)
            assert answer.status_code == 200, answer.text
            record = until(service, answer.json()["id"])
            assert record.state == "done", record.reason
            options = {"control": (net, tmp_path / file, 0.8)} if file else {}
            made = pipe.generate("a red cat", size=SIDE, **WALK, **options).sha256
            assert video.load(service.media.folder / record.results[0]).sha256 == made
            assert (made == plain.sha256) is (file is None)
        video.Video(noise[:2], plain.rate).save(tmp_path / "short.mkv")
        form, short = {"control[name]": "edges"}, (tmp_path / "short.mkv").read_bytes()
        answer = http.post("/videos", data=body | form, files={"control[image]": ("short.mkv", short)})
        said = "control.0.image has 2 frames, the clip 16: give as many, or one picture"
        assert told(answer) == (400, "control.0.image", said)
        http.close()
