"""`torch.compile` for the parts of the model whose shapes stay the same from frame to frame.

The memory attention's shapes settle when an object has all the memories and pointers that it can
have, on the 16th frame after its prompt; until then it runs as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tracker.models.shared_attention import attend


class CompiledParts:
    """The compiled parts of a SAM2Base; the model calls all but `attend` unknowingly.

    Args:
        model: image encoder, mask decoder and memory encoder are compiled in place.
        backend: of torch.compile.
    """

    def __init__(self, model: Any, backend: str = "inductor") -> None:
        for part in (model.image_encoder, model.sam_mask_decoder, model.memory_encoder):
            part.forward = _compiled(part.forward, backend)
        self.attend = _compiled(attend, backend)


def _compiled(function: Callable[..., Any], backend: str) -> Any:
    """Compiled for each new shape. Graphs are recorded around it, not by the compiler."""
    return torch.compile(function, backend=backend, dynamic=False)
