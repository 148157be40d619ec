"""COCO's JSON, read by pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from tests.made_runs import FRAMES, made_frames, made_info, masks_of
from tracker.output.export import FORMATS, ExportOptions
from tracker.video import read_image


def load(path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


@pytest.mark.parametrize("polygons", [False, True])
def test_pycocotools_decodes_every_mask_equal(written, kind, polygons):
    coco = load(written("coco", kind, polygons=polygons) / "annotations" / "instances_train.json")
    assert len(coco.imgs) == len(FRAMES)
    info = made_info(kind)
    for (frame, _), (image_id, image) in zip(made_frames(kind), coco.imgs.items(), strict=True):
        assert (image["frame_index"], image["file_name"]) == (frame.index, f"{frame.index:05d}.jpg")
        assert (image["width"], image["height"]) == (97, 55)
        assert image["time_s"] == pytest.approx(frame.index * 1001 / 30000, abs=1e-6)
        entries = coco.loadAnns(coco.getAnnIds(image_id))
        masks = {e["track_id"]: coco.annToMask(e).astype(bool) for e in entries}
        made = masks_of(frame)
        assert masks.keys() == made.keys()
        for entry in entries:
            mask_hw = made[entry["track_id"]]
            assert (masks[entry["track_id"]] == mask_hw).all()
            assert entry["area"] == mask_hw.sum()
            left, top, width, height = entry["bbox"]
            assert mask_hw[top : top + height, left : left + width].sum() == entry["area"]
            (name,) = (coco.cats[entry["category_id"]]["name"],)
            assert name == (info.labels[entry["track_id"]] or "object")
            assert (entry["video_id"], entry["iscrowd"]) == (1, 0)


def test_ids_are_unique_and_frames_are_counted(written):
    document = json.loads(
        (written("coco") / "annotations" / "instances_train.json").read_text("utf-8")
    )
    ids = [entry["id"] for entry in document["annotations"]]
    assert ids == list(range(1, len(ids) + 1))
    assert [image["frame_id"] for image in document["images"]] == list(range(len(FRAMES)))
    assert document["videos"][0]["name"] == "clip"
    assert {entry["state"] for entry in document["annotations"]} == {"visible", "doubtful"}


def test_pictures_are_those_of_the_frames(written):
    folder = written("coco", frames="png") / "images"
    assert [path.name for path in sorted(folder.iterdir())] == [f"{n:05d}.png" for n in FRAMES]
    for frame, image_hwc in made_frames():
        assert (read_image(folder / f"{frame.index:05d}.png") == image_hwc).all()


def test_without_pictures_only_annotations_are_written(written):
    folder = written("coco", frames="none")
    assert [path.name for path in folder.iterdir()] == ["annotations"]


@pytest.mark.parametrize("name", ["coco/annotations/instances_train.json", "ytvis/instances.json"])
def test_pictures_that_are_not_written_have_the_names_of_the_source(name, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for index in range(30):
        (source / f"view {index}.{'webp' if index == FRAMES[1] else 'png'}").touch()
    info = made_info(path=str(source), stems=tuple(f"view {n}" for n in range(30)))
    with FORMATS[name.split("/")[0]](info, tmp_path, ExportOptions(frames="none")) as writer:
        for frame, _ in made_frames():
            writer.write(frame, None)
    document = json.loads((tmp_path / name).read_text("utf-8"))
    named = [image["file_name"] for image in document.get("images", ())]
    named = named or [Path(file).name for file in document["videos"][0]["file_names"]]
    assert named[:3] == ["view 3.png", "view 7.webp", "view 11.png"]


def test_a_split_is_in_time_and_each_part_is_a_file(written):
    folder = written("coco", split=(0.5, 0.3, 0.2)) / "annotations"
    found = {}
    for part in ("train", "val", "test"):
        coco = load(folder / f"instances_{part}.json")
        found[part] = [image["frame_index"] for image in coco.imgs.values()]
        assert {e["image_id"] for e in coco.anns.values()} <= coco.imgs.keys()
    assert found == {"train": list(FRAMES[:3]), "val": list(FRAMES[3:5]), "test": list(FRAMES[5:])}


def test_youtube_vis_tracks_are_equal(written, kind):
    folder = written("ytvis", kind)
    document = json.loads((folder / "instances.json").read_text("utf-8"))
    (video,) = document["videos"]
    assert (video["width"], video["height"], video["length"]) == (97, 55, len(FRAMES))
    assert all((folder / "JPEGImages" / name).is_file() for name in video["file_names"])
    made = [masks_of(frame) for frame, _ in made_frames(kind)]
    tracks = {entry["track_id"]: entry for entry in document["annotations"]}
    assert tracks.keys() == {i for masks in made for i in masks}
    coco = COCO()
    for object_id, entry in tracks.items():
        for key in ("segmentations", "bboxes", "areas"):
            assert len(entry[key]) == len(FRAMES)
        for place, masks in enumerate(made):
            rle = entry["segmentations"][place]
            assert (rle is None) == (object_id not in masks) == (entry["areas"][place] is None)
            if rle is not None:
                coco.imgs = {0: {"height": 55, "width": 97}}
                mask_hw = coco.annToMask({"image_id": 0, "segmentation": rle}).astype(bool)
                assert (mask_hw == masks[object_id]).all()
                assert entry["areas"][place] == np.count_nonzero(mask_hw)
