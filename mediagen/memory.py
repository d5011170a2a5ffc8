"""Memory that runs out, which PyTorch says in several ways."""


def ran_out(error: BaseException) -> bool:
    """Whether PyTorch got no memory: of a GPU it has an error of its own, of the CPU one like any other."""
    said = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in said or "can't allocate memory" in said)
