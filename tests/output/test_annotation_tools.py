"""What labelme, CVAT and Label Studio import: their documented keys, and masks that come back."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from tests.made_runs import FRAMES, made_frames, made_info, masks_of, special_objects
from tracker.masks import iou, mask_box
from tracker.output.export import FORMATS, ExportInfo, ExportOptions, FrameMasks
from tracker.output.export.label_studio import encode_brush


def test_labelme_fills_to_the_masks(written, kind):
    folder, info = written("labelme", kind), made_info(kind)
    for frame, _ in made_frames(kind):
        document = json.loads((folder / f"{frame.index:05d}.json").read_text("utf-8"))
        assert document.keys() == {
            *("version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth")
        }
        assert (document["imageHeight"], document["imageWidth"]) == (55, 97)
        assert (folder / document["imagePath"]).is_file()
        filled = {i: np.zeros((55, 97), bool) for i in masks_of(frame)}
        for shape in document["shapes"]:
            assert shape["shape_type"] == "polygon"
            assert shape["label"] == (info.labels[shape["group_id"]] or "object")
            canvas = Image.new("1", (97, 55))
            points = [tuple(point) for point in shape["points"]]
            ImageDraw.Draw(canvas).polygon(points, outline=1, fill=1)
            filled[shape["group_id"]] |= np.array(canvas)
        for object_id, mask_hw in masks_of(frame).items():
            assert iou(filled[object_id], mask_hw) > 0.99


def cvat_mask(shape, height=55, width=97):
    """A polygon in CVAT's continuous coordinates, where pixel (0, 0) reaches from 0 to 1."""
    points = [float(v) for pair in shape.get("points").split(";") for v in pair.split(",")]
    (code,) = coco_mask.frPyObjects([points], height, width)
    return coco_mask.decode(code).astype(bool)


def test_cvat_has_a_track_per_object(written, kind):
    root = ElementTree.parse(written("cvat", kind) / "annotations.xml").getroot()
    info = made_info(kind)
    assert root.findtext("version") == "1.1"
    task = root.find("meta/task")
    assert task.findtext("mode") == "interpolation"
    assert (task.findtext("start_frame"), task.findtext("stop_frame")) == ("3", "23")
    assert task.findtext("frame_filter") == "step=4"
    labels = [label.findtext("name") for label in task.findall("labels/label")]
    assert labels == list(info.categories)
    tracks = {int(track.get("id")): track for track in root.findall("track")}
    assert tracks.keys() == {i for frame, _ in made_frames(kind) for i in masks_of(frame)}
    for frame, _ in made_frames(kind):
        made = masks_of(frame)
        for object_id, track in tracks.items():
            assert track.get("label") in labels
            (shape,) = [s for s in track if int(s.get("frame")) == frame.index] or [None]
            if object_id in made:
                assert (shape.get("outside"), shape.get("keyframe")) == ("0", "1")
                assert (cvat_mask(shape) == made[object_id]).all()


def test_cvat_hides_what_is_gone_and_flags_what_is_doubtful(written):
    root = ElementTree.parse(written("cvat") / "annotations.xml").getroot()
    gone = [(s.get("frame"), s.get("outside")) for s in root.find("track[@id='7']")]
    assert gone == [("3", "0"), ("7", "0"), ("11", "0"), ("15", "0"), ("19", "0"), ("23", "1")]
    doubtful = [s.get("occluded") for s in root.find("track[@id='2']")]
    assert doubtful == ["0", "0", "1", "0", "0", "0"]


def test_cvat_hides_an_object_that_is_no_longer_tracked(tmp_path):
    with FORMATS["cvat"](made_info(), tmp_path) as writer:
        for place, index in enumerate(FRAMES):
            objects = special_objects(place, len(FRAMES))[place > 1 :]
            writer.write(FrameMasks(index, index, objects), None)
    root = ElementTree.parse(tmp_path / "cvat" / "annotations.xml").getroot()
    first = [(s.get("frame"), s.get("outside")) for s in root.find("track[@id='1']")]
    assert first == [("3", "0"), ("7", "0"), ("11", "1")]


@pytest.mark.parametrize("name", ["cvat", "label-studio", "ytvis"])
def test_an_object_that_comes_back_is_the_same_track(tmp_path, name):
    there = [True, False, False, True, True, False]
    with FORMATS[name](made_info(), tmp_path, ExportOptions(frames="none")) as writer:
        for place, index in enumerate(FRAMES):
            ring, *others = special_objects(place, len(FRAMES))
            seen = ring if there[place] else replace(ring, mask_hw=np.zeros((55, 97), bool))
            writer.write(FrameMasks(index, index, (seen, *others)), None)
    changes = [index for place, index in enumerate(FRAMES) if there[place] or there[place - 1]]
    if name == "cvat":
        root = ElementTree.parse(writer.target / "annotations.xml").getroot()
        shapes = [(int(s.get("frame")), s.get("outside")) for s in root.find("track[@id='1']")]
        assert shapes == [(i, str(int(not there[FRAMES.index(i)]))) for i in changes]
    elif name == "label-studio":
        (task,) = json.loads((writer.target / "video.json").read_text("utf-8"))
        keys = task["annotations"][0]["result"][0]["value"]["sequence"]
        found = [(key["frame"] - 1, key["enabled"]) for key in keys]
        assert found == [(i, there[FRAMES.index(i)]) for i in changes]
    else:
        document = json.loads((writer.target / "instances.json").read_text("utf-8"))
        codes = document["annotations"][0]["segmentations"]
        assert [code is not None for code in codes] == there


