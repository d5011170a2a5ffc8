"""A command in a fresh process: its wall time and its peak memory; and how a measure stands beside its target."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from statistics import median
from typing import Any

# A child's peak memory counts that of the process it was forked from, so the command is started by a small one of its
# own, not by this one, in which torch may be loaded.
LAUNCH = """
import json, resource, subprocess, sys, time
begin = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
seconds = time.perf_counter() - begin
unit = 1 if sys.platform == "darwin" else 1024
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
print(json.dumps({"seconds": seconds, "peak": peak, "code": done.returncode, "error": done.stderr[-400:]}))
"""
COMMAND = "from mediagen.cli import main; main()"


@dataclass(frozen=True, kw_only=True)
class Command:
    """A run of mediagen in a fresh process: wall seconds from start to exit, peak resident bytes."""

    seconds: float
    peak: int


def repeated(asked: Sequence[str], repeats: int) -> Command:
    """`mediagen ASKED...`, run once unmeasured and then `repeats` times: median seconds, largest peak.

    ValueError with the command's own words if it fails.
    """
    runs = [_launched([sys.executable, "-c", COMMAND, *asked]) for _ in range(repeats + 1)]
    return Command(seconds=median(r["seconds"] for r in runs[1:]), peak=max(r["peak"] for r in runs))


def _launched(arguments: Sequence[str]) -> dict[str, Any]:
    launched = subprocess.run(
        [sys.executable, "-S", "-c", LAUNCH, *arguments], capture_output=True, text=True, check=True
    )
    run = json.loads(launched.stdout)
    if run["code"]:
        raise ValueError(f"the command failed with exit code {run['code']}: {run['error'].strip()}")
    return run


def limited(what: str, value: float, limit: float, unit: str, *, least: bool = False) -> str:
    """A row of a markdown table: what was measured beside the most (or the least) that it may be."""
    reached, word = (value >= limit, "at least") if least else (value < limit, "under")
    return f"| {what} | {value:.2f} {unit} | {word} {limit:.2f} {unit} | {'reached' if reached else 'missed'} |"


def machine(*libraries: str) -> str:
    """What it was measured on. libraries: beside torch."""
    import torch

    versions = [f"{name} {import_module(name).__version__}" for name in ("torch", *libraries)]
    return f"{', '.join(versions)}, {os.cpu_count()} cores, {torch.get_num_threads()} threads."
