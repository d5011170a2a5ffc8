"""Memory that is freed and needed again at once stays with the process, and large tensors then cost no new pages."""

import subprocess
import sys

import pytest

COUNT = """
import resource, torch
from mediagen.training.memory import keep_freed_memory
def faults():
    for _ in range(10):  # an aligned tensor needs a little more room than it leaves: the first ones find none
        torch.ones(10_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(10_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults(), keep_freed_memory(), faults())
"""


def test_freed_memory_is_used_again() -> None:
    """Pages mapped while ten tensors of 40 MB are made one after the other, before it is asked for and after."""
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    plain, asked, kept = done.stdout.split()
    if asked == "False":
        pytest.skip("this system's C library has no mallopt")
    assert int(kept) < 1000 and int(plain) > 10 * (int(kept) + 100)
