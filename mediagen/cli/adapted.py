"""Options that put adapters on a model: FILE:WEIGHT and MODEL=PICTURE:WEIGHT -> what a pipeline is asked for."""

from dataclasses import dataclass
from typing import Annotated, Any

import typer


@dataclass(frozen=True, kw_only=True)
class Lora:
    """What every model may have on it."""

    lora: Annotated[
        list[str] | None, typer.Option(help="A LoRA: FILE, or FILE:WEIGHT. May be given several times.")
    ] = None

    def asked(self) -> dict[str, Any]:
        """What of these options was given, as it is asked of a pipeline."""
        return {} if not self.lora else {"lora": loras(self.lora)}


@dataclass(frozen=True, kw_only=True)
class Adapted(Lora):
    """What models of pictures and clips may have on them."""

    word: Annotated[list[str] | None, typer.Option(help="A learned word: WORD=FILE, or FILE for its own word.")] = None
    control: Annotated[
        list[str] | None,
        typer.Option(help="A control network and its picture: MODEL=PICTURE, or MODEL=PICTURE:WEIGHT."),
    ] = None
    hint: Annotated[
        str | None, typer.Option(help="With --control: what is made of its picture first, such as canny.")
    ] = None
    mode: Annotated[int | None, typer.Option(help="With --control: what a union network is shown, a number.")] = None
    guess: Annotated[bool, typer.Option(help="With --control: it leads alone, also without a prompt.")] = False
    image_prompt: Annotated[
        list[str] | None, typer.Option(help="An IP-Adapter and its picture: FILE=PICTURE, or FILE=PICTURE:WEIGHT.")
    ] = None

    def asked(self) -> dict[str, Any]:
        led = {"hint": self.hint, "mode": self.mode, "guess": self.guess or None}
        more = {"words": words(self.word), "control": shown(self.control, "control", "model", **led)}
        more["image_prompt"] = shown(self.image_prompt, "image-prompt", "adapter")
        return super().asked() | {name: value for name, value in more.items() if value is not None}


def loras(given: list[str] | None) -> list[tuple[str, float]] | None:
    return [weighted(each) for each in given] if given else None


def words(given: list[str] | None) -> Any:
    """WORD=FILE each, or FILE each, as it is asked of a pipeline."""
    if not given:
        return None
    pairs = [each.partition("=") for each in given]
    if not any(equals for _, equals, _ in pairs):
        return given
    if not all(equals for _, equals, _ in pairs):
        raise ValueError(f"--word is WORD=FILE for all of them, or FILE for all of them, not {', '.join(given)}")
    return {word: file for word, _, file in pairs}


def shown(given: list[str] | None, option: str, first: str, **more: Any) -> list[dict[str, Any]] | None:
    """FIRST=PICTURE:WEIGHT -> {first: ..., "image": ..., "weight": ...}, and what more is not None."""
    told = {name: value for name, value in more.items() if value is not None}
    if told and not given:
        raise ValueError(f"--{next(iter(told))} needs --{option}")
    asked = []
    for each in given or ():
        name, equals, picture = each.rpartition("=")
        if not equals:
            raise ValueError(
                f"--{option} is {each!r}; it must be {first.upper()}=PICTURE or {first.upper()}=PICTURE:WEIGHT"
            )
        image, weight = weighted(picture)
        asked.append({first: name, "image": image, "weight": weight} | told)
    return asked or None


def weighted(text: str) -> tuple[str, float]:
    """ "style.safetensors:0.8" -> ("style.safetensors", 0.8); without a weight, 1."""
    path, colon, number = text.rpartition(":")
    try:
        return (path, float(number)) if colon and path else (text, 1.0)
    except ValueError:
        return text, 1.0  # a colon of the path itself
