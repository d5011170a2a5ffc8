"""Modalities, one file each: file <-> tensor, metadata, display. They know nothing of models."""
