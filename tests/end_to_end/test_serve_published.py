"""A published checkpoint beside the shipped models: what is said of it, and a job of it."""

import asyncio
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("sqlalchemy")
pytest.importorskip("diffusers")
pytest.importorskip("accelerate")
sys.path.append(str(Path(__file__).parents[1] / "families"))

import tiny
import tiny_clips
import tiny_image
import tiny_musicgen
from serving import MOST, asked, served, settings, until

import mediagen
from mediagen.capabilities import capabilities, card_of, cards, takes
from mediagen.cli.serve import read_variants
from mediagen.families._loading import multiplies_bfloat16
from mediagen.modalities import image, video
from mediagen.serve.errors import Refused
from mediagen.serve.fields import fitted
from mediagen.serve.images import Edit, Generation, _strength
from mediagen.serve.limits import Limits
from mediagen.serve.media import Media
from mediagen.serve.models import Models, Offers
from mediagen.serve.music import Music, _music
from mediagen.serve.records import Record
from mediagen.serve.service import Service
from mediagen.serve.studio import Studio
from mediagen.serve.videos import Film


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.sd(tmp_path_factory.mktemp("sd"), tiny.scheduler("DDIMScheduler", **tiny.DDIM))


def test_it_is_loaded_as_the_commands_load_it(sd: Path) -> None:
    """In bfloat16 where that is quick; its card is made of its configurations."""
    [offer] = Offers({"sd": sd}).offers
    assert (offer.modality, offer.card["size"], offer.card["defaults"]["guidance"]) == ("image", [16, 16], 7.5)
    assert "inpaint" in offer.tasks and offer.made > 0
    model = Models({"sd": sd}).open("sd").model
    assert model.hash.endswith("-bfloat16") is multiplies_bfloat16("cpu")


def test_a_request_says_what_the_second_network_is_guided_by() -> None:
    body = {"prompt": "a cat", "guidance_scale_2": 2.0, "boundary": 0.5}
    for kind in (Film, Music, Generation):
        walk = kind(**body).walk
        assert (walk["guidance"], walk["guidance_2"], walk["boundary"]) == (None, 2.0, 0.5)
        empty = kind(prompt="a cat", guidance_scale_2="", boundary="").walk
        assert empty["guidance_2"] is empty["boundary"] is None
    for wrong in ({"guidance_scale_2": 101}, {"boundary": 0}, {"boundary": 1}):
        with pytest.raises(Refused, match=next(iter(wrong))):
            fitted(Film, body | wrong)


@pytest.mark.slow
def test_the_server_makes_what_the_library_makes(sd: Path, tmp_path: Path) -> None:
    """Of Wan 2.2's two experts, each with its guidance; a model of one network refuses it in one line."""
    httpx = pytest.importorskip("httpx")
    plan = tiny.scheduler("UniPCMultistepScheduler", **tiny.FLOWING)
    wan = tiny.wan(tmp_path / "wan", plan, experts=2)
    asked = {"prompt": "a red cat", "seed": 5, "steps": 3, "guidance_scale": 4.0, "size": "16x16", "num_frames": 5}
    with (
        served(settings(tmp_path / "data", {"wan": wan, "sd": sd})) as (place, app),
        httpx.Client(timeout=MOST) as http,
    ):
        cards = {card["id"]: card for card in http.get(f"{place}/v1/models").json()["data"]}
        assert cards["wan"]["boundary"] == 0.875 and "boundary" not in cards["sd"]
        pipe, all_made = Models({"wan": wan}).open("wan"), set()
        for second in ({}, {"guidance_scale_2": 2.0}, {"guidance_scale_2": 2.0, "boundary": 0.7}):
            answer = http.post(f"{place}/v1/videos", json=asked | second)
            assert answer.status_code == 200, answer.text
            record = until(app.state.service, answer.json()["id"])
            own = {name.replace("guidance_scale", "guidance"): value for name, value in second.items()}
            made = pipe.generate("a red cat", seed=5, steps=3, guidance=4.0, size=16, seconds=5 / 16, **own)
            assert video.load(app.state.service.media.folder / record.results[0]).sha256 == made.sha256
            all_made.add(made.sha256)
        assert len(all_made) == 3
        body = {"prompt": "a dog", "size": "16x16", "guidance_scale_2": 2.0}
        answer = http.post(f"{place}/v1/images/generations", json=body)
        said = answer.json()["error"]["message"]
        assert answer.status_code == 400 and "has one network: give the boundary" in said and "\n" not in said


