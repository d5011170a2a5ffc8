"""Exponential moving average of weights, in float32."""

import torch
from torch import Tensor, nn


class EMA:
    """`decay` is reached gradually, min(decay, (1 + step) / (10 + step)), so that an early average is useful."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():
            mine = self.weights[name]
            if mine.is_floating_point():
                mine.lerp_(value.to(mine), 1 - decay)
            else:
                mine.copy_(value)

    def state_dict(self) -> dict[str, Tensor]:
        return self.weights

    def load_state_dict(self, weights: dict[str, Tensor]) -> None:
        if weights.keys() != self.weights.keys():
            raise ValueError("the averaged weights belong to another network")
        self.weights = {k: v.to(self.weights[k]).clone() for k, v in weights.items()}
