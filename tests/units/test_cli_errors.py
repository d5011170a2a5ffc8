"""What the commands say of errors that are no mistake of ours."""

import pytest
import torch

from mediagen.cli import is_expected, told


def test_memory_that_runs_out_is_one_line() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    for error in (caught.value, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")):
        assert is_expected(error) and told(error).startswith("there is not enough memory: ask for less")


def test_what_is_a_mistake_of_ours_keeps_its_trace() -> None:
    assert not is_expected(RuntimeError("shape '[1, 104]' is invalid for input of size 128"))
