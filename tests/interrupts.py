"""Ctrl-C for processes that a test starts."""

from __future__ import annotations

import signal


def heed_interrupts() -> None:
    """As `preexec_fn`: a suite that runs in the background ignores SIGINT, and so would they."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
