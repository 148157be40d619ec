"""The installed SAM2 models: a video predictor by name, and prompts on single images."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from tracker.edges import BEYOND, beyond, fit_to_edges
from tracker.errors import PromptError, SettingsError
from tracker.masks import BoolMask, Box
from tracker.models.device import pick_device
from tracker.models.prompt_checks import PointsAndBox, check_points_and_box
from tracker.models.registry import resolve
from tracker.models.streaming import StreamingVideoPredictor, build_streaming_video_predictor
from tracker.types import Prompt
from tracker.views import View, holds, in_view, widened

if TYPE_CHECKING:
    from sam2.sam2_image_predictor import SAM2ImagePredictor

NEARER = (1.5, 1.0, 0.5)
"""Room around a tight box, in its own widths and heights on each side, in the views of it.

Chosen on photographs and generated clips; others near them are about as good."""

COARSEST_STRIDE_PX = 32
"""The image size is a multiple of this: the image encoder halves it five times."""


def load_video_predictor(
    name: str = "auto", device: str = "auto", image_size: int | None = None, **switches: Any
) -> StreamingVideoPredictor:
    """The installed SAM2 model called `name`, ready to track.

    Args:
        name: of the registry; `auto` is the best one installed. Nothing is downloaded.
        device: as `tracker.models.device.pick_device`.
        image_size: side in pixels of the square that frames are resized to, a multiple of 32; None
            for what the model was trained at. Smaller is faster and coarser.
        switches: how it computes, see `tracker.models.engine_options.EngineOptions`; `exact` is
            False, `edges` and `candidates` `auto` if left out.

    Raises:
        SettingsError: for a device, an image size or a switch that cannot be used.
        ModelError: for a model that is unknown, not installed or damaged.
    """
    overrides = [] if image_size is None else [f"++model.image_size={_checked(image_size)}"]
    chosen_device = pick_device(device)
    files = resolve(name, "sam2")
    switches = {"exact": False, "edges": "auto", "candidates": "auto", **switches}
    return build_streaming_video_predictor(
        files.config, files.path, chosen_device, hydra_overrides_extra=overrides, **switches
    )


@dataclass(frozen=True, eq=False)
class MaskCandidate:
    """One answer to a prompt.

    Attributes:
        mask_hw: bool at the image's resolution.
        predicted_iou: the decoder's own estimate of the mask's IoU, 0 to 1.
    """

    mask_hw: BoolMask
    predicted_iou: float


class ImagePrompter:
    """Prompts on a single image, answered by the weights of a video predictor.

    Wraps sam2's `SAM2ImagePredictor`, so the image is resized as SAM2 does it for images (bilinear,
    torchvision), not as for videos (bicubic, Pillow). Where the predictor's masks are fitted to the
    picture's edges, these are too.

    Attributes:
        fits_edges: whether they are.
    """

    def __init__(self, predictor: StreamingVideoPredictor) -> None:
        from sam2.sam2_image_predictor import SAM2ImagePredictor  # with torchvision, takes seconds

        with warnings.catch_warnings():  # sam2/utils/transforms.py:30 scripts its transforms
            warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")
            self._predictor = SAM2ImagePredictor(predictor)
        # sam2_image_predictor.py:62 has the sizes of a 1024 px model written out.
        side = predictor.sam_image_embedding_size
        self._predictor._bb_feat_sizes = [(side * k, side * k) for k in (4, 2, 1)]
        self.fits_edges = predictor.fits_edges
        self._image_hwc: NDArray[np.uint8] | None = None
        self._view: View = (0, 0, 0, 0)
        self._encoded: View | None = None

    @property
    def image_predictor(self) -> SAM2ImagePredictor:
        """The wrapped predictor, for what of sam2 builds upon it."""
        return self._predictor

    def set_image(self, image_hwc: NDArray[np.uint8], view: View | None = None) -> None:
        """Take an image, RGB uint8 `hwc`, or a view of it; the prompts that follow are about it.

        Their coordinates, and the masks, are those of the whole image all the same. What lies
        outside of the view is not the object. It is encoded when the first prompt comes.

        Raises:
            PromptError: for a view that does not lie in the image.
        """
        chosen = _view_of(image_hwc, view)
        self._image_hwc = np.array(image_hwc)  # torchvision warns of read-only arrays
        self._view, self._encoded = chosen, None

    def look_at(self, view: View | None) -> None:
        """Another view of the same image, None for all of it; what is there already stays."""
        if self._image_hwc is None:
            raise RuntimeError("call set_image first")
        self._view = _view_of(self._image_hwc, view)

    def predict(
        self,
        points_n2: ArrayLike | None = None,
        point_labels_n: ArrayLike | None = None,
        box_xyxy: Box | None = None,
        *,
        tight_box: bool = True,
        fitted: bool = True,
    ) -> list[MaskCandidate]:
        """The masks that the prompt may mean, best first.

        A single point is ambiguous (a part, or the whole?) and gets three candidates; a box, or
        several points, gets one.

        Args:
            points_n2: `xy` in pixels of the image, shape (n, 2).
            point_labels_n: 1 positive, 0 negative, shape (n,).
            box_xyxy: in pixels.
            tight_box: whether the object ends with the box: masks that are fitted to the picture
                then do not reach beyond it.
            fitted: whether masks may be fitted, which takes longer than all else; without, they
                are the model's own, good enough to choose among them.

        Raises:
            PromptError: for a prompt that is malformed or outside the image, or the view.
            RuntimeError: when no image was set.
        """
        if self._image_hwc is None:
            raise RuntimeError("call set_image first")
        points, labels, box = self._seen(points_n2, point_labels_n, box_xyxy)
        ambiguous = box is None and points is not None and len(points) == 1
        logits_nhw, ious_n = self._ask(self._view, points, labels, box, several=ambiguous)
        within = box if tight_box else None
        masks = [self._mask(logits_hw, within, self._view, fitted) for logits_hw in logits_nhw]
        best_first = np.argsort(-ious_n, kind="stable")
        return [MaskCandidate(masks[i], float(np.clip(ious_n[i], 0, 1))) for i in best_first]

    def answer(self, prompt: Prompt) -> MaskCandidate:
        """The best mask for a prompt of points, box or both; as `predict`.

        Where masks are fitted to the picture, the model is coarse, and sees more of an object from
        near: a tight box on a whole image is answered in several views, and the mask is that of
        their mean logits.
        """
        points = prompt.points_n2 if len(prompt.points_n2) else None
        labels = prompt.point_labels_n if points is not None else None
        if self.fits_edges and prompt.box_is_tight and self._sees_all():
            return self._answer_from_near(self._seen(points, labels, prompt.box_xyxy))
        return self.predict(points, labels, prompt.box_xyxy, tight_box=prompt.box_is_tight)[0]

    def _sees_all(self) -> bool:
        return self._image_hwc is not None and self._view == _view_of(self._image_hwc, None)

    def _answer_from_near(self, prompt: PointsAndBox) -> MaskCandidate:
        """The answer to a tight box, with or without points, of several views of it."""
        assert self._image_hwc is not None
        points, _, box = prompt
        corners_n2 = np.asarray(box, np.float32).reshape(2, 2)
        marks_n2 = corners_n2 if points is None else np.concatenate([corners_n2, points])
        (x1, y1), (x2, y2) = marks_n2.min(axis=0), marks_n2.max(axis=0)
        height, width = self._image_hwc.shape[:2]
        views = [widened((x1, y1, x2, y2), share, (height, width)) for share in NEARER]
        *_, nearest = views  # the others hold it
        seen, ious = [], []
        for view in views:
            logits_nhw, ious_n = self._ask(view, *_moved(prompt, view))
            left, top, *_ = view
            shared = nearest[0] - left, nearest[1] - top, nearest[2] - left, nearest[3] - top
            seen.append(in_view(logits_nhw[0], shared))
            ious.append(float(ious_n[0]))
        _, _, within = _moved(prompt, nearest)
        mask_hw = self._mask(np.mean(seen, axis=0), within, nearest, fitted=True)
        return MaskCandidate(mask_hw, float(np.clip(np.mean(ious), 0, 1)))

    @torch.inference_mode()
    def _ask(
        self, view: View, points: Any, labels: Any, box: Any, *, several: bool = False
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mask logits (n, h, w) of a view and predicted IoUs (n,); the prompt is in its pixels."""
        if view != self._encoded:
            seen_hwc = in_view(np.asarray(self._image_hwc), view)
            self._predictor.set_image(np.ascontiguousarray(seen_hwc))
            self._encoded = view
        logits_nhw, ious_n, _ = self._predictor.predict(
            points, labels, box, multimask_output=several, return_logits=True
        )
        return logits_nhw, ious_n

    def _seen(self, points_n2: Any, labels_n: Any, box_xyxy: Any) -> PointsAndBox:
        """Checked, in pixels of the view."""
        assert self._image_hwc is not None
        height, width = self._image_hwc.shape[:2]
        name = "image prompt"
        points, labels, box = check_points_and_box(
            points_n2, labels_n, box_xyxy, (width, height), name
        )
        x1, y1, x2, y2 = self._view
        moved = _moved((points, labels, box), self._view)
        return check_points_and_box(*moved, (x2 - x1, y2 - y1), f"{name} in a view")

    def _mask(
        self,
        logits_hw: NDArray[np.float32],
        within: NDArray[np.float32] | None,
        view: View,
        fitted: bool,
    ) -> BoolMask:
        """The whole image's mask of an answer in a view; if fitted, it stays in the box `within`.

        The box is in pixels of the view.
        """
        assert self._image_hwc is not None
        mask_hw = np.zeros(self._image_hwc.shape[:2], bool)
        seen_hw = logits_hw > 0
        if fitted and self.fits_edges:
            seen_hw = _fitted(in_view(self._image_hwc, view), logits_hw, within)
        in_view(mask_hw, view)[:] = seen_hw
        return mask_hw


