"""Family x solver x guidance x task, each cell run on a tiny checkpoint: it works, or is refused with a reason.

    python tests/families/table.py docs/families.md [--all] [example ...]

writes the tables between the markers of the document. A family joins by a line in `tiny_all`. Every solver and every
guidance method is run in the first task that works, and every task with the published solver; `--all` runs every
combination.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import tiny_musicgen
import torch
from tiny_all import EXAMPLES

import mediagen
from mediagen.bench.document import put
from mediagen.core import guidance, solve
from mediagen.families.published import pipelines
from mediagen.modalities.audio import Audio
from mediagen.modalities.image import Image
from mediagen.modalities.video import Video

PROMPT = "a red cat"
STEPS = 3  # so that rules of two steps have a past
CODES = {"MusicGen": (tiny_musicgen.musicgen, {"seconds": 0.15})}  # these write codes, and have no walk


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run. reason: why it was refused, "" where it works."""

    task: str
    solver: str
    method: str
    reason: str


def loaded(folder: Path, size: Mapping[str, Any], **options: Any) -> Any:
    """The pipeline of a checkpoint, best at the small size that it is run at. What it makes must be finite numbers.
    options: of `mediagen.load`."""
    pipe = mediagen.load(folder, **options)
    if "size" in size:
        pipe.model = replace(pipe.model, size=(size["size"],) * 2)
    decode = pipe.decode

    def finite(z: torch.Tensor, *options: Any) -> torch.Tensor:
        if not bool(z.isfinite().all()):
            raise ValueError("what it makes is not finite")
        return decode(z, *options)

    pipe.decode = finite
    return pipe


def picture(pipe: Any) -> Image:
    return Image((np.random.default_rng(0).random((*pipe.model.size, 3)) * 255).astype(np.uint8))


