"""The page in a real browser: headless Chromium through Playwright, where both are installed (Debian's `chromium`)."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("sqlalchemy")
pytest.importorskip("playwright", reason="playwright is not installed")

import numpy as np
from PIL import Image as Pil
from playwright import sync_api
from serving import MANY, served, settings, with_lora, with_preview

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")]
ROOMS = ("picture", "music", "video", "live", "gallery")
MOST = 180_000  # milliseconds that anything may take on a busy machine
PIXELS = """image => {
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext("2d");
  canvas.drawImage(image, 0, 0);
  return [...canvas.getImageData(0, 0, image.naturalWidth, image.naturalHeight).data];
}"""

NAMELESS = """() => [...document.querySelectorAll("button, input, textarea, select, [role=slider]")]
  .filter(one => one.checkVisibility() && one.ariaHidden !== "true")
  .filter(one => !(one.labels?.length || one.getAttribute("aria-label") || one.textContent.trim()))
  .map(one => one.outerHTML)"""
COLOURS = """() => {
  const paint = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const read = name => {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.color = `var(--${name})`;
    paint.fillStyle = getComputedStyle(probe).color;
    probe.remove();
    paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const names = ["paper", "surface", "well", "ink", "soft", "danger", "accent", "on", "tint"];
  return Object.fromEntries(names.map(name => [name, read(name)]));
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(
    tiny_model: Path, tiny_audio: Path, tiny_video: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Any]]:
    model = with_preview(tiny_model, tmp_path_factory.mktemp("preview") / "tiny")
    models = {"tiny": model, "tiny-audio": tiny_audio, "tiny-video": tiny_video}
    with served(settings(tmp_path_factory.mktemp("data"), models, hosts=["127.0.0.1"])) as running:
        yield running


@pytest.fixture
def page(browser: Any, server: tuple[str, Any]) -> Iterator[Any]:
    with opened(browser, server[0]) as page:
        yield page


class opened:
    """A page of a browser of its own; at its end nothing went wrong in it, and nothing was asked of anyone else."""

    def __init__(self, browser: Any, base: str, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        self.base, self.wrong, self.asked = base, [], set()

    def __enter__(self) -> Any:
        page = self.context.new_page()
        page.set_default_timeout(MOST)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", lambda line: "Policy" in line.text and self.wrong.append(line.text))
        page.on("request", lambda request: self.asked.add(re.sub(r"(\w+://[^/]*|blob:|data:).*", r"\1", request.url)))
        page.goto(f"{self.base}/")
        return page

    def __exit__(self, *error: Any) -> None:
        self.context.close()
        if error[0] is None:
            assert self.wrong == [] and self.asked <= {self.base, "blob:", "data:"}


def visit(page: Any, room: str) -> Any:
    page.click(f"#tab-{room}")
    return page.locator(f"#room-{room}")


def make(page: Any, room: str, prompt: str, **fields: Any) -> Any:
    """Fill in the form of a room and make it: the card of what was made."""
    place = visit(page, room)
    place.locator(".prompt textarea").fill(prompt)
    for name, value in fields.items():
        field = place.locator(f"[data-field={name}] input:not([type=range])").first
        if not field.is_visible():
            place.locator("details.more summary").first.click()
        field.fill(str(value))
    return finished(page, place.locator("button[type=submit]").click)


def finished(page: Any, click: Any, status: str = "done") -> Any:
    """The card of the job that a click asks for, at its end."""
    card = page.locator(f"[data-job='{asked(page, click)['id']}']")
    sync_api.expect(card).to_have_attribute("data-status", re.compile("done|failed|cancelled"), timeout=MOST)
    assert card.get_attribute("data-status") == status, card.inner_text()
    return card


def asked(page: Any, click: Any) -> dict:
    """What a click has asked of the server and what it answered: the job's id among it."""

    def made(answer: Any) -> bool:
        return answer.request.method == "POST" and answer.ok and "/v1/" in answer.url

    with page.expect_response(made) as answer:
        click()
    return {"body": answer.value.request.post_data_json, "path": answer.value.url, **answer.value.json()}


def loaded(picture: Any) -> Any:
    """The element of a picture, once it shows something."""
    element = picture.element_handle()
    picture.page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=element)
    return element


def pixels(picture: Any) -> np.ndarray:
    element = loaded(picture)
    wide, tall = element.evaluate("image => [image.naturalWidth, image.naturalHeight]")
    return np.array(element.evaluate(PIXELS), np.uint8).reshape(tall, wide, 4)


def test_a_click_makes_a_picture_and_its_settings_come_back(page: Any) -> None:
    previews: list[str] = []
    page.on("response", lambda answer: "/preview" in answer.url and answer.ok and previews.append(answer.url))
    card = make(page, "picture", "a red ball", seed=7, steps=40)
    first = pixels(card.locator("img.made"))
    assert first.shape == (64, 64, 4) and previews
    assert "seed 7" in card.inner_text() and "40 steps" in card.inner_text() and "64×64" in card.inner_text()
    place = visit(page, "picture")
    place.locator(".prompt textarea").fill("something else")
    place.locator("[data-field=seed] input").fill("")
    card.get_by_role("button", name="Reuse").click()
    assert place.locator(".prompt textarea").input_value() == "a red ball"
    assert place.locator("[data-field=seed] input").input_value() == "7"
    assert place.locator("[data-field=steps] input").input_value() == "40"
    again = finished(page, lambda: page.keyboard.press("Control+Enter"))  # from the prompt, which has the focus
    assert np.array_equal(pixels(again.locator("img.made")), first)
    with page.expect_download() as download:
        again.locator("summary", has_text="Download").click()
        again.get_by_role("button", name="PNG").click()
    assert download.value.suggested_filename == "a-red-ball-7.png"
    assert Pil.open(download.value.path()).size == (64, 64)


def test_a_picture_is_painted_varied_widened_and_tiled(page: Any) -> None:
    card = make(page, "picture", "a ball", seed=1)
    before = pixels(card.locator("img.made"))
    card.get_by_role("button", name="Inpaint").click()
    dialog = page.locator("dialog")
    dialog.get_by_role("button", name="Make").click()
    sync_api.expect(dialog.locator(".wrong[role=alert]")).to_contain_text("Paint over")
    canvas = dialog.locator("canvas.paint")
    canvas.focus()
    for key in ("ArrowRight", "Shift+ArrowDown", "Space"):
        page.keyboard.press(key)
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 80, box["y"] + 60, steps=4)
    page.mouse.up()
    dialog.locator(".prompt textarea").fill("a cube")
    after = pixels(finished(page, dialog.get_by_role("button", name="Make").click).locator("img.made"))
    changed = (before != after).any(-1)
    assert 0.02 < changed.mean() < 0.6 and not changed[-4:].any() and not changed[:, -4:].any()

    for name, prompt, size in (("Vary", "a ball again", 64), ("Extend", "a wide ball", 96), ("Loop", "a tile", 64)):
        card.get_by_role("button", name=name).click()
        dialog.locator(".prompt textarea").fill(prompt)
        if name == "Extend":
            page.wait_for_function("() => document.querySelector('canvas.wider').width === 96")
        made = finished(page, dialog.get_by_role("button", name="Make").click)
        assert pixels(made.locator("img.made")).shape == (64, size, 4)
        if name == "Extend":
            assert np.array_equal(pixels(made.locator("img.made"))[:, :64], before)
    made.get_by_role("button", name="Repeat").click()
    assert "blob:" in made.locator(".tiled").evaluate("tile => tile.style.backgroundImage")


