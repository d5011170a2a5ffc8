"""Number and label conditioners: they follow the protocol, tell values apart, and refuse what is outside."""

import pytest
import torch

from mediagen.conditioners import beats
from mediagen.conditioners.base import Conditioner
from mediagen.conditioners.scalar import Label, Scalar

SECONDS = Scalar(name="seconds", low=0, high=30)
GENRE = Label(name="genre", labels=("house", "jazz", "waltz"))


@pytest.mark.parametrize(("conditioner", "value"), [(SECONDS, 4.0), (GENRE, "jazz")])
def test_they_are_conditioners(conditioner, value):
    assert isinstance(conditioner, Conditioner)
    cond, null = conditioner([value, value]), conditioner.null(2)
    assert cond.keys() == null.keys() == {conditioner.name}
    assert cond[conditioner.name].shape == null[conditioner.name].shape
    assert (cond[conditioner.name] != null[conditioner.name]).any()


def test_a_sample_does_not_depend_on_its_batch():
    assert torch.equal(SECONDS([1.0, 2.5])["seconds"][1:], SECONDS([2.5])["seconds"])


def test_different_numbers_have_different_codes_and_near_numbers_near_ones():
    codes = SECONDS([i / 10 for i in range(301)])["seconds"]
    distances = torch.cdist(codes, codes) + 1e9 * torch.eye(301)
    assert distances.min() > 0.5
    slowest = codes[:, 0]
    assert (slowest.diff() < 0).all()  # half a turn over the range: the order is kept


def test_a_logarithmic_range_gives_equal_ratios_equal_steps():
    sizes = Scalar(name="size", low=64, high=1024, log=True)([64, 128, 256, 512, 1024])["size"]
    halves = torch.acos(sizes[:, 0].double().clamp(-1, 1)).diff()
    assert torch.allclose(halves, halves[:1], atol=1e-3)


def test_labels_are_one_hot():
    assert GENRE(["waltz", "house"])["genre"].tolist() == [[0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize("value", [-1.0, 31.0, float("nan")])
def test_a_number_outside_is_refused(value):
    with pytest.raises(ValueError, match=r"seconds must lie in 0\.\.30"):
        SECONDS([value])


def test_an_unknown_label_is_refused_and_the_known_are_named():
    with pytest.raises(ValueError, match=r"unknown genre 'polka'; known: house, jazz, waltz"):
        GENRE(["polka"])


@pytest.mark.parametrize(
    "wrong", [{"low": 3, "high": 3}, {"low": 0, "high": 1, "log": True}, {"width": 3}, {"finest": 0}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError):
        Scalar(**{"name": "x", "low": 0, "high": 1} | wrong)


def test_labels_must_differ():
    with pytest.raises(ValueError, match="different"):
        Label(name="genre", labels=("jazz", "jazz"))


@pytest.mark.parametrize(
    ("prompt", "bpm"),
    [
        ("slow jazz, 90 bpm", 90.0),
        ("at 127.5 BPM, in C", 127.5),
        ("house, 120 beats per minute, 90 bpm", 120.0),
        ("99bpm drums", 99.0),
        ("jazz of the 90s", None),
        ("1200 bpm", None),
        ("a piano", None),
    ],
)
def test_a_prompt_tells_its_tempo(prompt: str, bpm: float | None) -> None:
    assert beats.told(prompt) == bpm


def test_beats_go_on_where_the_tempo_changes() -> None:
    tempi = beats.course([(0.0, None), (1.0, 60.0), (3.0, None), (5.0, 120.0)])
    assert [tempo.second for tempo in tempi] == [1.0, 5.0] and [tempo.bpm for tempo in tempi] == [60.0, 120.0]
    assert tempi[0].at(5.0) == tempi[1].at(5.0) == 4.0 and tempi[1].at(6.0) == 6.0 and tempi[0].at(0.0) == -1.0
    whole = beats.signal(tempi, 0.0, 0.01, 800)
    assert torch.equal(whole[:, :500], tempi[0].signal(0.0, 0.01, 500))
    assert torch.equal(whole[:, 500:], tempi[1].signal(0.0, 0.01, 800)[:, 500:])
    assert torch.allclose(beats.signal(tempi, 4.0, 0.01, 300), whole[:, 400:700], atol=1e-5)
    turns = whole[3] + 1j * whole[9]  # once a beat: no jump, and all of them on the circle
    assert torch.allclose(turns.abs(), torch.ones(800), atol=1e-5) and (turns[1:] - turns[:-1]).abs().max() < 0.13
    assert not beats.signal((), 0.0, 0.01, 5).any()
    for wrong in (0.0, -3.0, float("nan")):
        with pytest.raises(ValueError, match="bpm must be above 0"):
            beats.Beats(bpm=wrong)
