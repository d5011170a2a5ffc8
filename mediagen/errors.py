"""What errors of other libraries say."""


def first_line(error: BaseException) -> str:
    """The first line of its message, or what it is called where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def ran_out(error: BaseException) -> bool:
    """Whether PyTorch got no memory: of a GPU it has an error of its own, of the CPU one like any other."""
    said = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in said or "can't allocate memory" in said)
