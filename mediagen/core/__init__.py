"""Pure mathematics on tensors: paths, predictions, timings, solvers, guidance, edits and keyed noise. Imports torch
only.
"""
