"""Configurations: what does not fit is an error that names it, and every recipe in configs/ is read."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from mediagen import config
from mediagen.autoencoders.conv import ConvVAE
from mediagen.cli.training import rooms
from mediagen.core import timing
from mediagen.training import recipes, run_denoiser

CONFIGS = Path(__file__).parents[2] / "configs"


@dataclass(frozen=True, kw_only=True)
class Inner:
    sizes: tuple[int, ...] = (1, 2)
    rate: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    inner: Inner = Inner()
    note: str | None = None
    on: bool = False


def test_build_and_plain_are_inverse() -> None:
    built = config.build(Outer, {"name": "a", "inner": {"sizes": [3, 4], "rate": 1}, "note": None})
    assert built == Outer(name="a", inner=Inner(sizes=(3, 4), rate=1.0))
    assert config.build(Outer, config.plain(built)) == built


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "a", "colour": 1}, "unknown key 'colour'; known: name, inner, note, on"),
        ({"name": "a", "inner": {"size": 1}}, "inner: unknown key 'size'"),
        ({}, "the key 'name' is missing"),
        ({"name": 3}, "name must be str, not 3"),
        ({"name": "a", "inner": {"sizes": 3}}, "sizes must be a list, not 3"),
        ({"name": "a", "inner": {"rate": "fast"}}, "rate must be float, not 'fast'"),
        ({"name": "a", "inner": {"rate": True}}, "rate must be float, not True"),
        ({"name": "a", "on": "yes"}, "on must be bool"),
        ([1], "must be a mapping of name"),
    ],
)
def test_what_does_not_fit_is_named(values: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        config.build(Outer, values)


def test_a_file_that_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("{a: [")
    for file in ("missing.yaml", "broken.yaml"):
        with pytest.raises(ValueError, match=file):
            config.read(tmp_path / file, Outer)
        with pytest.raises(ValueError, match=file):
            recipes.read(tmp_path / file)


def test_a_recipe_of_an_unknown_kind(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("kind: painter")
    with pytest.raises(ValueError, match=r"kind is 'painter'; it must be one of autoencoder, denoiser, preview"):
        recipes.read(tmp_path / "r.yaml")


@pytest.mark.parametrize("file", sorted(CONFIGS.rglob("*.yaml")), ids=lambda f: f.stem)
def test_every_recipe_is_read_and_its_network_built(file: Path) -> None:
    recipe = recipes.read(file, {name: kind for name, (kind, _) in rooms().items()})
    assert config.build(type(recipe), config.plain(recipe)) == recipe
    with torch.device("meta"):
        if isinstance(recipe, recipes.DenoiserRecipe):
            run_denoiser.fresh(recipe)
            timing.find(**recipe.density)
        elif isinstance(recipe, recipes.AutoencoderRecipe):
            ConvVAE(recipe.model)
