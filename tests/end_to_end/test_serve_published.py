"""A published checkpoint beside the shipped models: what is said of it, and a job of it."""

import asyncio
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("sqlalchemy")
pytest.importorskip("diffusers")
pytest.importorskip("accelerate")
sys.path.append(str(Path(__file__).parents[1] / "families"))

import tiny
import tiny_musicgen
from serving import asked, settings, until

from mediagen.capabilities import capabilities, card_of
from mediagen.families._loading import multiplies_bfloat16
from mediagen.modalities import image
from mediagen.serve.models import Models, Offers
from mediagen.serve.service import Service


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.sd(tmp_path_factory.mktemp("sd"), tiny.scheduler("DDIMScheduler", **tiny.DDIM))


def test_it_is_loaded_as_the_commands_load_it(sd: Path) -> None:
    """In bfloat16 where that is quick; its card is made of its configurations."""
    [offer] = Offers({"sd": sd}).offers
    assert (offer.modality, offer.card["size"], offer.card["defaults"]["guidance"]) == ("image", [16, 16], 7.5)
    assert "inpaint" in offer.tasks and offer.made > 0
    model = Models({"sd": sd}).open("sd").model
    assert model.hash.endswith("-bfloat16") is multiplies_bfloat16("cpu")


@pytest.mark.slow
def test_a_checkpoint_is_served(sd: Path, tmp_path: Path) -> None:
    service = Service(settings(tmp_path / "data", {"sd": sd}))
    service.start()
    try:
        record = until(service, asyncio.run(service.submit(asked(steps=2, seed=3))).id)
        assert record.state == "done"
        assert image.load(service.media.folder / record.results[0]).size == (16, 16)
    finally:
        service.stop()


def test_what_is_said_of_others(tmp_path: Path) -> None:
    folder = tiny_musicgen.musicgen(tmp_path / "musicgen")
    card, able = card_of(folder), capabilities(folder)
    assert card["modality"] == "audio" and card["rate"] == tiny_musicgen.RATE and "size" not in card
    assert [task for task, reason in able.items() if not reason] == ["generate", "extend"]
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match="unknown model"):
        card_of(tmp_path / "nothing")
