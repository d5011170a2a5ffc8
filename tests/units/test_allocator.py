"""The allocator is told to keep its buffers by the command alone, and nothing that is computed changes."""

import platform
import subprocess
import sys

import pytest

CODE = """
import sys
{first}
import mediagen, hashlib
made = mediagen.load("mini-image").generate("a cat", seed=3, steps=2)
print(made.sha256, "mediagen.cli.allocator" in sys.modules)
"""
TOLD = "from mediagen.cli.allocator import keep_buffers; assert keep_buffers()"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_results_are_the_same_and_importing_tells_nothing() -> None:
    made = [subprocess.run([sys.executable, "-c", CODE.format(first=first)], capture_output=True, text=True, check=True)
            for first in ("", TOLD)]  # fmt: skip
    (plain, loaded), (kept, _) = (one.stdout.split() for one in made)
    assert plain == kept and loaded == "False"


def test_another_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from mediagen.cli import allocator

    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: ("", ""))
    assert not allocator.keep_buffers()
