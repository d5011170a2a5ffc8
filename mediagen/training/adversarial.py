"""A small patch discriminator and the hinge losses of the adversarial stage (arXiv:1611.07004, arXiv:2012.09841)."""

import torch.nn.functional as F
from torch import Tensor, nn

from ..nn.conv import Down, ResBlock, conv


class PatchDiscriminator(nn.Module):
    """[B, C, *size] -> one logit for each patch [B, 1, *size/8]; for 1, 2 or 3 axes."""

    def __init__(self, dims: int = 2, channels: int = 3, width: int = 48) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for level, factor in enumerate((2, 2, 2)):
            layers += [Down(channels, width * 2**level, (factor,) * dims), ResBlock(dims, width * 2**level)]
            channels = width * 2**level
        self.layers = nn.Sequential(*layers, nn.SiLU(), conv(dims, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the discriminator's logits."""
    return (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2


def generator_loss(fake: Tensor) -> Tensor:
    return -fake.mean()
