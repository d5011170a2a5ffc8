"""Memory that is freed and needed again at once stays with the process, and large tensors then cost no new pages."""

import subprocess
import sys

import pytest

COUNT = """
import resource, torch
from mediagen.training.memory import keep_freed_memory
asked = keep_freed_memory() if {keep} else None
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):  # an aligned tensor needs a little more room than it leaves: the first ones find none
    torch.ones(10_000_000)
before = faults()
for _ in range(10):
    torch.ones(10_000_000)
print(asked, faults() - before)
"""


def pages(keep: bool) -> tuple[str, int]:
    """What was answered, and the pages mapped while ten tensors of 40 MB are made one after the other."""
    done = subprocess.run(
        [sys.executable, "-c", COUNT.format(keep=keep)], capture_output=True, text=True, check=True
    ).stdout
    asked, found = done.split()
    return asked, int(found)


def test_freed_memory_is_used_again() -> None:
    asked, kept = pages(keep=True)
    if asked == "False":
        pytest.skip("this system's C library has no mallopt")
    assert kept < 1000
    assert pages(keep=False)[1] > 10 * (kept + 100)
