"""A disk that is full: whoever needs room is told so (507), nothing half-written stays, and all else goes on."""

import errno
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import httpx
from PIL import Image as Pil
from serving import MOST, served, settings

from mediagen.modalities.image import Image
from mediagen.modalities.video import Video
from mediagen.serve.errors import Refused
from mediagen.serve.lab import Lab
from mediagen.serve.limits import Limits
from mediagen.serve.media import Media


@pytest.fixture
def server(tiny_model: Path, tmp_path: Path) -> Iterator[tuple[str, Any]]:
    with served(settings(tmp_path, {"tiny": tiny_model})) as running:
        yield running


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device", "/secret/place")


def test_uploads_and_files_of_batches(server: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    picture = io.BytesIO()
    Pil.new("RGB", (64, 64)).save(picture, "PNG")
    asked = [
        ("images/variations", {"image": ("a.png", picture.getvalue())}, {"steps": "1"}),
        ("files", {"file": ("a.png", picture.getvalue())}, {}),
        ("files", {"file": ("a.jsonl", b"{}")}, {"purpose": "batch"}),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        for address, files, data in asked:
            answer = httpx.post(f"{server[0]}/v1/{address}", files=files, data=data, timeout=MOST)
            assert answer.status_code == 507 and answer.json()["error"]["code"] == "storage_full", answer.text
            assert "secret" not in answer.text
    assert list(server[1].state.service.media.folder.iterdir()) == []
    for address, files, data in asked:
        answer = httpx.post(f"{server[0]}/v1/{address}", files=files, data=data, timeout=MOST)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("kind", [Image, Video])
def test_other_formats_stills_and_masks(kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    media = Media(tmp_path)
    lab, colours = Lab(media, Limits()), np.zeros((32, 32, 4), np.uint8)
    Image(colours).save(tmp_path / "a.png")
    Video(np.zeros((9, 32, 32, 3), np.uint8), 8.0, None).save(tmp_path / "a.mkv")
    monkeypatch.setattr(kind, "save", full)
    todo = [lambda: lab.hole("a.png", True), lambda: lab.write("a.png", "webp", None)]
    todo += [lambda: lab.draw("a.mkv", "thumbnail"), lambda: lab.draw("a.mkv", "spritesheet")]
    for work in [lambda: lab.write("a.mkv", "mp4", None)] if kind is Video else todo:
        with pytest.raises(Refused, match="there is no room") as caught:
            work()
        assert caught.value.status == 507 and "secret" not in caught.value.message
