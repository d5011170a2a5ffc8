"""Models of our own on a device: everything of a step happens there, and nothing is left behind on the CPU.

"meta" stands for the device: it computes no numbers, refuses to be mixed with the CPU, and gives nothing back.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

import mediagen
from mediagen.families._elsewhere import moved, put, put_coder

META = torch.device("meta")


@pytest.mark.parametrize("model", ["tiny_model", "tiny_audio", "tiny_video"])
def test_a_network_and_its_autoencoder_compute_where_they_were_put(
    model: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder: Path = request.getfixturevalue(model)
    pipeline = mediagen.load(folder)
    job = pipeline.job("a red ball", steps=1)
    latents = pipeline.model.autoencoder
    put(pipeline.model.denoiser.net, META)
    with torch.no_grad(), pytest.raises(NotImplementedError, match="meta"):  # all is computed, and cannot come back
        list(pipeline.walk(job, pipeline.asked(job)))
    put_coder(latents, META)
    assert {p.device for p in (*pipeline.model.denoiser.parameters(), *latents.parameters())} == {META}
    z = torch.zeros(1, pipeline.model.spec.channels, *job.grid)
    with pytest.raises(NotImplementedError, match="meta"):
        pipeline.decode(z)
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: torch.zeros(self.shape))
    with torch.no_grad():
        media = pipeline.decode(z)
        assert media.device.type == "cpu" and pipeline.encode(media).shape == z.shape


def test_what_lies_in_lists_goes_along() -> None:
    given: Any = {"a": torch.ones(2), "b": (torch.zeros(1), 3), "c": [None, {"d": torch.ones(1)}]}
    there = moved(given, META)
    assert there["a"].device == there["b"][0].device == there["c"][1]["d"].device == META
    assert there["b"][1] == 3 and there["c"][0] is None
