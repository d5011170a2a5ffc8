"""Checkpoint families, one file each: `CARDS` (what ships) and `load(card) -> Model`."""
