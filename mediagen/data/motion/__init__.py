"""The motion world: captioned clips of drawings that move, with the truth about every frame (docs/motion.md)."""
