"""What latent diffusion saves: the same transformer on pixels and on latents, FLOPs and time a training step.

Both recipes lie in configs/pixel-vs-latent; accuracies are filled in from `scores.json` in their run folders, once the
runs exist and were scored. `mediagen bench pixel-latent` prints the table.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from torch import Tensor

from ..training import recipes, run_denoiser
from ..training.recipes import DenoiserRecipe
from .document import row

CONFIGS = Path(__file__).parents[2] / "configs" / "pixel-vs-latent"
RUNS = Path("runs")
SCORES = ("object", "colour", "background")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one training step: tokens a sample, parameters, FLOPs a sample (forward and backward), seconds a sample."""

    tokens: int
    parameters: int
    flops: float
    seconds: float


def table(configs: Path = CONFIGS, runs: Path = RUNS, batch: int = 8, repeats: int = 5) -> str:
    """A markdown table with a row for each space. ValueError if the recipes are not there."""
    files = sorted(configs.glob("*.yaml"))
    if not files:
        raise ValueError(f"there are no recipes in {configs}: run this from a checkout of the source")
    head = ["space", "tokens", "M parameters", "GFLOPs/sample", "ms/sample", "samples", *(f"{s} %" for s in SCORES)]
    lines = [row(head), row(["---"] * len(head))]
    for file in files:
        lines.append(_line(file, measure(recipe_of(file), batch, repeats), runs))
    return "\n".join(lines)


def recipe_of(file: Path) -> DenoiserRecipe:
    recipe = recipes.read(file)
    if not isinstance(recipe, DenoiserRecipe):
        raise ValueError(f"{file} is no denoiser's recipe")
    return recipe


def measure(recipe: DenoiserRecipe, batch: int, repeats: int) -> Cost:
    """Count and time a forward and backward pass at `batch` samples in float32, on random states."""
    from torch.utils.flop_counter import FlopCounterMode

    model = run_denoiser.fresh(recipe)
    step = stepper(model, recipe, batch)
    with FlopCounterMode(display=False) as counter:
        step()
    seconds = [timed(step) for _ in range(repeats)]
    side, patch = side_of(recipe), recipe.model["patch"]
    return Cost(
        tokens=side * side // (patch[0] * patch[1]),
        parameters=sum(p.numel() for p in model.parameters()),
        flops=counter.get_total_flops() / batch,
        seconds=median(seconds) / batch,
    )


def side_of(recipe: DenoiserRecipe, stride: int = 8) -> int:
    """Positions a side of the state: pixels, or latents of an f8 autoencoder."""
    return recipe.size if recipe.vae is None else recipe.size // stride


def stepper(model: torch.nn.Module, recipe: DenoiserRecipe, batch: int, length: int = 24) -> Callable[[], None]:
    """A training step without the optimizer, on a random batch with `length` tokens of text."""
    side, width = side_of(recipe), model.net.config.text
    x = torch.randn(batch, recipe.model["channels"], side, side)
    t = torch.full((batch,), 0.5)
    cond: dict[str, Tensor] = {
        "text": torch.randn(batch, length, width),
        "text_mask": torch.ones(batch, length, dtype=torch.bool),
        "text_pooled": torch.randn(batch, width),
    }

    def step() -> None:
        model.output(x, t, cond).square().mean().backward()
        model.zero_grad(set_to_none=True)

    return step


def timed(step: Callable[[], None]) -> float:
    began = perf_counter()
    step()
    return perf_counter() - began


def _line(file: Path, cost: Cost, runs: Path) -> str:
    """One line of the table; a dash where a run was not scored yet."""
    recipe, scores = recipe_of(file), scores_of(runs / file.stem)
    cells = [
        file.stem,
        f"{cost.tokens}",
        f"{cost.parameters / 1e6:.1f}",
        f"{cost.flops / 1e9:.2f}",
        f"{cost.seconds * 1e3:.1f}",
        f"{recipe.batch * recipe.schedule.steps:,}",
        *(f"{100 * scores[s]:.0f}" if s in scores else "-" for s in SCORES),
    ]
    return row(cells)


def scores_of(run: Path) -> dict[str, float]:
    """Accuracies 0..1 by name, from `scores.json` in a run's folder; empty where there is none."""
    file = run / "scores.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
