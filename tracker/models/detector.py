"""What is where, by its name: transformers' zero-shot object detection, for text to boxes.

Grounding DINO says for each of its boxes how well each word of the text fits. A box takes the
phrase with the best fitting word, and the fit of that word is its score.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import batched_nms
from transformers import AutoConfig, AutoModelForZeroShotObjectDetection, AutoProcessor

from tracker.errors import ModelError, PromptError
from tracker.masks import Box
from tracker.models.device import pick_device
from tracker.models.quiet import quiet_transformers
from tracker.models.registry import resolve

FAMILIES = ("grounding-dino", "mm-grounding-dino")
SAME_BOX_IOU = 0.7  # of two boxes of one phrase, the better one stays
_ARTICLE = re.compile(r"^(a|an|the) ")


@dataclass(frozen=True)
class Detection:
    """A box, the phrase that fits it, and how well, 0 to 1. `xyxy` in pixels, on the image."""

    xyxy: Box
    label: str
    score: float


def load_detector(name: str = "auto", device: str = "auto") -> TextDetector:
    """Load a detector by its registry name, or from a folder with files as the hub has them.

    Raises:
        ModelError: when it is unknown, not installed, or cannot be loaded.
    """
    folder = Path(name) if Path(name).is_dir() else resolve(name, "detector").path
    return TextDetector(folder, pick_device(device))


def phrases(text: str) -> tuple[str, ...]:
    """`"a dog . a red ball ."` as `("a dog", "a red ball")`: lower case, each once.

    Raises:
        PromptError: when there is none.
    """
    parts = (" ".join(part.lower().split()) for part in text.split("."))
    found = tuple(dict.fromkeys(part for part in parts if part))
    if not found:
        raise PromptError(f"--text {text!r}: name what to look for, such as 'a dog . a ball .'")
    return found


class TextDetector:
    """A Grounding DINO from a local folder. Float32, deterministic; no network."""

    def __init__(self, folder: Path, device: torch.device | str = "cpu") -> None:
        """Raises ModelError when the folder does not hold such a model."""
        self.device = torch.device(device)
        try:
            family = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
            if family in FAMILIES:
                self._processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
                with quiet_transformers():
                    model = AutoModelForZeroShotObjectDetection.from_pretrained(
                        folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
                    )
        # What transformers and safetensors raise for a damaged folder has no common base.
        except Exception as error:
            raise ModelError(f"the detector in {folder} cannot be loaded: {error}") from error
        if family not in FAMILIES:
            known = " or ".join(FAMILIES)
            raise ModelError(f"the detector in {folder} is of the kind {family}, not {known}")
        self._model = model.eval().to(self.device)

    @torch.inference_mode()
    def detect(
        self, image_hwc: NDArray[np.uint8], text: str, least: float = 0.25
    ) -> list[Detection]:
        """Look for what a text names in an RGB uint8 image.

        Args:
            image_hwc: the image.
            text: phrases, each ended by a full stop: `"a dog . a red ball ."`.
            least: boxes with a lower score are dropped.

        Returns:
            The best first. Labels are the phrases without their article.

        Raises:
            PromptError: for a text without phrases, or with more than the model reads.
        """
        wanted = phrases(text)
        inputs = self._processor(
            images=np.array(image_hwc), text=". ".join(wanted) + ".", return_tensors="pt"
        ).to(self.device)
        words_w = self._phrase_of_words(inputs["input_ids"][0], len(wanted), text)
        outputs = self._model(**inputs)
        fits_qw = outputs.logits[0, :, : len(words_w)].sigmoid()
        fits_qp = torch.stack(
            [fits_qw[:, words_w == phrase].amax(dim=1) for phrase in range(len(wanted))], dim=1
        )
        scores_q, phrase_q = fits_qp.max(dim=1)
        boxes_q4 = _corners(outputs.pred_boxes[0], *image_hwc.shape[:2])
        sizes_q2 = boxes_q4[:, 2:] - boxes_q4[:, :2]
        good_q = (scores_q >= least) & (sizes_q2 >= 1).all(dim=1)
        boxes, scores, chosen = boxes_q4[good_q], scores_q[good_q], phrase_q[good_q]
        return [
            Detection(
                xyxy=tuple(boxes[i].tolist()),
                label=_ARTICLE.sub("", wanted[int(chosen[i])]),
                score=float(scores[i]),
            )
            for i in batched_nms(boxes, scores, chosen, SAME_BOX_IOU).tolist()
        ]

    def _phrase_of_words(self, ids_w: torch.Tensor, count: int, text: str) -> torch.Tensor:
        """Which phrase each word of the text belongs to, -1 for full stops and special words."""
        tokenizer = self._processor.tokenizer
        stop = tokenizer.convert_tokens_to_ids(".")
        special = torch.tensor(tokenizer.all_special_ids, device=ids_w.device)
        is_stop = ids_w == stop
        # An unknown word is a special one too, but still a word of its phrase.
        outside = torch.isin(ids_w, special) & (ids_w != tokenizer.unk_token_id)
        phrase_w = torch.where(is_stop | outside, -1, is_stop.cumsum(dim=0))
        most = self._model.config.max_text_len
        if len(ids_w) > most or set(phrase_w.tolist()) - {-1} != set(range(count)):
            raise PromptError(
                f"--text {text!r} is too long, or has a phrase without a word: the detector reads "
                f"{most} pieces of words"
            )
        return phrase_w


def _corners(boxes_q4: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Centre and size, as shares of the image, to `xyxy` in pixels, clipped to the image."""
    centres, sizes = boxes_q4[:, :2], boxes_q4[:, 2:]
    corners_q4 = torch.cat([centres - sizes / 2, centres + sizes / 2], dim=1).clamp(0, 1)
    return corners_q4 * corners_q4.new_tensor([width, height, width, height])
