"""What is made does not depend, in any bit, on what is made beside it."""

from pathlib import Path
from typing import Any

import pytest
import torch

import mediagen
from mediagen.nn.embed import VectorLinear

WORDS = ("a red ball", "a cat", "two dogs left of a house and a tree", "a pizza", "rain")
SIZES = {"tiny_model": {}, "tiny_audio": {"seconds": 1.5}, "tiny_video": {"seconds": 1}}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", SIZES)
def test_each_of_a_batch_is_what_it_is_alone(
    name: str, threads: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = mediagen.load(request.getfixturevalue(name))
    jobs = [pipeline.job(text, seed=n, steps=2, **SIZES[name]) for n, text in enumerate(WORDS)]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        alone = [pipeline.run(job)[0].sha256 for job in jobs]
        for count in (2, 3, len(jobs)):
            made = pipeline.run(pipeline.together(jobs[:count]))
            assert [one.sha256 for one in made] == alone[:count]
    finally:
        torch.set_num_threads(before)


def test_the_samples_of_a_prompt_are_those_of_their_numbers(tiny_model: Path) -> None:
    pipeline = mediagen.load(tiny_model)
    four = pipeline.generate("a red ball", seed=3, n=4, negative="a cat")
    for number, one in enumerate(four):
        assert pipeline.generate("a red ball", seed=3, sample=number, negative="a cat").sha256 == one.sha256


def test_longer_words_are_no_company_for_short_ones(tiny_model: Path) -> None:
    pipeline: Any = mediagen.load(tiny_model)
    short, other = (pipeline.alike(pipeline.job(text, seed=1)) for text in WORDS[:2])
    long = pipeline.alike(pipeline.job("a dog left of a house " * 4, seed=1))
    assert short == other and short and long and long != short


def test_vectors_are_mapped_alike_however_many_there_are() -> None:
    torch.manual_seed(0)
    layer, rows = VectorLinear(96, 80), torch.randn(13, 96)
    with torch.no_grad():
        whole = layer(rows)
        for count in range(1, 13):
            assert torch.equal(layer(rows[:count]), whole[:count])
        assert torch.equal(layer(rows[:6].view(2, 3, 96)), whole[:6].view(2, 3, 80))
        assert torch.equal(layer(rows[0]), whole[0])
