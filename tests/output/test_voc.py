"""Pascal VOC's XML and masks, parsed back."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
from PIL import Image

from tests.made_runs import FRAMES, made_frames, made_info, masks_of
from tracker.masks import mask_box


def test_boxes_and_masks_are_parsed_back_equal(written, kind):
    folder, info = written("voc", kind), made_info(kind)
    for frame, _ in made_frames(kind):
        stem, made = f"{frame.index:05d}", masks_of(frame)
        root = ElementTree.parse(folder / "Annotations" / f"{stem}.xml").getroot()
        assert root.findtext("filename") == f"{stem}.jpg"
        size = [root.findtext(f"size/{name}") for name in ("width", "height", "depth")]
        assert size == ["97", "55", "3"]
        entries = root.findall("object")
        assert [int(entry.findtext("track_id")) for entry in entries] == list(made)
        objects_hw = np.array(Image.open(folder / "SegmentationObject" / f"{stem}.png"))
        classes_hw = np.array(Image.open(folder / "SegmentationClass" / f"{stem}.png"))
        for number, (entry, mask_hw) in enumerate(zip(entries, made.values(), strict=True), 1):
            xmin, ymin, xmax, ymax = (
                int(entry.findtext(f"bndbox/{name}")) for name in ("xmin", "ymin", "xmax", "ymax")
            )
            assert (xmin - 1, ymin - 1, xmax, ymax) == mask_box(mask_hw)
            assert ((objects_hw == number) == mask_hw).all()
            class_id = info.categories.index(entry.findtext("name")) + 1
            assert (classes_hw[mask_hw] == class_id).all()


def test_flags_follow_border_and_state(written):
    folder = written("voc")
    root = ElementTree.parse(folder / "Annotations" / f"{FRAMES[2]:05d}.xml").getroot()
    flags = [(e.findtext("truncated"), e.findtext("difficult")) for e in root.findall("object")]
    assert flags == [("0", "0"), ("0", "1"), ("1", "0"), ("0", "0")]


def test_sets_list_the_frames(written):
    sets = written("voc", split=(0.5, 0.5, 0.0)) / "ImageSets"
    assert {path.name for path in sets.iterdir()} == {"Main", "Segmentation"}
    for folder in sets.iterdir():
        listed = {path.stem: path.read_text("utf-8").split() for path in folder.iterdir()}
        assert listed["train"] == [f"{n:05d}" for n in FRAMES[:3]]
        assert listed["val"] == [f"{n:05d}" for n in FRAMES[3:]]
        assert listed["test"] == []


def test_the_label_map_names_the_colours_of_the_masks(written):
    folder = written("voc")
    lines = (folder / "labelmap.txt").read_text("utf-8").splitlines()[1:]
    assert [line.split(":")[0] for line in lines] == ["background", *made_info().categories]
    with Image.open(folder / "SegmentationClass" / f"{FRAMES[0]:05d}.png") as image:
        palette = np.array(image.getpalette()).reshape(-1, 3)
    for number, line in enumerate(lines):
        assert line.split(":")[1] == ",".join(str(v) for v in palette[number])
