"""What the loop costs beside the networks of every tiny checkpoint, and diffusers' own pipeline beside the same ones.

    OMP_NUM_THREADS=1 python tests/families/loops.py [example ...] [--size 512] [--document docs/memory.md]

writes a line for each: microseconds a step, ours and theirs, and their ratio; milliseconds a call. Examples are named
as in `tiny_all`, or by how they begin. --size: of pictures and clips, which decides what kernels cost; --document: the
table is put between its markers.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import tiny
import torch
from tiny_all import EXAMPLES, picture

from mediagen.bench import beside, checkpoint
from mediagen.bench.document import put, row
from mediagen.families._quiet import quiet

LARGE, LEAST = ("LTX", "Sana"), 32  # whose pipelines take multiples of it
SCHEDULERS = {"DPM-Solver++": "DPMSolverMultistepScheduler", "UniPC": "UniPCMultistepScheduler"}
SCHEDULERS |= {"Heun": "HeunDiscreteScheduler", "ancestral": "EulerAncestralDiscreteScheduler"}
CLOSE = 1e-4  # latents that are no farther apart are the same


def unscaled(build: Callable[[Path], Path], folder: Path) -> Path:
    """LTX-Video with latents that are as large as published: its pipeline forgets a scale where it codes a picture."""
    coder = build(folder) / "vae" / "config.json"
    coder.write_text(json.dumps(json.loads(coder.read_text()) | {"scaling_factor": 1.0}))
    return folder


ALL = EXAMPLES | {
    f"Stable Diffusion 1, {name}": picture(tiny.sd, kind, tiny.LEADING) for name, kind in SCHEDULERS.items()
}
ALL["LTX-Video, picture"] = partial(unscaled, ALL["LTX-Video, picture"][0]), ALL["LTX-Video, picture"][1]


def measured(name: str, size: int | None, repeats: int) -> str:
    build, asked = ALL[name]
    with tempfile.TemporaryDirectory() as folder:
        both = checkpoint.pair(build(Path(folder)), **shape(name, asked, size))
        if size is None and not (far := beside.apart(both)) < CLOSE:  # large networks would take minutes
            raise ValueError(f"its latents differ by {far:.0e}")
        mine, other = beside.overhead(both, repeats=repeats)
    cells = [f"{cost.step * 1e6:.0f}" for cost in (mine, other)] + [f"{mine.step / other.step:.2f}"]
    return row([name, *cells, *(f"{cost.call * 1e3:.2f}" for cost in (mine, other))])


def shape(name: str, asked: Mapping[str, Any], size: int | None) -> dict[str, Any]:
    if "size" not in asked:
        return dict(asked)
    sides = {"size": size or (LEAST if name.startswith(LARGE) else asked["size"])}
    return sides | ({"seconds": asked["frames"] / 24} if "frames" in asked else {})


def lines(names: Sequence[str], size: int | None, repeats: int) -> Iterator[str]:
    yield row(["", "µs a step: mediagen", "diffusers", "ratio", "ms a call: mediagen", "diffusers"])
    yield row(["---"] * 6)
    left = []
    for name in ALL:
        if any(name.startswith(one) for one in names):
            try:
                yield measured(name, size, repeats)
            except ValueError as error:  # what diffusers' pipeline does not make
                left.append(f"{name} ({str(error).splitlines()[0]})")
    yield f"\nNot compared: {'; '.join(left) or 'none'}."


@contextmanager
def spelt() -> Iterator[None]:
    """Wan's pipeline that begins from a picture finds what cleans its words, which it does not ask for."""
    from diffusers.pipelines.wan import pipeline_wan_i2v

    with patch.object(pipeline_wan_i2v, "ftfy", SimpleNamespace(fix_text=str), create=True):
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("examples", nargs="*", default=[""])
    parser.add_argument("--size", type=int)
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--document", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    made = []
    with spelt(), quiet():
        for line in lines(given.examples, given.size, given.repeats):
            made.append(line)
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    if given.document is not None:
        text = put(given.document.read_text(encoding="utf-8"), "loops", "\n".join(made))
        given.document.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