def test_names_are_escaped_in_cvat(tmp_path):
    info = ExportInfo(made_info(path="/v/a & b.mp4").video, {1: 'a "<b>" & c'}, FRAMES)
    with FORMATS["cvat"](info, tmp_path) as writer:
        writer.write(FrameMasks(FRAMES[0], 0, special_objects(0, 6)[:1]), None)
    root = ElementTree.parse(tmp_path / "cvat" / "annotations.xml").getroot()
    assert root.find("track").get("label") == 'a "<b>" & c'
    assert root.findtext("meta/task/name") == "a & b"


def brush_mask(code, height, width):
    """Label Studio's own reading, bit by bit."""
    bits = "".join(f"{byte:08b}" for byte in code)
    at = 0

    def read(count):
        nonlocal at
        at += count
        return int(bits[at - count : at], 2)

    total, word, sizes = read(32), read(5) + 1, [read(4) + 1 for _ in range(4)]
    values = []
    while len(values) < total:
        repeated, length = read(1), read(sizes[read(2)]) + 1
        values += [read(word)] * length if repeated else [read(word) for _ in range(length)]
    return np.array(values, np.uint8).reshape(height, width, 4)[..., 3] > 0


@pytest.mark.parametrize("seed", range(5))
def test_brush_codes_decode_equal(seed):
    mask_hw = np.random.default_rng(seed).random((13, 17)) < 0.5
    assert (brush_mask(encode_brush(mask_hw), 13, 17) == mask_hw).all()


@pytest.mark.parametrize("value", [False, True])
def test_long_runs_are_cut(value):
    mask_hw = np.full((200, 173), value)
    assert (brush_mask(encode_brush(mask_hw), 200, 173) == mask_hw).all()


def test_label_studio_images_have_brush_masks(written, kind):
    folder = written("label-studio", kind)
    tasks = json.loads((folder / "images.json").read_text("utf-8"))
    interface = ElementTree.parse(folder / "images.xml").getroot()
    for task, (frame, _) in zip(tasks, made_frames(kind), strict=True):
        assert task["data"]["image"].endswith(f"label-studio/images/{frame.index:05d}.jpg")
        results = task["annotations"][0]["result"]
        made = masks_of(frame)
        assert [result["id"] for result in results] == [f"object{i}" for i in made]
        for result, mask_hw in zip(results, made.values(), strict=True):
            assert result["from_name"] == interface.find("BrushLabels").get("name")
            assert result["to_name"] == interface.find("Image").get("name")
            assert (result["original_width"], result["original_height"]) == (97, 55)
            assert result["type"] == "brushlabels" and result["value"]["format"] == "rle"
            if kind == "special" or int(result["id"][6:]) % 50 == 2:  # bit by bit is slow
                assert (brush_mask(result["value"]["rle"], 55, 97) == mask_hw).all()


def test_label_studio_tracks_every_object_of_a_crowd(written):
    (task,) = json.loads((written("label-studio", "crowd") / "video.json").read_text("utf-8"))
    visible = {f"object{i}" for frame, _ in made_frames("crowd") for i in masks_of(frame)}
    results = task["annotations"][0]["result"]
    assert {result["id"] for result in results} == visible and len(results) == len(visible)


def test_label_studio_tracks_boxes_through_the_video(written):
    folder = written("label-studio")
    (task,) = json.loads((folder / "video.json").read_text("utf-8"))
    interface = ElementTree.parse(folder / "video.xml").getroot()
    assert interface.find("VideoRectangle").get("name") == "box"
    results = {result["id"]: result for result in task["annotations"][0]["result"]}
    assert list(results) == ["object1", "object2", "object3", "object7"]
    frames = list(made_frames())
    for object_id in (1, 2, 3, 7):
        value = results[f"object{object_id}"]["value"]
        assert value["framesCount"] == 30
        assert [key["frame"] for key in value["sequence"]] == [index + 1 for index in FRAMES]
        for key, (frame, _) in zip(value["sequence"], frames, strict=True):
            mask_hw = masks_of(frame).get(object_id)
            assert key["enabled"] == (mask_hw is not None)
            if mask_hw is not None:
                x1, y1, x2, y2 = mask_box(mask_hw)
                assert key["x"] * 97 / 100 == pytest.approx(x1, abs=1e-5)
                assert key["y"] * 55 / 100 == pytest.approx(y1, abs=1e-5)
                assert key["width"] * 97 / 100 == pytest.approx(x2 - x1, abs=1e-5)
                assert key["height"] * 55 / 100 == pytest.approx(y2 - y1, abs=1e-5)
