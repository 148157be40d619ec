"""The finest feature maps, brought to the mask decoder's width by one convolution instead of two.

SAM2 widens a map of its trunk to the model's width, and the decoder's own projection narrows that
to a quarter or an eighth. Both are 1x1 convolutions, and nothing else reads what lies between.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from tracker.models.derived import one_after_the_other


def project_at_once(model: Any, wanted: bool) -> None:
    """Make a SAM2Base's `forward_image` project the finest maps once, or as SAM2 does.

    Maps to which the neck adds coarser ones stay as they are.
    """
    if not model.use_high_res_features_in_sam:
        return
    neck, decoder = model.image_encoder.neck, model.sam_mask_decoder
    for level, narrow in enumerate((decoder.conv_s0, decoder.conv_s1)):
        widen = neck.convs[len(neck.convs) - 1 - level].conv
        for each in (widen, narrow):
            each.__dict__.pop("forward", None)
        alone = not {level, level - 1} & set(neck.fpn_top_down_levels)
        if wanted and alone and widen.kernel_size == (1, 1):
            widen.forward = partial(_both, widen, narrow)
            narrow.forward = _done_already


def _both(widen: nn.Conv2d, narrow: nn.Conv2d, maps_bchw: torch.Tensor) -> torch.Tensor:
    return F.conv2d(maps_bchw, *one_after_the_other(widen, narrow))


def _done_already(maps_bchw: torch.Tensor) -> torch.Tensor:
    return maps_bchw
