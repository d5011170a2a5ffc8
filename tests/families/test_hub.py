"""A machine without a network learns it in seconds, and what is in the cache at one commit asks nobody."""

import socket
import time
from pathlib import Path
from threading import Event

import pytest
import tiny
from huggingface_hub import constants
from tiny import scheduler

import mediagen
from mediagen.families import _hub as hub

pytest.importorskip("diffusers")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SAID = "it is not in the cache, and the network is off or does not answer"


@pytest.fixture(autouse=True)
def online(offline: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody has said that the network is off; it refuses all the same, and the cache is empty."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    hub._answered.cache_clear()


def refused(name: str) -> None:
    with pytest.raises(ValueError, match=SAID) as found:
        mediagen.load(name)
    assert "\n" not in str(found.value)


def test_a_network_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits to ask again, as huggingface_hub does for most of a minute."""
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    refused("some/model")
    with pytest.raises(ValueError, match=SAID):
        mediagen.plan("some/model")
    assert sum(waited) < 5


def test_a_network_that_swallows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-up of names hangs, and still does when that is said; one question is asked, whatever is looked for."""
    asked: list[object] = []
    over, ended = Event(), Event()

    def hang(*given: object, **_: object) -> None:
        asked.append(given)
        over.wait(300)
        ended.set()
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(hub, "PATIENCE", 0.3)
    monkeypatch.setattr(hub, "monotonic", lambda: 0.0)  # an answer is remembered for a while
    refused("some/model")
    refused("some/other")
    assert len(asked) == 1 and not ended.is_set()
    over.set()


def test_a_commit_in_the_cache_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By either way of naming it; where a part's weights are missing, the network is asked."""
    folder = tmp_path / "cache" / "models--some--model" / "snapshots" / COMMIT
    tiny.sd(folder, scheduler("PNDMScheduler", **tiny.PNDM))
    asked: list[str] = []
    monkeypatch.setattr(hub, "_answered", lambda endpoint, when: bool(asked.append(endpoint)))
    one, two = mediagen.load(f"some/model@{COMMIT}"), mediagen.load("some/model", revision=COMMIT)
    assert one.model.hash == two.model.hash and mediagen.plan("some/model", revision=COMMIT).parameters and not asked
    next((folder / "unet").glob("*.safetensors")).unlink()
    assert hub.pinned(f"some/model@{COMMIT}", "model_index.json", weights=False) == folder
    with pytest.raises(ValueError, match="some/model"):
        mediagen.load("some/model", revision=COMMIT)
    assert asked


def test_other_files_of_a_commit_are_asked_for(tmp_path: Path) -> None:
    """Plain weights in the cache are not those of a variant, nor the other way round."""
    folder = tmp_path / "cache" / "models--some--model" / "snapshots" / COMMIT
    tiny.sd(folder, scheduler("PNDMScheduler", **tiny.PNDM))
    where = (f"some/model@{COMMIT}", "model_index.json")
    assert hub.pinned(*where, weights=True) == folder and hub.pinned(*where, weights=True, variant="fp16") is None
    for file in folder.glob("*/*.safetensors"):
        file.rename(file.with_suffix(".fp16.safetensors"))
    assert hub.pinned(*where, weights=True) is None and hub.pinned(*where, weights=True, variant="fp16") == folder


def test_offline_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "_answered", lambda endpoint, when: pytest.fail("the network was asked"))
    assert not hub.answers()
