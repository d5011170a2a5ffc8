"""Generators: a condition -> a stream of states that ends in latents."""