def test_several_pictures_and_the_one_that_is_chosen(page: Any) -> None:
    visit(page, "picture").get_by_role("button", name="More how many").click()
    card = make(page, "picture", "two balls", seed=3)
    one, two = (pixels(card.locator("img.made").nth(number)) for number in (0, 1))
    assert not np.array_equal(one, two)
    card.get_by_role("button", name="Choose result 2").click()
    card.get_by_role("button", name="Extend").click()
    page.wait_for_function("() => document.querySelector('canvas.wider')?.width === 96")
    wide = finished(page, page.locator("dialog").get_by_role("button", name="Make").click)
    assert np.array_equal(pixels(wide.locator("img.made"))[:, :64], two)


def test_a_clip_is_played_looped_and_a_part_of_it_made_anew(page: Any) -> None:
    card = make(page, "music", "slow jazz", seconds=8)
    card.get_by_role("button", name="Play the clip").click()
    page.wait_for_function("() => Number(document.querySelector('.player').dataset.at) > 0.3")
    card.get_by_role("button", name="Pause the clip").click()
    at = float(card.locator(".player").get_attribute("data-at"))
    card.locator("canvas.wave").press("ArrowRight")
    assert float(card.locator(".player").get_attribute("data-at")) == pytest.approx(at + 1, abs=0.02)

    card.get_by_role("button", name="Inpaint").click()
    dialog = page.locator("dialog")
    end = dialog.get_by_role("slider", name="End of the part")
    end.press("ArrowLeft")
    assert float(end.get_attribute("aria-valuenow")) == pytest.approx(5.5, abs=0.05)
    box = dialog.locator(".span").bounding_box()
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 5, steps=5)
    page.mouse.up()
    sync_api.expect(dialog.locator(".told")).to_contain_text("0.8 s to 4.0 s")
    answer = asked(page, dialog.get_by_role("button", name="Make").click)
    assert answer["path"].endswith("/v1/audio/edits")
    assert (answer["body"]["start"], answer["body"]["end"]) == pytest.approx((0.8, 4.0), abs=0.1)
    edited = page.locator(f"[data-job='{answer['id']}']")
    sync_api.expect(edited).to_have_attribute("data-status", "done", timeout=MOST)
    assert "edited" in edited.inner_text()

    place = visit(page, "music")
    place.get_by_label("Seamless loop").check()
    loop = make(page, "music", "house", bars=1, bpm=200)
    assert "loop" in loop.inner_text() and "1.2 s" in loop.inner_text()
    loop.get_by_role("button", name="Play the loop").click()
    page.wait_for_timeout(1500)
    assert loop.get_by_role("button", name="Pause the loop").is_visible()  # it goes on


