"""YOLO's labels, filled as its trainers fill them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import yaml

from tests.made_runs import FRAMES, LABELS, made_frames, made_info, masks_of
from tracker.masks import iou, mask_box
from tracker.output.export import ExportOptions, FrameMasks
from tracker.output.export.yolo import YoloSegment
from tracker.types import ObjectMask


def read_labels(path):
    lines = path.read_text("utf-8").splitlines()
    return [(int(line.split()[0]), np.array(line.split()[1:], float)) for line in lines]


def fill(numbers, height=55, width=97):
    """As ultralytics does: scale, cut to whole numbers, fill with the border."""
    points = (numbers.reshape(-1, 2) * (width, height)).astype(np.int32)
    out = np.zeros((height, width), np.uint8)
    cv2.fillPoly(out, [points], 1)
    return out.astype(bool)


def test_polygons_fill_to_the_masks(written, kind):
    folder, info = written("yolo", kind), made_info(kind)
    for frame, _ in made_frames(kind):
        labels = read_labels(folder / "labels" / "train" / f"{frame.index:05d}.txt")
        made = masks_of(frame)
        assert len(labels) == len(made)  # one line per object: parts and holes are joined
        for (class_id, numbers), (object_id, mask_hw) in zip(labels, made.items(), strict=True):
            assert class_id == info.category(object_id)
            assert ((numbers >= 0) & (numbers <= 1)).all()
            assert iou(fill(numbers), mask_hw) >= 0.97


def test_boxes_are_exact(written, kind):
    folder = written("yolo-detect", kind)
    for frame, _ in made_frames(kind):
        labels = read_labels(folder / "labels" / "train" / f"{frame.index:05d}.txt")
        for (_, (x, y, w, h)), mask_hw in zip(labels, masks_of(frame).values(), strict=True):
            corners = np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2]) * (97, 55, 97, 55)
            assert corners == pytest.approx(mask_box(mask_hw), abs=1e-3)


def test_the_description_names_folders_and_classes(written):
    folder = written("yolo", split=(0.5, 0.5, 0))
    data = yaml.safe_load((folder / "data.yaml").read_text("utf-8"))
    assert data["names"] == {0: "ring", 1: "pair", 2: "corner", 3: "object"}
    assert (data["train"], data["val"]) == ("images/train", "images/val")
    assert "test" not in data
    for part, frames in (("train", FRAMES[:3]), ("val", FRAMES[3:])):
        for sort, suffix in (("images", "jpg"), ("labels", "txt")):
            names = sorted(path.name for path in (folder / sort / part).iterdir())
            assert names == [f"{n:05d}.{suffix}" for n in frames]


def test_without_a_split_training_pictures_validate(written):
    data = yaml.safe_load((written("yolo") / "data.yaml").read_text("utf-8"))
    assert data["train"] == data["val"] == "images/train"
    assert len(data["names"]) == len(LABELS)


def test_a_mask_in_distant_parts_has_several_lines_and_is_reported(tmp_path):
    mask_hw = np.zeros((55, 97), bool)
    mask_hw[5:15, 5:15] = mask_hw[40:50, 80:90] = True
    info = made_info()
    with YoloSegment(info, tmp_path, ExportOptions(frames="none")) as writer:
        for index in FRAMES:
            writer.write(FrameMasks(index, index, (ObjectMask(1, mask_hw, 5, 1),)), None)
    labels = read_labels(tmp_path / "yolo" / "labels" / "train" / "00003.txt")
    assert [class_id for class_id, _ in labels] == [0, 0]
    assert (np.logical_or(*(fill(numbers) for _, numbers in labels)) == mask_hw).all()
    assert writer.problems == ("masks in distant parts, each with a line of its own: 6",)


def test_a_frame_without_objects_is_background(tmp_path):
    with YoloSegment(made_info(), tmp_path, ExportOptions(frames="none")) as writer:
        writer.write(FrameMasks(FRAMES[0], 0, ()), None)
    assert (tmp_path / "yolo" / "labels" / "train" / "00003.txt").read_text("utf-8") == ""
