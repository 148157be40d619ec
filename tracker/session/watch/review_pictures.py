"""The pictures of a review: a timeline of every object, and the frames to look at."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from itertools import islice

import cv2
import numpy as np
from PIL import Image

from tracker.masks import BoolMask
from tracker.output.annotate import Annotator
from tracker.output.report import contact_sheet
from tracker.output.timeline import Line, draw_timeline
from tracker.session.drift import Episode
from tracker.session.run_folder import RunFolder
from tracker.session.watch.history import ReadImage
from tracker.session.watch.reviewing import Review
from tracker.types import confidence

SHOWN = 12  # frames in the contact sheet
WIDTH = 420  # of each picture, in pixels


def object_name(run: RunFolder, object_id: int) -> str:
    """`1 cup`, or the number alone."""
    return f"{object_id} {run.info.labels.get(object_id) or ''}".strip()


def timeline_picture(run: RunFolder, review: Review) -> bytes:
    """A PNG; see `tracker.output.timeline`."""
    lines = []
    for object_id, verdicts in review.verdicts.items():
        seen = review.observations[object_id]
        lines.append(
            Line(
                object_id=object_id,
                name=object_name(run, object_id),
                frames=[verdict.frame for verdict in verdicts],
                confidences=[confidence(each.object_score, each.predicted_iou) for each in seen],
                states=[verdict.state for verdict in verdicts],
                appearances=[verdict.appearance for verdict in verdicts],
                prompts=[(p.frame, p.source) for p in run.prompts if p.object_id == object_id],
            )
        )
    return draw_timeline(lines, review.cuts, title=run.path.name)


def contact_picture(run: RunFolder, review: Review, read: ReadImage) -> bytes | None:
    """A PNG of the frames that are to be looked at first; None when there are none."""
    episodes = list(islice(review.episodes, SHOWN))
    if not episodes:
        return None
    video = run.info.video
    size = WIDTH, max(1, round(video.height * WIDTH / video.width))
    annotator = Annotator(size[1], run.export_info().labels)
    cells = []
    for episode in episodes:
        small_hwc = cv2.resize(read(episode.look_at), size, interpolation=cv2.INTER_AREA)
        objects = [
            replace(mask, mask_hw=_scaled(mask.mask_hw, size))
            for mask in run.frame_masks(episode.look_at).objects
        ]
        drawn_hwc = annotator.annotate(np.asarray(small_hwc), objects)
        cells.append((drawn_hwc, *_caption(run, episode)))
    png = BytesIO()
    sheet = contact_sheet(cells, title=f"{run.path.name}: frames to look at, the worst first")
    Image.fromarray(sheet).save(png, format="PNG")
    return png.getvalue()


def _caption(run: RunFolder, episode: Episode) -> tuple[str, str]:
    name = object_name(run, episode.object_id)
    return f"{name} · frame {episode.look_at}", f"{episode.state} {episode.doubt:.2f}"


def _scaled(mask_hw: BoolMask, size_wh: tuple[int, int]) -> BoolMask:
    shares_hw = cv2.resize(mask_hw.astype(np.float32), size_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(shares_hw >= 0.5)
