"""Stable Audio's autoencoder at its published size: 47 s of stereo in little memory.

A process of its own decodes 6 s, and counting without numbers shows that 47 s hold no more."""

import re

import pytest
import torch

pytest.importorskip("diffusers")


@pytest.mark.slow
def test_decoding_stays_under_a_gigabyte_and_a_half() -> None:
    """The peak of a process that decodes, the autoencoder's weights among it, beside what its libraries take."""
    from mediagen.bench.oobleck import table

    told = table(6)
    held = float(re.search(r"weights and decoding ([\d.]+) GB", told)[1])
    assert "6.0 s of stereo" in told and held < 1.5, told


@pytest.mark.slow
def test_pieces_are_the_whole_at_the_published_size() -> None:
    """Within 1e-4 of the loudest sample, over more than one piece."""
    from mediagen.bench.oobleck import apart, published

    far, loudest = apart(published(), seconds=3.0)
    assert far < 1e-4 * max(loudest, 1.0) and loudest > 0.01


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length() -> None:
    """Counted on the meta device, at the published size: what is held beside weights, of 6 s and of 47 s."""
    import diffusers

    from mediagen.bench.oobleck import PUBLISHED
    from mediagen.counting import count
    from mediagen.families._sound import oobleck

    with torch.device("meta"):
        vae = diffusers.AutoencoderOobleck(**PUBLISHED)
        z = torch.empty(1, 64, 1012)
    whole, ours = count(lambda: vae.decode(z)), oobleck(vae)
    ours.decode(z[..., :8])  # weights are made
    short, long = count(lambda: ours.decode(z[..., :129])), count(lambda: ours.decode(z))
    assert long.peak < 1.2 * short.peak < 0.5e9 < 2e9 < whole.peak and long.flops < 1.3 * whole.flops
