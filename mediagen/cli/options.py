"""Options that commands share."""

from typing import Annotated

import typer

Prompt = Annotated[str, typer.Argument(help="What to make. (word:1.3) weighs a word.")]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same result. Default: a new one, told.")]
Steps = Annotated[int | None, typer.Option(help="Solver steps.")]
Guidance = Annotated[float | None, typer.Option(help="How strongly the prompt is followed; 1 is no guidance.")]
Guidance2 = Annotated[
    float | None, typer.Option("--guidance-2", help="The guidance of a model's second network, or below --boundary.")
]
Boundary = Annotated[
    float | None, typer.Option(help="The time in 0 .. 1 below which --guidance-2 acts. Default: the model's own.")
]
Method = Annotated[str | None, typer.Option(help="Guidance method: cfg, apg, cfg_zero, cfg_pp ...")]
Solver = Annotated[str | None, typer.Option(help="euler, heun, dpmpp_2m, unipc, lcm ...")]
Negative = Annotated[str | None, typer.Option(help="What to lead away from.")]
Eta = Annotated[float | None, typer.Option(help="Noise added at each step, 0 to 1.")]
Count = Annotated[int, typer.Option("-n", help="How many, in one batch.")]
Model = Annotated[str, typer.Option(help="A shipped model, or a folder.")]
Dtype = Annotated[
    str | None, typer.Option(help="float32, bfloat16, float16; of published checkpoints auto, if unsaid.")
]
