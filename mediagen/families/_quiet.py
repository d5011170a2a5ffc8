"""diffusers and transformers do not talk."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """diffusers' and transformers' bars and log off meanwhile: a library does not print, and what goes wrong is
    raised. The log by what writes it: a logger's own level is remembered by all below it, which takes a millisecond."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    bars = [one for one in (diffusers_logging, transformers_logging) if one.is_progress_bar_enabled()]
    loggers = [logging.getLogger(name) for name in ("diffusers", "transformers")]
    spread = [(one, one.propagate) for one in loggers]
    writers = [(one, one.level) for logger in loggers for one in logger.handlers]
    for one in bars:
        one.disable_progress_bar()
    for logger in loggers:
        logger.propagate = False
    for writer, _ in writers:
        writer.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of names of options, which differ between their versions
            yield
    finally:
        for one in bars:
            one.enable_progress_bar()
        for logger, further in spread:
            logger.propagate = further
        for writer, level in writers:
            writer.setLevel(level)
