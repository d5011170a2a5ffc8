"""The files of the page: all of them are handed out, and nothing of them comes from outside."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import httpx
from serving import MOST, served, settings

from mediagen.serve.page import FOLDER, parts

OUTSIDE = re.compile(r"""(?:https?:)?//(?!www\.w3\.org/2000/svg)[a-z0-9]""")  # but for the name of SVG


@pytest.fixture(scope="module")
def http(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with (
        served(settings(tmp_path_factory.mktemp("data"), {"tiny": tiny_model}, key="sesame")) as (base, _),
        httpx.Client(base_url=base, timeout=MOST) as http,
    ):
        yield http


def test_the_page_is_there_without_a_key_and_nothing_else_is(http: Any) -> None:
    index = http.get("/")
    assert index.status_code == 200 and index.headers["content-type"] == "text/html; charset=utf-8"
    assert http.get("/v1/models").status_code == 401
    for name in ("api.py", "../page.py", "..%2fpage.py", "%2e%2e/app.py", "base.css%00", "", "x" * 60):
        answer = http.get(f"/page/{name}")
        assert answer.status_code in (401, 404) and "import" not in answer.text
    named = set(re.findall(r'(?:href|src)="/page/([^"]+)"', index.text))
    named |= {name for script in FOLDER.glob("*.js") for name in re.findall(r'from "\./([^"]+)"', script.read_text())}
    assert named | {"index.html"} == set(parts())  # nothing is missing, nothing lies there unused


def test_all_that_is_handed_out_forbids_what_is_not_its_own(http: Any) -> None:
    for name in parts():
        answer = http.get(f"/page/{name}")
        assert answer.status_code == 200 and answer.headers["x-content-type-options"] == "nosniff"
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert "unsafe" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_nothing_comes_from_outside(path: Path) -> None:
    text = path.read_text()
    assert not OUTSIDE.findall(re.sub(r"(?<![:\"'])//.*", "", text) if path.suffix == ".js" else text)
    assert "innerHTML" not in text and "eval(" not in text and not re.search(r"\son\w+=", text)
    assert max(map(len, text.splitlines())) < 600 and len(text.splitlines()) <= 310


def test_where_a_browser_finds_the_server() -> None:
    from mediagen.cli.serve import address_of

    assert address_of("127.0.0.1", 8000) == address_of("0.0.0.0", 8000) == "http://127.0.0.1:8000"
    assert address_of("::", 80) == "http://[::1]:80" and address_of("example.org", 1) == "http://example.org:1"
