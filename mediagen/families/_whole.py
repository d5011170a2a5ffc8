"""Whether a part is what its files should have made of it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn

from ._files import header


def check(part: str, made: Any, files: Iterable[Path] = ()) -> None:
    """ValueError for a network some of whose weights were in none of its files: transformers leaves them to chance,
    diffusers without numbers. Where no names can be told, numbers are counted: there must be as many in `files` as it
    has. One of fewer bits has others than its class says, and is not looked at."""
    if not isinstance(made, nn.Module) or getattr(made, "is_quantized", False):
        return
    names = lacking(made)
    if names:
        more = f" nor {len(names) - 1} others" if len(names) > 1 else ""
        said = f"they have no {names[0]}{more}, or have other names"
    else:
        held, needed = numbers(files), sum(value.numel() for value in made.parameters())
        if names is not None or not held or held >= needed:
            return
        said = f"{held} numbers of {needed}"
    raise ValueError(f"the weights of the {part} are not whole: {said}; fetch its files again")


def numbers(files: Iterable[Path]) -> int:
    """How many numbers the .safetensors of these files hold."""
    entries = [entry for file in files if file.suffix == ".safetensors" for entry in header(file)[1].values()]
    return sum(math.prod(entry["shape"]) for entry in entries)


def check_words(part: str, made: Any) -> None:
    """ValueError for a tokenizer that knows no words."""
    if hasattr(made, "get_vocab") and set(made.get_vocab()) <= set(made.all_special_tokens):
        raise ValueError(f"its {part} has no vocabulary: files of it are missing")


def lacking(network: nn.Module) -> list[str] | None:
    """The names of parameters that were not read, of a network that has just been; those that are the same as another
    one, or that its class says may be left out, are no loss. None for a network whose weights accelerate has laid
    elsewhere, and by a transformers that does not mark what it has read (before 5)."""
    if any(hasattr(module, "_hf_hook") for module in network.modules()):
        return None
    if not hasattr(network, "_keys_to_ignore_on_load_missing"):
        return [name for name, value in network.named_parameters() if value.is_meta]
    if not hasattr(network, "mark_tied_weights_as_initialized"):
        return None
    spared = [re.compile(pattern) for pattern in network._keys_to_ignore_on_load_missing or ()]
    names = [name for name, value in network.named_parameters() if not getattr(value, "_is_hf_initialized", False)]
    return [name for name in names if not any(pattern.search(name) for pattern in spared)]