def test_a_film_is_shown_and_begins_with_a_picture(page: Any) -> None:
    card = make(page, "video", "a ball rolls", seconds=1)
    film = card.locator("video").element_handle()
    page.wait_for_function("film => film.readyState >= 2 && film.currentTime > 0.1", arg=film)
    assert film.evaluate("film => [film.videoWidth, film.videoHeight]") == [32, 32]
    card.get_by_role("button", name="Inpaint").click()
    page.locator("dialog .span").wait_for()
    answer = asked(page, page.locator("dialog").get_by_role("button", name="Make").click)
    assert answer["path"].endswith("/v1/videos/edits") and 0 < answer["body"]["start"] < answer["body"]["end"]
    sync_api.expect(page.locator(f"[data-job='{answer['id']}'] .facts")).to_contain_text("edited", timeout=MOST)

    picture = make(page, "picture", "a green ball")
    loaded(picture.locator("img.made"))
    picture.get_by_role("button", name="Animate").click()
    place = page.locator("#room-video")
    sync_api.expect(place.locator(".input_reference .filled")).to_be_visible()
    answer = asked(page, place.locator("button[type=submit]").click)
    assert answer["body"]["input_reference"] == picture.get_attribute("data-job")
    film = page.locator(f"[data-job='{answer['id']}'] video")
    film.wait_for()
    page.wait_for_function("film => film.readyState >= 2", arg=film.element_handle())


def test_what_is_refused_is_said_at_its_field(page: Any) -> None:
    place = visit(page, "picture")
    place.locator("button[type=submit]").click()
    assert "Say what to make" in place.locator("[data-field=prompt] .wrong").inner_text()
    place.get_by_role("button", name="Surprise me").click()
    place.locator("details.more summary").click()
    place.locator("[data-field=steps] input").fill("100000")
    place.locator("button[type=submit]").click()
    wrong = place.locator("[data-field=steps] .wrong")
    sync_api.expect(wrong).to_contain_text("1000")
    field = place.locator("[data-field=steps] input")
    assert field.get_attribute("aria-invalid") == "true" and field.evaluate("one => one === document.activeElement")
    assert field.get_attribute("aria-describedby") == wrong.get_attribute("id")
    field.fill("2")
    assert not wrong.is_visible() and page.locator("#room-picture .card[data-status=running]").count() == 0


def test_a_job_is_cancelled_and_deleted(page: Any) -> None:
    place = visit(page, "picture")
    place.locator(".prompt textarea").fill("a very slow ball")
    place.locator("details.more summary").click()
    place.locator("[data-field=steps] input").fill(str(MANY))
    place.locator("button[type=submit]").click()
    card = place.locator(".card").first
    sync_api.expect(card.get_by_role("progressbar")).to_have_attribute("aria-valuetext", re.compile(r"Step \d+ of 600"))
    card.get_by_role("button", name="Cancel").click()
    card = page.locator("#room-picture .card[data-status=cancelled]").first
    card.wait_for()
    count = place.locator(".card").count()
    card.get_by_role("button", name="Delete").click()
    card.get_by_role("button", name="Delete").click()
    sync_api.expect(place.locator(".card")).to_have_count(count - 1)


