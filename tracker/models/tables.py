"""Position tables that SAM2 makes anew for every frame, made once.

They depend on shapes and weights alone, so the bits stay the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def cache_tables(model: Any) -> None:
    """Make a SAM2Base keep its position tables, until other weights are loaded."""
    neck, encoder = model.image_encoder.neck, model.memory_encoder
    side = model.sam_image_embedding_size
    neck.position_encoding = GridPositions(neck.position_encoding, side)
    encoder.position_encoding = GridPositions(encoder.position_encoding, side)
    kept = [Kept(model.sam_prompt_encoder, "get_dense_pe")]
    if hasattr(model.image_encoder.trunk, "_get_pos_embed"):  # Hiera, hieradet.py:273
        kept.append(Kept(model.image_encoder.trunk, "_get_pos_embed"))

    def clear(*_: Any) -> None:
        for each in kept:
            each.clear()

    model.register_load_state_dict_post_hook(clear)


class GridPositions(nn.Module):
    """Stands for a SAM2 `PositionEmbeddingSine`: the same table, held and not copied.

    Maps finer or coarser than the memory's get a placeholder: their positions, 67 MB at 1024 px,
    are read for their shape alone (sam2_base.py:490, :766).
    """

    def __init__(self, sine: Any, side: int) -> None:
        super().__init__()
        self._sine = sine
        self._channels = 2 * sine.num_pos_feats
        self._side = side
        self._tables: dict[tuple[torch.device, torch.dtype], torch.Tensor] = {}

    def forward(self, maps_bchw: torch.Tensor) -> torch.Tensor:
        batch, _, height, width = maps_bchw.shape
        if height != self._side:
            return maps_bchw.new_zeros(1).expand(batch, self._channels, height, width)
        key = (maps_bchw.device, maps_bchw.dtype)
        if key not in self._tables:
            # SAM2's first table has its axes permuted in memory, the later ones do not. The order
            # of sums may follow that, so the first one is given out as it is.
            first = self._sine(maps_bchw[:1]).to(maps_bchw.dtype)
            self._tables[key] = first.contiguous()
            return first.expand(batch, -1, -1, -1)
        return self._tables[key].expand(batch, -1, -1, -1)


class Kept:
    """Stands for a module's method, and keeps what it returned for the last arguments."""

    def __init__(self, module: nn.Module, name: str) -> None:
        self._method = getattr(module, name)
        self._last: tuple[Any, torch.Tensor] | None = None
        setattr(module, name, self)

    def __call__(self, *arguments: Any) -> torch.Tensor:
        device = next(self._method.__self__.parameters()).device
        lowered = torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type)
        key = (arguments, device, lowered)
        if self._last is None or self._last[0] != key:
            self._last = key, self._method(*arguments)
        return self._last[1]

    def clear(self) -> None:
        self._last = None
