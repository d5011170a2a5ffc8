"""Conditioners: what the user says (a prompt, a length, a class) -> named tensors that a network reads."""
