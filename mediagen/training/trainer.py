"""The training loop, once for every network: autoencoders, denoisers, readers.

A *player* is a module with its own loss; a plain training has one, an adversarial one has two. Each batch and all noise
are functions of (seed, step) alone, so a run that was stopped and resumed has the losses of one that never stopped.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import Tensor, nn

from . import checkpoint
from .ema import EMA
from .journal import Journal
from .memory import keep_freed_memory
from .optim import Muon, parameter_groups


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """steps: optimizer steps in all; lr: peak learning rate, reached after `warmup` steps and brought to zero over the
    last `cooldown` fraction (warmup-stable-decay, arXiv:2404.06395); ema: decay of the averaged weights; clip: gradient
    norm; precision: "bf16", "fp16" or "no"; log_every: steps between lines in the journal, 0 for none."""

    steps: int
    lr: float = 1e-3
    warmup: int = 100
    cooldown: float = 0.3
    weight_decay: float = 0.01
    ema: float = 0.999
    clip: float = 1.0
    precision: str = "bf16"
    checkpoint_every: int = 500
    log_every: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.checkpoint_every < 1 or self.log_every < 0:
            raise ValueError(
                f"steps and checkpoint_every must be 1 or more and log_every 0 or more, not {self.steps}, "
                f"{self.checkpoint_every} and {self.log_every}"
            )
        if self.precision not in ("bf16", "fp16", "no"):
            raise ValueError(f"precision is {self.precision!r}; it must be 'bf16', 'fp16' or 'no'")

    def rate(self, step: int) -> float:
        """Learning rate of `step`."""
        rise = min(1.0, (step + 1) / max(1, self.warmup))
        fall = min(1.0, (self.steps - step) / max(1.0, self.cooldown * self.steps))
        return self.lr * min(rise, fall)


@dataclass(kw_only=True)
class Player:
    """One module and what it minimises. `loss(step)` returns named scalars; "loss" is the one that is minimised.

    rate multiplies the schedule's learning rate; the player acts from step `start` on.
    """

    name: str
    module: nn.Module
    loss: Callable[[int], dict[str, Tensor]]
    rate: float = 1.0
    start: int = 0


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What the loop tells after each step: step counts from 1; seconds are since the start of this run."""

    step: int
    steps: int
    losses: dict[str, float]
    rate: float
    seconds: float
    done_here: int = field(default=1)

    @property
    def seconds_left(self) -> float:
        return self.seconds / self.done_here * (self.steps - self.step)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where this process trains (`accelerate launch` starts one for each GPU): its device, and which one it is."""

    device: torch.device
    rank: int = 0
    world: int = 1

    def share(self, rows: Any) -> Any:
        """This process' rows of a batch. ValueError if the batch does not divide evenly."""
        if len(rows) % self.world:
            raise ValueError(f"a batch of {len(rows)} cannot be shared evenly by {self.world} processes")
        return rows[self.rank :: self.world]

    def first(self) -> AbstractContextManager[None]:
        """A block that the first process goes through before the others: it makes the files that they then find."""
        return nullcontext() if self.world == 1 else _accelerate().PartialState().main_process_first()

    def seed(self, seed: int) -> int:
        """A seed of noise for this process; the first one's is the recipe's."""
        return seed + 7919 * self.rank


def place() -> Place:
    """This process' GPU, or the CPU where there is none."""
    state = _accelerate().PartialState(cpu=not torch.cuda.is_available())
    return Place(device=state.device, rank=state.process_index, world=state.num_processes)


