"""What the page makes of answers that come late, in another order or never: each is held back by the test."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paging import MARKS, asked, begun, filled, finished, held, loaded, make, opened, refusal, sync_api, visit
from PIL import Image as Pil
from serving import MANY, holding, served, settings

pytestmark = MARKS
expect = sync_api.expect


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    """Two files."""
    colours = {"one": "orange", "two": "navy"}
    for name, colour in colours.items():
        Pil.new("RGB", (32, 32), colour).save(tmp_path / f"{name}.png")
    return [str(tmp_path / f"{name}.png") for name in colours]


def is_in(page: Any, room: str) -> None:
    expect(page.locator(f"#tab-{room}")).to_have_attribute("aria-selected", "true")


def changed(page: Any, pattern: str, change: Callable[[dict], None]) -> None:
    """What the server answers there is another one by the time that it is read."""

    def answer(route: Any) -> None:
        found = route.fetch()
        body = found.json()
        change(body)
        route.fulfill(response=found, json=body)

    page.route(pattern, answer)


def test_a_room_that_is_visited_early_waits_for_the_models(page: Any) -> None:
    """On a slow line, or once the key is right: the tabs are there before it is known which models there are."""
    models = held(page, "**/v1/models")
    page.reload(wait_until="commit")
    models.wait()
    place = visit(page, "video")
    is_in(page, "video")
    assert place.inner_text() == ""
    models.go()
    place.locator(".prompt textarea").fill("a ball")
    assert "no model" not in visit(page, "picture").inner_text()


def test_what_is_asked_for_twice_is_made_once(page: Any) -> None:
    asks = held(page, "**/v1/images/generations")
    prompt = visit(page, "picture").locator(".prompt textarea")
    prompt.fill("a ball")

    def twice() -> None:
        prompt.press("Control+Enter")
        prompt.press("Control+Enter")
        asks.go()

    finished(page, twice)
    assert len(asks.routes) == 1


def test_a_room_that_was_left_is_not_gone_back_to(page: Any) -> None:
    asks = held(page, "**/v1/images/*")
    place = visit(page, "picture")
    place.locator(".prompt textarea").fill("a ball")
    place.locator("button[type=submit]").click()
    asks.wait()
    visit(page, "music")
    card = finished(page, asks.go)
    is_in(page, "music")

    visit(page, "picture")
    card.get_by_role("button", name="Vary").click()
    page.locator("dialog").get_by_role("button", name="Make").click()
    asks.wait(1)
    page.keyboard.press("Escape")
    visit(page, "music")
    finished(page, lambda: asks.go(1))
    is_in(page, "music")

    visit(page, "picture")
    card.get_by_role("button", name="Vary").click()
    page.locator("dialog").get_by_role("button", name="Make").click()
    asks.wait(2)
    page.keyboard.press("Escape")
    asks.go(2, **refusal("too many wait"))
    expect(page.locator("#notice")).to_contain_text("too many wait")


def test_what_is_refused_of_a_form_that_is_gone_is_said(page: Any) -> None:
    changed(page, "**/v1/models", lambda body: body["data"].append({**body["data"][0], "id": "other"}))
    page.set_viewport_size({"width": 360, "height": 740})
    page.reload()
    asks = held(page, "**/v1/images/generations")
    place = visit(page, "picture")
    place.locator(".prompt textarea").fill("a ball")
    place.locator("button[type=submit]").click()
    asks.wait()
    place.locator("summary", has_text="More settings").click()
    place.locator("[data-field=model] select").select_option("other")
    expect(place.locator("[data-field=model] select")).to_have_value("other")
    place.locator("button[type=submit]").scroll_into_view_if_needed()
    assert page.evaluate("scrollY") > 100
    asks.go(**refusal("too many wait"))
    expect(page.locator("#notice")).to_contain_text("too many wait")
    expect(page.locator("#notice")).to_be_in_viewport(ratio=1)


def test_a_picture_that_is_on_its_way_is_waited_for(page: Any, pictures: list[str]) -> None:
    files, asks = held(page, "**/v1/files"), held(page, "**/v1/videos")
    place = visit(page, "video")
    frame = place.locator("[data-field=input_reference]")
    place.locator(".prompt textarea").fill("a ball")
    frame.locator("input").set_input_files(pictures[0])
    place.locator("button[type=submit]").click()
    files.go()
    assert asks.wait().request.post_data_json["input_reference"].startswith("file-")
    asks.go(**refusal("enough"))
    expect(place.get_by_text("enough")).to_be_visible()

    frame.get_by_role("button", name="Take").click()
    frame.locator("input").set_input_files(pictures[1])
    place.locator("button[type=submit]").click()
    files.go(1, **refusal("no picture"))
    expect(frame.locator(".wrong")).to_have_text("no picture")
    expect(place.locator("button[type=submit]")).to_be_enabled()
    assert len(asks.routes) == 1


def test_of_two_pictures_the_newest_stays(page: Any, pictures: list[str]) -> None:
    files, asks = held(page, "**/v1/files"), held(page, "**/v1/videos")
    place = visit(page, "video")
    frame = place.locator("[data-field=input_reference]")
    place.locator(".prompt textarea").fill("a ball")
    for number, file in enumerate(pictures):
        frame.locator("input").set_input_files(file)
        files.wait(number)
    ids = []
    for number in (1, 0):
        with page.expect_response("**/v1/files") as answer:
            files.go(number)
        ids.append(answer.value.json()["id"])
        expect(frame.locator(".drop")).to_contain_text("two.png")
    place.locator("button[type=submit]").click()
    assert asks.wait().request.post_data_json["input_reference"] == ids[0]


def test_music_that_begins_ends_where_its_room_is_left(page: Any) -> None:
    streams = held(page, "**/v1/audio/stream")
    place = visit(page, "live")
    place.get_by_role("button", name="Play", exact=True).click()
    streams.wait()
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/stream")):
        visit(page, "picture")
    place = visit(page, "live")
    expect(place.get_by_role("button", name="Play", exact=True)).to_be_enabled()
    assert place.locator(".state").inner_text() == "Stopped."


def test_what_is_edited_while_music_begins_is_heard(page: Any) -> None:
    streams = held(page, "**/v1/audio/stream")
    place = visit(page, "live")
    place.locator(".prompt textarea").fill("slow jazz")
    place.get_by_role("button", name="Play", exact=True).click()
    streams.wait()
    place.locator(".prompt textarea").fill("fast techno")
    page.wait_for_timeout(1000)  # longer than the pause after which an edit is sent
    with page.expect_response(lambda answer: "fast techno" in (answer.request.post_data or "")) as told:
        streams.go()
    assert told.value.json()["prompt"] == "fast techno"
    place.get_by_role("button", name="Stop").click()


def test_edits_of_music_are_sent_one_after_the_other(page: Any) -> None:
    place = visit(page, "live")
    place.locator(".prompt textarea").fill("slow jazz")
    place.get_by_role("button", name="Play", exact=True).click()
    expect(place.locator(".state")).to_contain_text("ahead")
    changes = held(page, "**/v1/audio/stream/stream_*", "POST")
    place.locator(".prompt textarea").fill("house")
    assert changes.wait().request.post_data_json["prompt"] == "house"
    place.locator(".prompt textarea").fill("fast techno")
    page.wait_for_timeout(1000)
    assert len(changes.routes) == 1
    changes.go()
    with page.expect_response(lambda answer: "techno" in (answer.request.post_data or "")) as told:
        changes.go(1)
    assert told.value.json()["prompt"] == "fast techno"
    place.get_by_role("button", name="Stop").click()


def test_music_that_breaks_off_says_so(browser: Any, tiny_audio: Path, tmp_path: Path) -> None:
    """What makes it is killed; then it can be begun anew."""
    with served(settings(tmp_path, {"tiny-audio": tiny_audio})) as (base, app), opened(browser, base) as page:
        place = visit(page, "live")
        place.locator(".prompt textarea").fill("slow jazz")
        play = place.get_by_role("button", name="Play", exact=True)
        play.click()
        expect(place.locator(".state")).to_contain_text("ahead")
        os.kill(app.state.service.workers[0].studio.pid, signal.SIGKILL)
        expect(place.locator(".foot .wrong")).to_contain_text("The music broke off")
        play.click()
        expect(place.locator(".state")).to_contain_text("ahead")
        expect(place.locator(".foot .wrong")).to_be_hidden()


def test_a_wave_that_is_on_its_way_is_not_played(page: Any) -> None:
    results = held(page, "**/v1/jobs/audio_*/results/*")
    card = make(page, "music", "slow jazz", seconds=1)
    results.wait()
    card.locator("canvas.wave").press("Space")
    card.locator("canvas.wave").press("ArrowRight")
    card.locator("canvas.wave").click()
    assert card.get_by_role("button", name="Play the clip").is_disabled()
    results.go()
    card.get_by_role("button", name="Play the clip").click()
    expect(card.get_by_role("button", name="Pause the clip")).to_be_visible()


def test_a_job_is_followed_past_a_line_that_breaks(page: Any, page_data: Path) -> None:
    """The stream of its events is cut off, then the server does not answer, then it is there again."""
    events, cancels = held(page, "**/v1/jobs/*/events"), held(page, "**/v1/jobs/*/cancel")
    with holding(page_data):
        card = begun(page, filled(page, "picture", "a slow ball", steps=MANY).click)
        progress = '{"status": "running", "stage": "step", "step": 3, "total": 6, "seconds_left": null, "percent": 50}'
        events.go(0, content_type="text/event-stream", body=f"event: progress\ndata: {progress}\n\n")
        expect(card.locator(".state")).to_have_text("Step 3 of 6")
        events.go(1, **refusal("it is started again", 503))
        events.wait(2)
        expect(card.locator(".state")).to_have_text("it is started again")
        assert card.get_by_role("progressbar").get_attribute("aria-valuenow") == "50"
        events.go(2)
        expect(card.locator(".state")).to_contain_text(f"Step 3 of {MANY}")
        stop = card.get_by_role("button", name="Cancel")
        stop.click()
        cancels.go(0, **refusal("not now", 503))
        expect(stop).to_be_enabled()
        stop.click()
        cancels.go(1)
        expect(card).to_have_attribute("data-status", "cancelled")


def test_a_job_that_is_gone_leaves_an_empty_room(page: Any) -> None:
    page.route("**/v1/jobs?*", lambda route: route.fulfill(json={"object": "list", "data": [], "has_more": False}))
    events = held(page, "**/v1/jobs/*/events")
    place = visit(page, "video")
    expect(place.locator(".empty")).to_be_visible()
    place.locator(".prompt textarea").fill("a ball")
    job = asked(page, place.locator("button[type=submit]").click)["id"]
    expect(place.locator(".empty")).to_have_count(0)
    events.go(**refusal("there is no such job", 404))
    expect(place.locator(".empty")).to_be_visible()
    assert page.locator(f"[data-job='{job}']").count() == 0


def test_the_gallery_shows_the_choice_that_was_last(page: Any) -> None:
    make(page, "picture", "a picture of the last choice")
    lists = held(page, "**/v1/jobs?*")
    place = visit(page, "gallery")
    lists.go()
    place.get_by_role("button", name="Music").click()
    place.get_by_role("button", name="Pictures").click()
    lists.go(2)
    tile = place.locator(".tile", has_text="a picture of the last choice").first
    tile.wait_for()
    with page.expect_response(lambda answer: "modality=audio" in answer.url):
        lists.go(1, **refusal("no list", 500))
    loaded(tile.locator("img"))
    expect(place.get_by_text("no list")).to_have_count(0)


def test_what_became_of_a_job_is_seen_in_the_gallery(page: Any) -> None:
    """It was running when it was listed, and is done by the time that its card is closed."""
    job = make(page, "picture", "a ball that is done").get_attribute("data-job")

    def running(body: dict) -> None:
        for one in body["data"]:
            one["status"] = "running" if one["id"] == job else one["status"]

    changed(page, "**/v1/jobs?*", running)
    tile = visit(page, "gallery").locator(".tile", has_text="a ball that is done")
    expect(tile.locator(".state")).to_have_text("running")
    tile.click()
    loaded(page.locator("dialog img.made:not(.preview)"))
    page.keyboard.press("Escape")
    loaded(tile.locator("img"))


def test_a_film_that_the_browser_cannot_show_is_said(page: Any, tmp_path: Path) -> None:
    from mediagen.modalities.video import Video

    film = Video(np.zeros((8, 32, 32, 3), np.uint8), 8.0, None).save(tmp_path / "film.gif")
    place = visit(page, "video")
    place.locator("input[type=file][accept='video/*']").set_input_files(str(film))
    card = place.locator(".card", has_text="film.gif")
    card.get_by_role("button", name="Inpaint").click()
    expect(page.locator("dialog .foot .wrong")).to_contain_text("cannot be shown by the browser")
    assert page.locator("dialog .foot .main").is_disabled()


def test_the_way_back_leads_out_and_the_way_to_the_content_stays(page: Any) -> None:
    visit(page, "music")
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    is_in(page, "music")
    assert page.url.endswith("#music") and page.evaluate("document.activeElement.id") == "main"
    page.go_back()
    while not page.url.endswith("#picture"):  # the way to the content was a step too
        page.go_back()
    is_in(page, "picture")
    page.go_back()
    assert page.url == "about:blank"
