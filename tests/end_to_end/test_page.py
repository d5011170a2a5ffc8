"""What is made, seen, heard and changed on the page, in a real browser."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paging import MARKS, asked, begun, ended, filled, finished, loaded, make, pixels, sync_api, visit
from PIL import Image as Pil
from serving import holding

pytestmark = MARKS
expect = sync_api.expect
PAUSED = """player => {
  if (Number(player.dataset.at) <= 0.3) return false;
  player.querySelector("button").click();
  return true;
}"""


def test_a_click_makes_a_picture_and_its_settings_come_back(page: Any, page_data: Path) -> None:
    with holding(page_data) as go:
        card = begun(page, filled(page, "picture", "a red ball", seed=7, steps=40).click)
        expect(card.locator("img.preview.seen")).to_be_visible()
        go()
    first = pixels(ended(card).locator("img.made"))
    assert first.shape == (64, 64, 4)
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
    expect(dialog.locator(".wrong[role=alert]")).to_contain_text("Paint over")
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
    tile = made.locator(".tiled").element_handle()
    page.wait_for_function("tile => tile.style.backgroundImage.includes('blob:')", arg=tile)


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
    player = card.locator(".player")
    card.get_by_role("button", name="Play the clip").click()
    page.wait_for_function(PAUSED, arg=player.element_handle())  # there and then: it is not heard to its end
    expect(card.get_by_role("button", name="Play the clip")).to_be_enabled()
    at = float(player.get_attribute("data-at"))
    card.locator("canvas.wave").press("ArrowRight")
    assert float(player.get_attribute("data-at")) == pytest.approx(at + 1, abs=0.02)

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
    expect(dialog.locator(".told")).to_contain_text("0.8 s to 4.0 s")
    answer = asked(page, dialog.get_by_role("button", name="Make").click)
    assert answer["path"].endswith("/v1/audio/edits")
    assert (answer["body"]["start"], answer["body"]["end"]) == pytest.approx((0.8, 4.0), abs=0.1)
    edited = page.locator(f"[data-job='{answer['id']}']")
    assert "edited" in ended(edited).inner_text()

    place = visit(page, "music")
    place.get_by_label("Seamless loop").check()
    loop = make(page, "music", "house", bars=1, bpm=200)
    assert "loop" in loop.inner_text() and "1.2 s" in loop.inner_text()
    loop.get_by_role("button", name="Play the loop").click()
    player = loop.locator(".player").element_handle()
    page.wait_for_function("player => Number(player.dataset.at) > 0.8", arg=player)
    page.wait_for_function("player => Number(player.dataset.at) < 0.8", arg=player)  # of 1.2 s: it goes on
    assert loop.get_by_role("button", name="Pause the loop").is_visible()


def test_a_film_is_shown_and_begins_with_a_picture(page: Any) -> None:
    card = make(page, "video", "a ball rolls", seconds=1)
    film = card.locator("video").element_handle()
    page.wait_for_function("film => film.readyState >= 2 && film.currentTime > 0.1", arg=film)
    assert film.evaluate("film => [film.videoWidth, film.videoHeight]") == [32, 32]
    card.get_by_role("button", name="Inpaint").click()
    page.locator("dialog .span").wait_for()
    answer = asked(page, page.locator("dialog").get_by_role("button", name="Make").click)
    assert answer["path"].endswith("/v1/videos/edits") and 0 < answer["body"]["start"] < answer["body"]["end"]
    expect(page.locator(f"[data-job='{answer['id']}'] .facts")).to_contain_text("edited")

    picture = make(page, "picture", "a green ball")
    loaded(picture.locator("img.made"))
    picture.get_by_role("button", name="Animate").click()
    place = page.locator("#room-video")
    expect(place.locator(".input_reference .filled")).to_be_visible()
    answer = asked(page, place.locator("button[type=submit]").click)
    assert answer["body"]["input_reference"] == picture.get_attribute("data-job")
    film = page.locator(f"[data-job='{answer['id']}'] video")
    film.wait_for()
    page.wait_for_function("film => film.readyState >= 2", arg=film.element_handle())
