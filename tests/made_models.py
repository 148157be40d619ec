"""A SAM2 with random weights that answers every prompt: the same seed makes the same model."""

from __future__ import annotations

import torch

from tracker.locations import shipped
from tracker.models.streaming import StreamingVideoPredictor, build_streaming_video_predictor
from tracker.settings import Edges


def random_predictor(
    seed: int, image_size: int, *overrides: str, edges: Edges = "model"
) -> StreamingVideoPredictor:
    """The demo model's architecture; its masks mean nothing but differ by frame."""
    torch.manual_seed(seed)
    model = build_streaming_video_predictor(
        shipped("configs") / "sam2" / "demo.yaml",
        device="cpu",
        hydra_overrides_extra=[f"++model.image_size={image_size}", *overrides],
        exact=False,
        edges=edges,
    )
    with torch.no_grad():  # else the object score hides every mask
        model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(5.0)
    return model


def small_random_predictor() -> StreamingVideoPredictor:
    """For tests that need many frames, in this process or in one that they start."""
    return random_predictor(1, 64, "++model.memory_attention.num_layers=1")