def test_the_gallery_keeps_what_was_made(page: Any) -> None:
    make(page, "music", "a tune for the gallery", seconds=1, seed=11)
    make(page, "picture", "a picture for the gallery", seed=12)
    place = visit(page, "gallery")
    tile = place.locator(".tile", has_text="a tune for the gallery")
    tile.wait_for()
    place.get_by_role("button", name="Pictures").click()
    sync_api.expect(tile).to_have_count(0)
    loaded(place.locator(".tile", has_text="a picture for the gallery").locator("img"))
    place.get_by_role("button", name="Music").click()
    tile.click()
    page.locator("dialog").get_by_role("button", name="Reuse").click()
    room = page.locator("#room-music")
    assert room.locator(".prompt textarea").input_value() == "a tune for the gallery"
    assert room.locator("[data-field=seed] input").input_value() == "11"
    assert room.locator("[data-field=seconds] input[type=number]").input_value() == "1"


def test_live_music_follows_the_prompt(page: Any) -> None:
    place = visit(page, "live")
    place.locator(".prompt textarea").fill("slow jazz")
    place.get_by_role("button", name="Play", exact=True).click()
    sync_api.expect(place.locator(".state")).to_contain_text("ahead", timeout=MOST)
    with page.expect_response(re.compile("/v1/audio/stream/stream_")) as told:
        place.locator(".prompt textarea").fill("fast techno")
    assert told.value.json()["prompt"] == "fast techno"
    sync_api.expect(place.locator(".heard li").first).to_contain_text("fast techno")
    with page.expect_download() as download:
        place.get_by_role("button", name="Save what was heard").click()
    assert Path(download.value.path()).read_bytes()[:4] == b"RIFF"
    place.get_by_role("button", name="Stop").click()
    sync_api.expect(place.get_by_role("button", name="Play", exact=True)).to_be_visible()


def test_tabs_by_keyboard_and_names_for_everything(page: Any) -> None:
    for room in ROOMS:
        visit(page, room)
        nameless = page.evaluate(NAMELESS)
        assert nameless == []
    page.locator("#tab-gallery").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#tab-picture").evaluate("tab => tab === document.activeElement")
    assert page.locator("#tab-picture").get_attribute("aria-selected") == "true" and page.url.endswith("#picture")
    assert page.locator("#tab-picture").evaluate("tab => getComputedStyle(tab).outlineWidth") != "0px"
    page.go_back()
    assert page.locator("#room-gallery").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_in_light_and_dark(browser: Any, server: tuple[str, Any], scheme: str) -> None:
    """Nothing is wider than the screen, and what is written can be read: contrast of 4.5 at least (WCAG 2.2, 1.4.3)."""
    with opened(browser, server[0], color_scheme=scheme) as page:
        page.set_viewport_size({"width": 360, "height": 740})
        for room in ROOMS:
            visit(page, room)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            colours = page.evaluate(COLOURS)
            pairs = [(text, ground) for text in ("ink", "soft", "danger") for ground in ("paper", "surface", "well")]
            for text, ground in [*pairs, ("on", "accent"), ("accent", "tint"), ("accent", "surface")]:
                assert contrast(colours[text], colours[ground]) >= 4.5, (room, text, ground)


def contrast(one: list[int], other: list[int]) -> float:
    """WCAG's ratio of relative luminances, 1..21."""

    def luminance(colour: list[int]) -> float:
        parts = np.array(colour) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_key_is_asked_for_once(browser: Any, tiny_model: Path, tmp_path: Path) -> None:
    with (
        served(settings(tmp_path / "data", {"tiny": tiny_model}, key="sesame")) as (base, _),
        opened(browser, base) as page,
    ):
        dialog = page.locator("#ask-key")
        dialog.get_by_label("Key").fill("wrong")
        dialog.get_by_role("button", name="Go on").click()
        sync_api.expect(page.locator("#ask-key .wrong")).to_have_text("This key is not right.")
        page.locator("#ask-key").get_by_label("Key").fill("sesame")
        page.locator("#ask-key").get_by_role("button", name="Go on").click()
        loaded(make(page, "picture", "a ball").locator("img.made"))
        page.reload()
        loaded(page.locator("#room-picture .card img.made"))
        assert page.locator("#ask-key").count() == 0
        assert "no model that makes video" in visit(page, "video").inner_text()
        assert "no model that makes music" in visit(page, "live").inner_text()


