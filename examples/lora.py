"""LoRA on any model: `python lora.py [MODEL FILE [STEPS]]`.

FILE is a .safetensors file of diffusers, kohya or peft. Without arguments one is made for mini-image of random numbers:
it shows what can be done with one, and not what one can learn.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

import mediagen


def drawn(net: torch.nn.Module, file: str) -> str:
    """Weak random adapters of all attention layers, as a file of peft's."""
    g, state = torch.Generator().manual_seed(0), {}
    for name, layer in net.named_modules():
        if isinstance(layer, torch.nn.Linear) and name.endswith(("query", "key_value", "out")):
            state[f"base_model.model.{name}.lora_A.weight"] = torch.randn(4, layer.in_features, generator=g) / 20
            state[f"base_model.model.{name}.lora_B.weight"] = torch.randn(layer.out_features, 4, generator=g) / 20
    save_file(state, file)
    return file


pipeline = mediagen.load(sys.argv[1] if len(sys.argv) > 1 else "mini-image")
file = sys.argv[2] if len(sys.argv) > 2 else drawn(pipeline.model.denoiser.net, "style.safetensors")
options = {"steps": int(sys.argv[3])} if len(sys.argv) > 3 else {}

report = pipeline.adapters.lora(file)  # what of it found its layer
print(
    f"{Path(file).name}: {len(report.matched)} keys on {len(report.layers)} layers, {len(report.unmatched)} unmatched"
)

pipeline.generate("a red apple", seed=3, **options).save("plain.png")
pipeline.generate("a red apple", seed=3, lora=(file, 0.6), **options).save("styled.png")
pipeline.generate("a red apple", seed=3, lora=[(file, 0.6), (file, -0.6)], **options).save("undone.png")

pipeline.adapters.fuse((file, 0.6))  # into the weights: as fast as without, for all that follows
pipeline.generate("a red apple", seed=3, **options).save("fused.png")
pipeline.adapters.unfuse()  # the weights as they were, to the bit

print("made again, pixel for pixel:", mediagen.replay("styled.png").equal)