def train(
    players: Sequence[Player],
    schedule: Schedule,
    out: Path,
    watch: Callable[[int, EMA], None] | None = None,
    journal: Journal | None = None,
) -> Iterator[Progress]:
    """Train the players in turn, yielding after each step. Resumes from `out/last.pt` if it is there.

    The first player's weights are averaged; `watch(step, ema)` is called at each checkpoint (weights, samples,
    metrics).
    """
    keep_freed_memory()
    accelerator = _accelerator(schedule.precision)
    modules = [accelerator.prepare_model(p.module, evaluation_mode=True) for p in players]  # gradients: see `_turn`
    optimizers = [
        accelerator.prepare(Muon(parameter_groups(p.module), weight_decay=schedule.weight_decay)) for p in players
    ]
    ema = EMA(players[0].module, schedule.ema)
    last, began = out / "last.pt", monotonic()
    start = _resume(last, players, optimizers, ema) if last.exists() else 0
    mine = Journal(out, every=0) if journal is None or not accelerator.is_main_process else journal
    mine.begin(start)
    for step in range(start, schedule.steps):
        losses: dict[str, float] = {}
        for player, module, optimizer in zip(players, modules, optimizers, strict=True):
            if step >= player.start:
                losses |= _turn(accelerator, player, module, optimizer, schedule, step)
        ema.update(players[0].module, step)
        if accelerator.is_main_process and _whole(step + 1, schedule):
            checkpoint.save(last, _state(step + 1, players, optimizers, ema))
            if watch is not None:
                watch(step + 1, ema)
        if mine.due(step + 1):
            mine.numbers(step + 1, {**losses, "rate": schedule.rate(step)})
        done = {"step": step + 1, "steps": schedule.steps, "done_here": step + 1 - start}
        yield Progress(**done, losses=losses, rate=schedule.rate(step), seconds=monotonic() - began)
    mine.close()


def _whole(step: int, schedule: Schedule) -> bool:
    """Whether a checkpoint is due after `step` steps."""
    return step % schedule.checkpoint_every == 0 or step == schedule.steps


def _accelerate() -> Any:
    try:
        import accelerate
    except ImportError as error:
        raise ImportError("training needs accelerate: pip install 'mediagen[train]'") from error
    return accelerate


def _accelerator(precision: str) -> Any:
    """An accelerator with a precision of its own, though this process may have trained in another one before."""
    accelerate = _accelerate()
    accelerate.state.AcceleratorState._reset_state()
    return accelerate.Accelerator(mixed_precision=precision, cpu=not torch.cuda.is_available())


def _turn(
    accelerator: Any, player: Player, module: nn.Module, optimizer: Any, schedule: Schedule, step: int
) -> dict[str, float]:
    """One optimizer step of one player; its losses and the gradient's norm by name."""
    for group in optimizer.param_groups:
        group["lr"] = schedule.rate(step) * player.rate
    module.train()
    with accelerator.autocast():
        losses = player.loss(step)
    if not torch.isfinite(losses["loss"]):
        raise ValueError(
            f"the loss of {player.name} became {losses['loss'].item()} at step {step}: lower the learning rate"
        )
    accelerator.backward(losses["loss"])
    if accelerator.num_processes > 1:
        _average_gradients(accelerator, module)
    norm = accelerator.clip_grad_norm_(module.parameters(), schedule.clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    named = {**losses, "norm": norm}
    return {f"{player.name}/{k}": float(v.detach()) for k, v in named.items()}


def _average_gradients(accelerator: Any, module: nn.Module) -> None:
    """The mean over all processes. Losses call parts of a module (an encoder, a decoder), which DDP would not see."""
    for p in module.parameters():
        if p.grad is not None:
            p.grad = accelerator.reduce(p.grad, reduction="mean")


def _state(step: int, players: Sequence[Player], optimizers: Sequence, ema: EMA) -> dict:
    modules = {p.name: p.module.state_dict() for p in players}
    return {
        "step": step,
        "modules": modules,
        "optimizers": [o.state_dict() for o in optimizers],
        "ema": ema.state_dict(),
    }


def _resume(path: Path, players: Sequence[Player], optimizers: Sequence, ema: EMA) -> int:
    state = checkpoint.load(path)
    if state["modules"].keys() != {p.name for p in players}:
        raise ValueError(f"{path} holds {sorted(state['modules'])}, this recipe trains {[p.name for p in players]}")
    for player, optimizer, saved in zip(players, optimizers, state["optimizers"], strict=True):
        try:
            player.module.load_state_dict(state["modules"][player.name])
        except RuntimeError as error:
            raise ValueError(f"{path} was made by another recipe: {error}") from error
        optimizer.load_state_dict(saved)
    ema.load_state_dict(state["ema"])
    return state["step"]