@pytest.fixture(scope="module")
def half(sd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with the weights of its U-Net under the name of a variant alone."""
    folder = Path(shutil.copytree(sd, tmp_path_factory.mktemp("half") / "half"))
    [file] = (folder / "unet").glob("*.safetensors")
    file.rename(file.with_suffix(".fp16.safetensors"))
    return folder


def test_files_of_a_variant_are_read_where_it_is_said(sd: Path, half: Path, tiny_model: Path) -> None:
    models = {"tiny": tiny_model, "half": half}
    assert read_variants(["fp16"], models) == read_variants(["half=fp16"], models) == {"half": "fp16"}
    assert read_variants(["fp16", "half=fp8"], models) == {"half": "fp8"} and read_variants([], models) == {}
    assert Models(models, variants={"half": "fp16"}).open("half").model.modality == "image"
    with pytest.raises(Refused, match="the server's log says why"):
        Models(models).open("half")
    for wrong, said in (
        ({"half": "fp32"}, "the checkpoint half has no weights of the variant 'fp32'; those it has are 'fp16'"),
        ({"tiny": "fp16"}, "variant is for published checkpoints, and tiny is a model of mediagen's own"),
        ({"other": "fp16"}, "variant 'fp16' is of the model 'other', and served are: tiny, half"),
    ):
        with pytest.raises(ValueError, match=said):
            Offers(models, wrong)
    for text, there in (("fp16", {"tiny": tiny_model}), ("", models), ("half=", models), ("=fp16", models)):
        with pytest.raises(ValueError, match=f"--variant is '{text}'; it must be"):
            read_variants([text], there)


@pytest.mark.slow
def test_a_checkpoint_is_served(half: Path, tmp_path: Path) -> None:
    service = Service(settings(tmp_path / "data", {"half": half}, variants={"half": "fp16"}))
    service.start()
    try:
        record = until(service, asyncio.run(service.submit(asked(steps=2, seed=3))).id)
        assert record.state == "done"
        assert image.load(service.media.folder / record.results[0]).size == (16, 16)
    finally:
        service.stop()


def test_what_is_said_of_others(tmp_path: Path) -> None:
    folder = tiny_musicgen.musicgen(tmp_path / "musicgen")
    card, able = card_of(folder), capabilities(folder)
    assert card["modality"] == "audio" and card["rate"] == tiny_musicgen.RATE and "size" not in card
    assert [task for task, reason in able.items() if not reason] == ["generate", "extend"]
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match="unknown model"):
        card_of(tmp_path / "nothing")


def test_what_may_be_put_on_a_model_is_known_without_its_weights(sd: Path, tmp_path: Path) -> None:
    """As the loaded model has it; nothing of it where codes are written."""
    flow = tiny.scheduler("UniPCMultistepScheduler", **tiny.FLOWING)
    refiner = tiny_image.sdxl_refiner(tmp_path / "two", tiny.scheduler("EulerDiscreteScheduler", **tiny.LEADING))
    for place in (sd, refiner, tiny.wan(tmp_path / "wan", flow)):
        adapts = mediagen.load(place).model.adapts
        able = {"control": adapts.control, "words": adapts.learn, "image_prompt": adapts.pictures}
        assert {name for name, one in able.items() if one is not None} == set(takes(place)) - {"lora", "refiner"}
        assert "lora" in takes(place) and ("refiner" in takes(place)) is (place.name != "wan")
    assert takes(tiny_musicgen.musicgen(tmp_path / "musicgen")) == ()
    assert {name: takes(folder) for name, folder in cards().items()} == {
        "mini-audio": ("lora",), "mini-image": ("lora", "control", "refiner"), "mini-video": ("lora", "control")
    }  # fmt: skip


def test_what_is_refused_is_refused_at_once(sd: Path, tmp_path: Path) -> None:
    """Before there is a job, by the model's name and not its folder; a clip that has its sound with it has no loops."""
    ltx2 = tiny_clips.ltx2(tmp_path / "ltx2", tiny.scheduler("FlowMatchEulerDiscreteScheduler", **tiny.LTX))
    able = capabilities(ltx2)
    assert all(able[task] for task in ("loop", "window", "continue")) and not able["timeline"]
    studio = Studio({"joint": ltx2, "sd": sd}, Media(tmp_path / "media"), Limits())
    for name, options, said in (
        ("joint", {"loop": True}, "makes a clip and its sound at once"),
        ("joint", {"window": 1.0}, "makes a clip and its sound at once"),
        ("sd", {"guidance_2": 2.0}, "; sd has one network"),
    ):
        kind = "image" if name == "sd" else "video"
        asked = {"prompt": "a cat", **options}
        record = Record(id="1", endpoint="", modality=kind, model=name, asked=asked, sources={}, about={})
        with pytest.raises(Refused, match=said) as caught:
            studio.plan(record)
        assert str(tmp_path) not in str(caught.value) and str(sd) not in str(caught.value)


def test_a_strength_that_nobody_asked_for(sd: Path, tmp_path: Path) -> None:
    """A model that makes pictures larger has its own."""
    plan = tiny.scheduler("DDIMScheduler", **tiny.DDIM, prediction_type="v_prediction")
    models = {"larger": tiny_image.sd_upscale(tmp_path / "larger", plan), "sd": sd}
    service = SimpleNamespace(models=Offers(models))

    def strength(hole: str | None = None, **body: Any) -> float | None:
        return _strength(service, fitted(Edit, {"prompt": "a cat", **body}), hole)

    assert (strength(model="larger"), strength(model="larger", strength=0.1)) == (None, 0.1)
    assert (strength(model="sd"), strength("mask.png", model="sd"), strength(frame_count=2)) == (0.6, 1.0, None)


def test_words_that_are_sung_and_codes_that_are_drawn() -> None:
    body = {"prompt": "a ballad", "lyrics": "la", "temperature": 0.5, "top_k": 5, "top_p": 0.9}
    options = _music(fitted(Music, body))
    assert {name: options[name] for name in body} == body
    for wrong in ({"temperature": -1}, {"top_p": 2}, {"top_k": 0.5}):
        with pytest.raises(Refused, match=next(iter(wrong))):
            fitted(Music, body | wrong)
