"""`track label`: a data set from images and the reference memory of the samples."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from pycocotools.coco import COCO

from tracker.cli import main
from tracker.masks import iou
from tracker.video import open_video, read_index_mask

SAMPLES = Path(__file__).parents[2] / "samples"
FRAME = 30
ONLY = ("--label", "balloon", "--prompt-kind", "box", "--max-per-label", "2")


@pytest.fixture
def track(tmp_path, monkeypatch):
    """Calls `track` in a folder with a picture of a balloon and a grey one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    with open_video(SAMPLES / "meadow" / "meadow.mp4") as video:
        Image.fromarray(video.read(FRAME).image_hwc).save(tmp_path / "pictures" / "sky.png")
    Image.fromarray(np.full((90, 120, 3), 128, np.uint8)).save(tmp_path / "pictures" / "grey.png")
    memory = ("--memory", str(SAMPLES / "memory"), *ONLY)

    def call(*args, command=("label",)):
        return CliRunner().invoke(main, [*command, "pictures", *memory, *args])

    return call


def test_a_folder_becomes_a_data_set(track, tmp_path):
    result = track()
    assert result.exit_code == 0, result.stderr
    out = tmp_path / "runs" / "pictures-labels"
    coco = COCO(str(out / "coco" / "annotations" / "instances_train.json"))
    assert [category["name"] for category in coco.cats.values()] == ["balloon"]
    best = max(coco.anns.values(), key=lambda annotation: annotation["score"])
    assert coco.imgs[best["image_id"]]["file_name"] == "sky.jpg" and 0 < best["score"] <= 1
    truth_hw = read_index_mask(SAMPLES / "meadow" / "truth" / f"{FRAME:05d}.png") == 1
    assert iou(coco.annToMask(best).astype(bool), truth_hw) > 0.7
    assert (out / "yolo" / "labels" / "train" / "sky.txt").read_text().startswith("0 ")
    assert (out / "yolo" / "labels" / "train" / "grey.txt").read_text() == ""
    with (out / "review.csv").open(newline="") as file:
        doubts = [(row["image"], row["reason"]) for row in csv.DictReader(file)]
    assert ("grey", "nothing was found") in doubts
    assert "doubtful" in result.stdout


def test_several_labels_and_several_of_one(track, tmp_path):
    """A second balloon is pasted beside the first; a bird is there already."""
    with open_video(SAMPLES / "meadow" / "meadow.mp4") as video:
        image_hwc = video.read(FRAME).image_hwc.copy()
    index_hw = read_index_mask(SAMPLES / "meadow" / "truth" / f"{FRAME:05d}.png")
    balloon_hw, bird_hw = index_hw == 1, index_hw == 2
    other_hw = np.roll(balloon_hw, (10, 250), (0, 1))
    image_hwc[other_hw] = image_hwc[balloon_hw]
    for path in (tmp_path / "pictures").iterdir():
        path.unlink()
    Image.fromarray(image_hwc).save(tmp_path / "pictures" / "two.png")
    result = track("--label", "bird", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)["found"]["images"]["two"]["objects"]
    assert sorted(each["label"] for each in found) == ["balloon", "balloon", "bird"]
    assert all(0 < each["score"] <= 1 for each in found)
    coco = COCO(str(tmp_path / "runs/pictures-labels/coco/annotations/instances_train.json"))
    masks = [coco.annToMask(each).astype(bool) for each in coco.anns.values()]
    for truth_hw in (balloon_hw, other_hw, bird_hw):
        assert max(iou(mask_hw, truth_hw) for mask_hw in masks) > 0.6
    numbers = {(each["track_id"], each["category_id"]) for each in coco.anns.values()}
    assert len(numbers) == 3 and len({category for _, category in numbers}) == 2


@pytest.mark.parametrize("command", [("label",), ("segment", "--auto-prompt")])
def test_nothing_that_matches_is_exit_code_3(track, tmp_path, command):
    (tmp_path / "pictures" / "sky.png").unlink()
    result = track("--min-score", "0.9", "--output", "out", command=command)
    assert result.exit_code == 3
    assert "nothing in the reference memory matches any of the images" in result.stderr
    assert (tmp_path / "out" / "objects.csv").exists()
    assert (tmp_path / "out" / "review.csv").exists() == (command == ("label",))
