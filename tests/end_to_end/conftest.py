"""A browser, a server of tiny models of each modality, and the page of that server in that browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    import paging

    with paging.sync_api.sync_playwright() as playwright:
        options = {"executable_path": paging.BROWSER, "args": paging.OPTIONS, "timeout": paging.MOST}
        browser = playwright.chromium.launch(**options)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of that server, whose jobs can be held (`serving.holding`)."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def page_server(
    tiny_model: Path, tiny_audio: Path, tiny_video: Path, page_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Its address."""
    from serving import Holding, served, settings, with_preview

    model = with_preview(tiny_model, tmp_path_factory.mktemp("preview") / "tiny")
    models = {"tiny": model, "tiny-audio": tiny_audio, "tiny-video": tiny_video}
    with served(settings(page_data, models, hosts=["127.0.0.1"]), Holding) as (base, _):
        yield base


@pytest.fixture
def page(browser: Any, page_server: str) -> Iterator[Any]:
    import paging

    with paging.opened(browser, page_server) as page:
        yield page