def half(pipe: Any) -> Image:
    """A mask of the right half."""
    pixels = np.zeros_like(picture(pipe).pixels)
    pixels[:, pixels.shape[1] // 2 :] = 255
    return Image(pixels)


def clip(pipe: Any, length: float) -> Any:
    """Noise of so many seconds."""
    g = np.random.default_rng(0)
    if pipe.model.modality == "audio":
        shape = (pipe.model.spec.media_channels, round(length * pipe.rate))
        return Audio((g.random(shape) - 0.5).astype(np.float32), pipe.rate)
    return Video((g.random((round(length * pipe.rate), *pipe.model.size, 3)) * 255).astype(np.uint8), pipe.rate)


Task = Callable[[Any, Mapping[str, Any], Mapping[str, Any]], Any]
"""(pipeline, size and length, options of the walk) -> media."""


def words(pipe: Any) -> str:
    """A prompt; empty for a model that reads none."""
    try:
        pipe.model.text.lengths([PROMPT])
    except ValueError:
        return ""
    return PROMPT


def _generate(pipe: Any, size: Mapping[str, Any], walk: Mapping[str, Any], **more: Any) -> Any:
    return pipe.generate(words(pipe), **{**size, **more}, **walk)


def _edit(name: str, *given: Any, **options: Any) -> Task:
    """A method that begins from a clip."""

    def run(pipe: Any, size: Mapping[str, Any], walk: Mapping[str, Any]) -> Any:
        return getattr(pipe, name)(clip(pipe, size["seconds"]), *given, words(pipe), **options, **walk)

    return run


def _drawn(pipe: Any, walk: Mapping[str, Any], *, prompt: Any = PROMPT, side: int = 0, **more: Any) -> Any:
    """A picture from words, or of a model that makes one larger, from a small one as well."""
    if pipe.model.enlarges is not None:
        return pipe.upscale(picture(pipe), prompt, **more, **walk)
    return pipe.generate(prompt, size=side or None, **more, **walk)


IMAGE: dict[str, Task] = {
    "generate": _generate,
    "vary": lambda pipe, size, walk: pipe.vary(picture(pipe), PROMPT, **walk),
    "inpaint": lambda pipe, size, walk: pipe.inpaint(picture(pipe), half(pipe), PROMPT, **walk),
    "upscale": lambda pipe, size, walk: pipe.upscale(picture(pipe), PROMPT, **walk),
    "two prompts": lambda pipe, size, walk: _drawn(pipe, walk, prompt=[(PROMPT, 1.0), ("a dog", 0.5)]),
    "negative": lambda pipe, size, walk: _drawn(pipe, walk, negative="a dog"),
    "regions": lambda pipe, size, walk: _drawn(pipe, walk, regions=[("a dog", (0, 0, 0.5, 1))]),
    "loop": lambda pipe, size, walk: _drawn(pipe, walk, loop=(-1,)),
    "window": lambda pipe, size, walk: _drawn(pipe, walk, side=2 * pipe.model.size[0], window=pipe.model.size[0]),
}


def _moved(pipe: Any, size: Mapping[str, Any], walk: Mapping[str, Any], *, times: int = 1, **more: Any) -> Any:
    """A clip so many times as long, from words, or of a model that must be shown one, from a picture as well."""
    shown = {"first": picture(pipe)} if "first" in pipe.model.ends else {}
    return _generate(pipe, {**size, "seconds": times * size["seconds"]}, walk, **shown, **more)


VIDEO: dict[str, Task] = {
    "generate": _generate,
    "animate": lambda pipe, size, walk: _generate(pipe, size, walk, first=picture(pipe)),
    "between": lambda pipe, size, walk: _generate(pipe, size, walk, first=picture(pipe), last=picture(pipe)),
    "vary": _edit("vary"),
    "inpaint": _edit("inpaint", None, between=(0.1, 0.2)),
    "extend": _edit("extend", right=0.2),
    "interpolate": _edit("interpolate", 2),
    "negative": lambda pipe, size, walk: _moved(pipe, size, walk, negative="a dog"),
    "loop": lambda pipe, size, walk: _moved(pipe, size, walk, loop=True),
    "window": lambda pipe, size, walk: _moved(pipe, size, walk, times=2, window=size["seconds"]),
}
AUDIO: dict[str, Task] = {
    "generate": _generate,
    "vary": _edit("vary"),
    "inpaint": _edit("inpaint", 0.05, 0.1),
    "extend": lambda pipe, size, walk: _edit("extend", right=max(0.05, pipe.shortest))(pipe, size, walk),
    "negative": lambda pipe, size, walk: _generate(pipe, size, walk, negative="a dog"),
    "loop": lambda pipe, size, walk: _generate(pipe, size, walk, loop=True),
    "window": lambda pipe, size, walk: _generate(
        pipe, size | {"seconds": 2 * size["seconds"]}, walk, window=size["seconds"]
    ),
}
TASKS = {"image": IMAGE, "video": VIDEO, "audio": AUDIO}


def cell(pipe: Any, size: Mapping[str, Any], task: str, solver: str, method: str) -> Cell:
    """Run one; only a ValueError is a refusal. solver and method are "" for a model without a walk."""
    walk: dict[str, Any] = {"steps": STEPS, "solver": solver, "method": method} if solver else {}
    walk["seed"] = 0
    walk |= {"guidance": 0.6} if method == "cfg_pp" else {}  # its scale lies in 0 .. 1
    reason = ""
    try:
        TASKS[pipe.model.modality][task](pipe, size, walk)
    except ValueError as error:
        reason = str(error).replace(f"the model {pipe.model.name}", "it").splitlines()[0]
    return Cell(task=task, solver=solver, method=method, reason=reason)


def cells(pipe: Any, size: Mapping[str, Any], everything: bool) -> Iterator[Cell]:
    """The cells of one checkpoint; its own solver and plain guidance first."""
    if "solver" not in pipe.model.defaults:
        yield from (cell(pipe, size, task, "", "") for task in TASKS[pipe.model.modality])
        return
    solvers, methods = list(solve.rules()), list(guidance.methods())
    own, plain, tasks = pipe.model.defaults["solver"], "cfg", list(TASKS[pipe.model.modality])
    if everything:
        yield from (cell(pipe, size, *names) for names in product(tasks, solvers, methods))
        return
    found = [cell(pipe, size, task, own, plain) for task in tasks]
    yield from found
    first = next((each.task for each in found if not each.reason), tasks[0])
    yield from (cell(pipe, size, first, solver, plain) for solver in solvers if solver != own)
    yield from (cell(pipe, size, first, own, method) for method in methods if method != plain)


def row(name: str, found: Sequence[Cell], notes: list[str]) -> list[str]:
    """name, solvers, guidance methods, and each task: "yes", or the number of the note that says why not."""
    there = [each for each in found if not _never(found, "task", each.task)]
    shown = [name, _all(there, "solver", notes), _all(there, "method", notes)]
    for task in dict.fromkeys(each.task for each in found):
        reason = _never(found, "task", task)
        shown.append(f"no {_note(reason, notes)}" if reason else "yes")
    for each in there:
        if each.reason and not _never(there, "solver", each.solver) and not _never(there, "method", each.method):
            _note(f"{name}, {each.task} with {each.solver} and {each.method}: {each.reason}", notes)
    return shown


def _never(found: Sequence[Cell], axis: str, name: str) -> str:
    """Why none of the cells with this name works; "" if one does."""
    own = [each.reason for each in found if getattr(each, axis) == name]
    return own[0] if all(own) else ""


def _all(found: Sequence[Cell], axis: str, notes: list[str]) -> str:
    names = list(dict.fromkeys(getattr(each, axis) for each in found))
    if names == [""]:
        return "none"
    refused = {name: reason for name in names if (reason := _never(found, axis, name))}
    less = [f"{name} {_note(reason, notes)}" for name, reason in refused.items()]
    return f"all {len(names)}" if not less else f"{len(names) - len(less)} of {len(names)}; not {', '.join(less)}"


def _note(reason: str, notes: list[str]) -> str:
    if reason not in notes:
        notes.append(reason)
    return f"({notes.index(reason) + 1})"


@torch.no_grad()
def tables(names: Sequence[str] = (), everything: bool = False) -> str:
    """A table of each modality, and the notes."""
    rows: dict[str, list[list[str]]] = {name: [] for name in TASKS}
    notes: list[str] = []
    for name, (build, size) in (EXAMPLES | CODES).items():
        if names and name not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            pipe = loaded(build(Path(folder)), size)
            length = {"seconds": size["frames"] / pipe.rate} if "frames" in size else {}
            size = {key: value for key, value in size.items() if key != "frames"} | length
            rows[pipe.model.modality].append(row(name, list(cells(pipe, size, everything)), notes))
    heads = {name: ["checkpoint", "solvers", "guidance", *tasks] for name, tasks in TASKS.items()}
    parts = [_markdown(heads[name], each) for name, each in rows.items() if each]
    listed = [f"{number}. {note}" for number, note in enumerate(notes, start=1)]
    return "\n\n".join([*parts, "\n".join(listed)]).strip()


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def lacking() -> list[str]:
    """Pipeline classes that no example is of."""
    seen = set()
    for build, _ in EXAMPLES.values():
        with tempfile.TemporaryDirectory() as folder:
            seen.add(json.loads((build(Path(folder)) / "model_index.json").read_text())["_class_name"])
    return sorted(set(pipelines()) - seen)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("document", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--all", action="store_true")
    asked = parser.parse_args()
    made = tables(asked.names, asked.all)
    text = asked.document.read_text(encoding="utf-8")
    asked.document.write_text(put(text, "families", made), encoding="utf-8")