def test_a_room_that_is_visited_early_waits_for_the_models(page: Any) -> None:
    """On a slow line, or once the key is right: the tabs are there before it is known which models there are."""
    held: list[Any] = []
    page.route("**/v1/models", lambda route: held.append(route))
    with page.expect_request("**/v1/models"):
        page.reload()
    place = visit(page, "video")
    sync_api.expect(page.locator("#tab-video")).to_have_attribute("aria-selected", "true")
    assert place.inner_text() == ""
    held[0].continue_()
    place.locator(".prompt textarea").fill("a ball")
    assert "no model" not in visit(page, "picture").inner_text()


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
        sync_api.expect(place.locator("[data-field=guidance_scale_2] .wrong")).to_contain_text("too much")
    assert bodies[0]["guidance_scale_2"] == 2.5 and bodies[0]["model"] == "two"


def test_what_is_put_on_a_model_has_fields(browser: Any, tiny_model: Path, tmp_path: Path) -> None:
    """Where the server offers something; what is asked for is looked at, and made with what fits the tiny model."""
    folders = {"lora": with_lora(tmp_path / "lora"), "control": tmp_path / "control", "words": tmp_path / "words"}
    (folders["control"] / "edges").mkdir(parents=True)
    (folders["control"] / "edges" / "config.json").write_text("{}")
    folders["words"].mkdir()
    (folders["words"] / "sks.safetensors").touch()
    Pil.new("RGB", (64, 64), "orange").save(tmp_path / "room.png")
    models = {"tiny": tiny_model, "other": tiny_model}
    with served(settings(tmp_path / "data", models, adapters=folders)) as (base, _), opened(browser, base) as page:
        place = visit(page, "picture")
        place.locator("summary", has_text="Styles and pictures").click()
        assert place.locator("[data-field=image_prompt]").count() == 0
        assert place.locator("[data-field=lora-weight]").is_hidden() and place.locator("[data-field=share]").is_hidden()
        for kind, name in (("lora", "style"), ("control", "edges"), ("words", "sks"), ("refiner", "other")):
            place.locator(f"[data-field={kind}-name] select").select_option(name)
        place.locator("[data-field=lora-weight] input").fill("0.5")
        place.locator("[data-field=control-hint] select").select_option("canny")
        place.locator("[data-field=share] input").fill("0.7")
        place.locator(".prompt textarea").fill("a sks cat")
        picture = place.locator("[data-field=control-image]")
        place.locator("[data-field=refiner-name] select").select_option("none")
        place.locator("button[type=submit]").click()
        sync_api.expect(picture.locator(".wrong")).to_have_text("Choose a picture first.")
        picture.locator("input").set_input_files(str(tmp_path / "room.png"))
        sync_api.expect(picture.locator(".drop.filled")).to_be_visible()
        with page.expect_request(lambda one: one.url.endswith("/generations")) as sent:
            place.locator("button[type=submit]").click()
        body = sent.value.post_data_json
        assert body["control"].pop("image").startswith("file-")
        assert body["control"] == {"name": "edges", "hint": "canny"} and body["words"] == {"sks": "sks"}
        assert body["lora"] == {"name": "style", "weight": 0.5} and not {"refiner", "share"} & set(body)
        sync_api.expect(place.locator(".wrong:visible").first).to_contain_text(
            "a control network of this model is a folder"
        )
        for kind in ("control", "words"):
            place.locator(f"[data-field={kind}-name] select").select_option("none")
        card = finished(page, place.locator("button[type=submit]").click)
        assert "style" in card.inner_text()
        place.locator("[data-field=lora-name] select").select_option("none")
        card.get_by_role("button", name="Reuse").click()
        assert place.locator("[data-field=lora-weight] input").input_value() == "0.5"
        assert place.locator("[data-field=lora-name] select").input_value() == "style"
        visit(page, "gallery")


def test_nothing_to_put_on_a_model_has_no_fields(page: Any) -> None:
    place = visit(page, "picture")
    place.locator("details.more summary").first.wait_for()
    assert place.locator("summary", has_text="Styles").count() == place.locator(".group").count() == 0
