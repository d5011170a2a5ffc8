"""The page's rooms: jobs in them, the gallery, live music, keys and screens, the key that is asked for."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paging import MARKS, ROOMS, begun, ended, filled, loaded, make, opened, sync_api, visit
from serving import MANY, holding, served, settings

pytestmark = MARKS
expect = sync_api.expect
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


def test_a_job_is_cancelled_and_deleted(page: Any, page_data: Path) -> None:
    with holding(page_data):
        card = begun(page, filled(page, "picture", "a very slow ball", steps=MANY).click)
        told = re.compile(rf"Step 3 of {MANY}")
        expect(card.get_by_role("progressbar")).to_have_attribute("aria-valuetext", told)
        card.get_by_role("button", name="Cancel").click()
        ended(card, "cancelled")
    card.get_by_role("button", name="Delete").dblclick()
    expect(card).to_have_count(0)


def test_the_gallery_keeps_what_was_made(page: Any) -> None:
    make(page, "music", "a tune for the gallery", seconds=1, seed=11)
    make(page, "picture", "a picture for the gallery", seed=12)
    place = visit(page, "gallery")
    tile = place.locator(".tile", has_text="a tune for the gallery")
    tile.wait_for()
    place.get_by_role("button", name="Pictures").click()
    expect(tile).to_have_count(0)
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
    expect(place.locator(".state")).to_contain_text("ahead")
    with page.expect_response(lambda answer: "fast techno" in (answer.request.post_data or "")) as told:
        place.locator(".prompt textarea").fill("fast techno")
    assert told.value.json()["prompt"] == "fast techno"
    expect(place.locator(".heard li").first).to_contain_text("fast techno")
    with page.expect_download() as download:
        place.get_by_role("button", name="Save what was heard").click()
    assert Path(download.value.path()).read_bytes()[:4] == b"RIFF"
    place.get_by_role("button", name="Stop").click()
    expect(place.get_by_role("button", name="Play", exact=True)).to_be_visible()


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
    expect(page.locator("#room-gallery")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_in_light_and_dark(browser: Any, page_server: str, scheme: str) -> None:
    """Nothing is wider than the screen, and what is written can be read: contrast of 4.5 at least (WCAG 2.2, 1.4.3)."""
    with opened(browser, page_server, color_scheme=scheme) as page:
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
        expect(page.locator("#ask-key .wrong")).to_have_text("This key is not right.")
        page.locator("#ask-key").get_by_label("Key").fill("sesame")
        page.locator("#ask-key").get_by_role("button", name="Go on").click()
        loaded(make(page, "picture", "a ball").locator("img.made"))
        page.reload()
        loaded(page.locator("#room-picture .card img.made"))
        assert page.locator("#ask-key").count() == 0
        assert "no model that makes video" in visit(page, "video").inner_text()
        assert "no model that makes music" in visit(page, "live").inner_text()
