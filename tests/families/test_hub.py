"""A machine without a network learns it in seconds, and what is in the cache at one commit asks nobody."""

import socket
from pathlib import Path
from time import perf_counter, sleep

import pytest
import tiny
from huggingface_hub import constants
from tiny import scheduler

import mediagen
from mediagen.families import _hub as hub

pytest.importorskip("diffusers")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def online(offline: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody has said that the network is off; it refuses all the same, and the cache is empty."""
    with pytest.raises(ValueError):
        mediagen.load("some/model")  # libraries are loaded, which is not to be measured
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    hub._answered.cache_clear()


def took(name: str, said: str) -> float:
    began = perf_counter()
    with pytest.raises(ValueError, match=said) as found:
        mediagen.load(name)
    assert "\n" not in str(found.value)
    return perf_counter() - began


SAID = "it is not in the cache, and the network is off or does not answer"


def test_a_network_that_refuses() -> None:
    assert took("some/model", SAID) < 5
    with pytest.raises(ValueError, match=SAID):
        mediagen.plan("some/model")


def test_a_network_that_swallows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-up of names hangs; one question is asked, whatever is looked for."""
    asked: list[object] = []

    def hang(*given: object, **_: object) -> None:
        asked.append(given)
        sleep(3)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(hub, "PATIENCE", 0.3)
    assert took("some/model", SAID) < 2.8 and len(asked) == 1
    assert took("some/other", SAID) < 2.8 and len(asked) == 1


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


def test_offline_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "_answered", lambda endpoint, when: pytest.fail("the network was asked"))
    assert not hub.answers()
