"""Loading with transformers, without its progress bar and its warnings."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging

_one_at_a_time = threading.Lock()


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Both are global switches of transformers, so they are put back."""
    with _one_at_a_time:
        verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
            if bar:
                logging.enable_progress_bar()
