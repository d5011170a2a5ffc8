"""Whether a part is what its files should have made of it."""

from __future__ import annotations

import re
from typing import Any

from torch import nn


def check(part: str, made: Any) -> None:
    """ValueError for a network some of whose weights were in none of its files: transformers leaves them to chance,
    diffusers without numbers. One of fewer bits has others than its class says, and is not looked at."""
    if isinstance(made, nn.Module) and not getattr(made, "is_quantized", False) and (names := lacking(made)):
        more = f" nor {len(names) - 1} others" if len(names) > 1 else ""
        said = f"they have no {names[0]}{more}, or have other names"
        raise ValueError(f"the weights of the {part} are not whole: {said}; fetch its files again")


def check_words(part: str, made: Any) -> None:
    """ValueError for a tokenizer that knows no words."""
    if hasattr(made, "get_vocab") and set(made.get_vocab()) <= set(made.all_special_tokens):
        raise ValueError(f"its {part} has no vocabulary: files of it are missing")


def lacking(network: nn.Module) -> list[str]:
    """The names of parameters that were not read, of a network that has just been; those that are the same as another
    one, or that its class says may be left out, are no loss. transformers marks what it has read."""
    if not hasattr(network, "_keys_to_ignore_on_load_missing"):
        return [name for name, value in network.named_parameters() if value.is_meta]
    spared = [re.compile(pattern) for pattern in network._keys_to_ignore_on_load_missing or ()]
    names = [name for name, value in network.named_parameters() if not getattr(value, "_is_hf_initialized", False)]
    return [name for name in names if not any(pattern.search(name) for pattern in spared)]