def _fitted(
    image_hwc: NDArray[np.uint8],
    logits_hw: NDArray[np.float32],
    within: NDArray[np.float32] | None,
) -> BoolMask:
    if within is not None:
        x1, y1, x2, y2 = map(float, within.ravel())
        outside_hw = beyond((x1, y1, x2, y2), (logits_hw.shape[0], logits_hw.shape[1]))
        logits_hw = np.where(outside_hw, np.float32(BEYOND), logits_hw)
    return fit_to_edges(image_hwc, logits_hw)


def _view_of(image_hwc: NDArray[np.uint8], view: View | None) -> View:
    """The view, or all of the image. Raises PromptError for one that does not lie in it."""
    height, width = image_hwc.shape[:2]
    whole = (0, 0, width, height)
    if view and not holds(whole, view):
        corners = ",".join(str(v) for v in view)
        raise PromptError(f"view {corners} lies outside; the image is {width}x{height} pixels")
    return view or whole


def _moved(prompt: PointsAndBox, view: View) -> PointsAndBox:
    """A prompt on the image, in pixels of a view."""
    points, labels, box = prompt
    origin = np.array(view[:2], np.float32)
    points = None if points is None else points - origin
    return points, labels, None if box is None else box - np.tile(origin, 2)


def _checked(image_size: int) -> int:
    if image_size <= 0 or image_size % COARSEST_STRIDE_PX:
        raise SettingsError(
            f"the image size must be a positive multiple of {COARSEST_STRIDE_PX}, not {image_size}"
        )
    return image_size
