"""The page's forms: what they ask for, and what is refused."""

import sys
from pathlib import Path
from typing import Any

import pytest
from paging import MARKS, finished, held, opened, refusal, sync_api, visit
from PIL import Image as Pil
from serving import served, settings, with_lora

pytestmark = MARKS
expect = sync_api.expect


def test_what_is_refused_is_said_at_its_field(page: Any) -> None:
    place = visit(page, "picture")
    place.locator("button[type=submit]").click()
    expect(place.locator("[data-field=prompt] .wrong")).to_contain_text("Say what to make")
    place.get_by_role("button", name="Surprise me").click()
    place.locator("details.more summary").click()
    place.locator("[data-field=steps] input").fill("100000")
    place.locator("button[type=submit]").click()
    wrong = place.locator("[data-field=steps] .wrong")
    expect(wrong).to_contain_text("1000")
    field = place.locator("[data-field=steps] input")
    assert field.get_attribute("aria-invalid") == "true" and field.evaluate("one => one === document.activeElement")
    assert field.get_attribute("aria-describedby") == wrong.get_attribute("id")
    field.fill("2")
    expect(wrong).to_be_hidden()
    assert page.locator("#room-picture .card[data-status=running]").count() == 0


def test_a_second_network_has_a_guidance_of_its_own(browser: Any, tiny_video: Path, tmp_path: Path) -> None:
    """Of a model that has one; what is asked for is looked at, and not made."""
    pytest.importorskip("diffusers")
    sys.path.append(str(Path(__file__).parents[1] / "families"))
    import tiny

    plan = tiny.scheduler("UniPCMultistepScheduler", **tiny.FLOWING)
    models = {"one": tiny_video, "two": tiny.wan(tmp_path / "wan", plan, experts=2)}
    bodies: list[dict] = []

    def answer(route: Any) -> None:
        bodies.append(route.request.post_data_json)
        refused = {"error": {"message": "too much", "param": "guidance_scale_2", "code": None, "type": "x"}}
        route.fulfill(status=400, json=refused)

    with served(settings(tmp_path / "data", models)) as (base, _), opened(browser, base) as page:
        page.route("**/v1/videos", answer)
        place = visit(page, "video")
        assert place.locator("[data-field=guidance_scale_2]").count() == 0
        place.locator("details.more summary").first.click()
        place.locator("[data-field=model] select").select_option("two")
        place.locator(".prompt textarea").fill("a cat")
        field = place.locator("[data-field=guidance_scale_2] input")
        if not field.is_visible():
            place.locator("details.more summary").first.click()
        field.fill("2.5")
        place.locator("button[type=submit]").click()
        expect(place.locator("[data-field=guidance_scale_2] .wrong")).to_contain_text("too much")
    assert bodies[0]["guidance_scale_2"] == 2.5 and bodies[0]["model"] == "two"


def test_what_is_put_on_a_model_has_fields(browser: Any, tiny_model: Path, tmp_path: Path) -> None:
    """Those that it takes, where the server offers something; what is asked for is looked at, and made with what fits
    the tiny model."""
    pytest.importorskip("diffusers")
    sys.path.append(str(Path(__file__).parents[1] / "families"))
    import tiny

    kinds = ("control", "words", "image_prompt")
    folders = {"lora": with_lora(tmp_path / "lora"), **{kind: tmp_path / kind for kind in kinds}}
    (folders["control"] / "edges").mkdir(parents=True)
    (folders["control"] / "edges" / "config.json").write_text("{}")
    (folders["image_prompt"] / "looks" / "image_encoder").mkdir(parents=True)
    folders["words"].mkdir()
    for file in (folders["words"] / "sks.safetensors", folders["image_prompt"] / "looks" / "ip.safetensors"):
        file.touch()
    Pil.new("RGB", (64, 64), "orange").save(tmp_path / "room.png")
    sd = tiny.sd(tmp_path / "sd", tiny.scheduler("DDIMScheduler", **tiny.DDIM))
    models = {"tiny": tiny_model, "other": tiny_model, "sd": sd}
    with served(settings(tmp_path / "data", models, adapters=folders)) as (base, _), opened(browser, base) as page:
        place = visit(page, "picture")
        place.locator("summary", has_text="Styles and pictures").click()
        assert groups(place) == ["lora", "control", "refiner"]
        assert place.locator("[data-field=lora-weight]").is_hidden() and place.locator("[data-field=share]").is_hidden()
        for kind, name in (("lora", "style"), ("control", "edges"), ("refiner", "other")):
            place.locator(f"[data-field={kind}-name] select").select_option(name)
        place.locator("[data-field=lora-weight] input").fill("0.5")
        place.locator("[data-field=control-hint] select").select_option("canny")
        place.locator("[data-field=share] input").fill("0.7")
        place.locator(".prompt textarea").fill("a cat")
        picture = place.locator("[data-field=control-image]")
        place.locator("[data-field=refiner-name] select").select_option("none")
        place.locator("button[type=submit]").click()
        expect(picture.locator(".wrong")).to_have_text("Choose a picture first.")
        picture.locator("input").set_input_files(str(tmp_path / "room.png"))
        expect(picture.locator(".drop.filled")).to_be_visible()
        with page.expect_request(lambda one: one.url.endswith("/generations")) as sent:
            place.locator("button[type=submit]").click()
        body = sent.value.post_data_json
        assert body["control"].pop("image").startswith("file-")
        assert body["control"] == {"name": "edges", "hint": "canny"}
        assert body["lora"] == {"name": "style", "weight": 0.5} and not {"refiner", "share"} & set(body)
        expect(place.locator(".wrong:visible").first).to_contain_text("a control network of this model is a folder")
        place.locator("[data-field=control-name] select").select_option("none")
        card = finished(page, place.locator("button[type=submit]").click)
        assert "style" in card.inner_text()
        place.locator("[data-field=lora-name] select").select_option("none")
        card.get_by_role("button", name="Reuse").click()
        assert place.locator("[data-field=lora-weight] input").input_value() == "0.5"
        assert place.locator("[data-field=lora-name] select").input_value() == "style"

        asks = held(page, "**/v1/images/generations")
        place.locator("summary", has_text="More settings").click()
        place.locator("[data-field=model] select").select_option("sd")
        assert groups(place) == ["lora", "control", "image_prompt", "words", "refiner"]
        place.locator("summary", has_text="Styles and pictures").click()
        for kind, name in (("image_prompt", "looks"), ("words", "sks")):
            place.locator(f"[data-field={kind}-name] select").select_option(name)
        place.locator("[data-field=image_prompt-image] input").set_input_files(str(tmp_path / "room.png"))
        place.locator(".prompt textarea").fill("a sks cat")
        place.locator("button[type=submit]").click()
        body = asks.wait().request.post_data_json
        assert body["model"] == "sd" and body["words"] == {"sks": "sks"} and body["image_prompt"]["name"] == "looks"
        asks.go(**refusal("enough"))
        expect(place.get_by_text("enough")).to_be_visible()


def groups(place: Any) -> list[str]:
    """What may be put on the model of a form."""
    return [one.get_attribute("data-field") for one in place.locator(".group").all()]


def test_nothing_to_put_on_a_model_has_no_fields(page: Any) -> None:
    place = visit(page, "picture")
    place.locator("details.more summary").first.wait_for()
    assert place.locator("summary", has_text="Styles").count() == place.locator(".group").count() == 0
