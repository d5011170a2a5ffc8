"""The allocator is told to keep its buffers by the command alone, and nothing that is computed changes."""

import platform
import subprocess
import sys

import pytest

CODE = """
import sys, mediagen
pipeline = mediagen.load("mini-image")
made = [pipeline.generate("a cat", seed=3, steps=2).sha256]
assert "mediagen.cli.allocator" not in sys.modules
from mediagen.cli.allocator import keep_buffers
assert keep_buffers()
made += [pipeline.generate("a cat", seed=3, steps=2).sha256]
print(*made)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_results_are_the_same_and_importing_tells_nothing() -> None:
    plain, kept = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True
    ).stdout.split()
    assert plain == kept


def test_another_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from mediagen.cli import allocator

    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: ("", ""))
    assert not allocator.keep_buffers()
