"""What all tests of the page do: a page in headless Chromium through Playwright, its forms, and what comes of them."""

import re
import shutil
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("sqlalchemy")
pytest.importorskip("playwright", reason="playwright is not installed")

import numpy as np
from playwright import sync_api

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MARKS = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")]
OPTIONS = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
ROOMS = ("picture", "music", "video", "live", "gallery")
MOST = 180_000  # milliseconds that anything may take on a busy machine
sync_api.expect.set_options(timeout=MOST)
PIXELS = """image => {
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext("2d");
  canvas.drawImage(image, 0, 0);
  return [...canvas.getImageData(0, 0, image.naturalWidth, image.naturalHeight).data];
}"""


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
    return finished(page, filled(page, room, prompt, **fields).click)


def filled(page: Any, room: str, prompt: str, **fields: Any) -> Any:
    """The button that makes what the form of a room asks for."""
    place = visit(page, room)
    place.locator(".prompt textarea").fill(prompt)
    for name, value in fields.items():
        field = place.locator(f"[data-field={name}] input:not([type=range])").first
        if not field.is_visible():
            place.locator("details.more summary").first.click()
        field.fill(str(value))
    return place.locator("button[type=submit]")


def finished(page: Any, click: Any, status: str = "done") -> Any:
    """The card of the job that a click asks for, at its end."""
    return ended(begun(page, click), status)


def begun(page: Any, click: Any) -> Any:
    """The card of the job that a click asks for."""
    return page.locator(f"[data-job='{asked(page, click)['id']}']")


def ended(card: Any, status: str = "done") -> Any:
    """A card once its job is over."""
    sync_api.expect(card).to_have_attribute("data-status", re.compile("done|failed|cancelled"))
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


class held:
    """Requests to what a pattern names wait until each is answered: by the server, or by what a test says."""

    def __init__(self, page: Any, pattern: str, method: str | None = None) -> None:
        self._page, self._method, self.routes = page, method, []
        page.route(pattern, self._hold)

    def go(self, number: int = 0, **answer: Any) -> None:
        """Let the one of this number go, once it is there. answer: as of `Route.fulfill`."""
        route = self.wait(number)
        if answer:
            route.fulfill(**answer)
        else:
            route.continue_()

    def _hold(self, route: Any) -> None:
        if self._method in (None, route.request.method):
            self.routes.append(route)
        else:
            route.continue_()

    def wait(self, number: int = 0) -> Any:
        while len(self.routes) <= number:
            self._page.wait_for_timeout(10)
        return self.routes[number]


def refusal(message: str, status: int = 400) -> dict[str, Any]:
    """What the server answers where it refuses."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return {"status": status, "json": {"error": error}}
