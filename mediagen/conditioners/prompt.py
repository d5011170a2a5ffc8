"""Prompt weighting: `a (red:1.3) cat on [grass]` -> plain text and one weight per character.

`(words)` multiplies the weight by 1.1, `[words]` divides it by 1.1, `(words:1.3)` multiplies it by 1.3; brackets nest
and their weights multiply. A backslash takes the next bracket or backslash as it is written.
"""

import re
from dataclasses import dataclass

STEP = 1.1
HIGHEST = 4.0

_PIECE = re.compile(
    r"\\(?P<escaped>[()\[\]\\])|:(?P<weight>[+-]?\d*\.?\d+)\s*(?=\))|(?P<bracket>[()\[\]])|(?P<text>.)", re.S
)
_OPENS = {")": "(", "]": "["}


@dataclass(frozen=True, kw_only=True)
class Weighted:
    """Text without the syntax, and the weight of each of its characters (same length)."""

    text: str
    weights: tuple[float, ...]

    @property
    def plain(self) -> bool:
        """True if every character has weight 1."""
        return all(w == 1.0 for w in self.weights)


@dataclass
class _Open:
    """A bracket not closed yet: its sign, where it stood in the prompt, where its text begins, its factor."""

    sign: str
    at: int
    begin: int
    factor: float | None = None


def parse(prompt: str) -> Weighted:
    """Parse the weighting syntax. ValueError for an unbalanced bracket or a weight outside 0..4."""
    chars: list[str] = []
    weights: list[float] = []
    stack: list[_Open] = []
    for piece in _PIECE.finditer(prompt):
        bracket, weight = piece["bracket"], piece["weight"]
        if bracket in ("(", "["):
            stack.append(_Open(bracket, piece.start(), len(chars)))
        elif bracket:
            opened = _close(stack, bracket, piece.start(), prompt)
            for i in range(opened.begin, len(weights)):
                weights[i] *= _factor(opened)
        elif weight and stack and stack[-1].sign == "(":
            stack[-1].factor = float(weight)
        else:
            taken = piece["escaped"] or piece["text"] or piece[0]
            chars += taken
            weights += [1.0] * len(taken)
    if stack:
        raise _unbalanced(stack[-1].sign, stack[-1].at, prompt)
    _check(weights, prompt)
    return Weighted(text="".join(chars), weights=tuple(weights))


def _close(stack: list[_Open], sign: str, at: int, prompt: str) -> _Open:
    if not stack or stack[-1].sign != _OPENS[sign]:
        raise _unbalanced(sign, at, prompt)
    return stack.pop()


def _factor(opened: _Open) -> float:
    if opened.factor is not None:
        return opened.factor
    return STEP if opened.sign == "(" else 1 / STEP


def _check(weights: list[float], prompt: str) -> None:
    wrong = [w for w in weights if not 0 <= w <= HIGHEST]
    if wrong:
        raise ValueError(f"a prompt weight must lie in 0..{HIGHEST:g}, got {wrong[0]:g} in {prompt!r}")


def _unbalanced(sign: str, at: int, prompt: str) -> ValueError:
    return ValueError(f"unbalanced {sign!r} at character {at} of {prompt!r}; write \\{sign} for a plain bracket")
