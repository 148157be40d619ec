"""`track segment`: from the command line to files and exit codes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from pycocotools.coco import COCO

from tests.made_detector import make_detector
from tracker.cli import main
from tracker.session.images.measuring import read_measures, total
from tracker.video import read_index_mask, write_index_mask

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture
def track(tmp_path, monkeypatch):
    """Calls `track` in a folder of its own with a square to show; returns click's result."""
    monkeypatch.chdir(tmp_path)
    mask_hw = np.zeros((48, 64), np.uint8)
    mask_hw[10:30, 20:40] = 1
    write_index_mask(tmp_path / "square.png", mask_hw)
    (tmp_path / "pictures").mkdir()
    for name in ("a", "b"):
        image_hwc = np.full((48, 64, 3), 90, np.uint8)
        image_hwc[10:30, 20:40] = (200, 40, 30)
        Image.fromarray(image_hwc).save(tmp_path / "pictures" / f"{name}.png")
    return lambda *args: CliRunner().invoke(main, [str(arg) for arg in args])


SHOW = ("--mask", "square.png", "--mask", "3@1:square.png")


def test_prompts_measures_and_the_table(track, tmp_path):
    (tmp_path / "m.yaml").write_text("scale: {px_per_cm: 10}\n")
    result = track("segment", "pictures", *SHOW, "--measure", "m.yaml", "--format", "png,coco")
    assert result.exit_code == 0, result.stderr
    out = tmp_path / "runs" / "pictures-segments"
    for text in ("cm²", "400", "4.0", "8.0", "total", "2 of 2 done", "overlay"):
        assert text in result.stdout
    with (out / "objects.csv").open(newline="") as file:
        found = [(row["image"], row["object"], row["area_cm2"]) for row in csv.DictReader(file)]
    assert found == [("a", "1", "4.0"), ("b", "3", "4.0")]
    written = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    assert written == {
        *("segment.json", "results", "objects.csv", "totals.csv", "measures.json"),
        *("masks", "coco", "overlays"),
    }


def test_splits_and_polygons(track, tmp_path):
    chosen = ("--format", "coco,yolo", "--split", "0.5,0.5,0", "--polygons", "--frames", "none")
    assert track("segment", "pictures", *SHOW, *chosen).exit_code == 0
    out = tmp_path / "runs" / "pictures-segments"
    assert (out / "yolo" / "labels" / "train" / "a.txt").exists()
    assert (out / "yolo" / "labels" / "val" / "b.txt").exists()
    train = json.loads((out / "coco" / "annotations" / "instances_train.json").read_text())
    (annotation,) = train["annotations"]
    assert isinstance(annotation["segmentation"], list) and annotation["area"] == 400


def test_words_are_answered_by_a_detector(track, tmp_path):
    """Its weights are random: any boxes, but named by the phrases."""
    make_detector(tmp_path / "detector")
    words = ("--text", "a red ball . a dog .", "--detector", "detector", "--box-threshold", "0.5")
    small = ("--model", "demo", "--device", "cpu", "--image-size", "128")
    result = track("segment", "pictures", *words, *small, "--format", "coco", "--json")
    assert result.exit_code == 0, result.stderr
    images = json.loads(result.stdout)["found"]["images"]
    found = [each for image in images.values() for each in image["objects"]]
    assert found and {each["label"] for each in found} <= {"red ball", "dog"}
    assert all(each["source"] == "detector" and each["score"] >= 0.5 for each in found)
    coco = COCO(tmp_path / "runs/pictures-segments/coco/annotations/instances_train.json")
    assert len(coco.anns) == len(found)


def test_limits_that_drop_everything_are_told(track):
    few = ("--everything", "--points-per-side", "2", "--min-iou", "1", "--image-size", "128")
    result = track("segment", "pictures/a.png", *few)
    assert (result.exit_code, "1 of 1 done" in result.stdout) == (0, True)
    model, note = result.stderr.splitlines()
    assert model.startswith("note: using demo, a small model")
    assert note.startswith("note: nothing was kept on a: ")
    assert "below --min-iou 1 and --min-stability 0.95" in note
    assert "to keep more: --min-iou 0.7 --min-stability 0.8" in note


def test_json_and_a_second_call(track):
    first = json.loads(track("segment", "pictures", *SHOW, "--json", "--no-overlay").stdout)
    assert (first["images"], first["done_before"], first["failures"]) == (2, 0, [])
    assert first["found"]["images"]["b"]["objects"][0]["object"] == 3
    assert list(first["outputs"]) == ["png"]
    assert json.loads(track("segment", "pictures", *SHOW, "--json").stdout)["done_before"] == 2


def test_a_bad_image_is_listed_at_the_end(track, tmp_path):
    (tmp_path / "pictures" / "c.jpg").write_bytes(b"nothing")
    result = track("segment", "pictures", *SHOW)
    assert result.exit_code == 2
    assert "1 of 3 images failed: c.jpg; the others are done" in result.stderr
    assert "2 of 3 done" in result.stdout and "failed" in result.stdout
    assert (tmp_path / "runs" / "pictures-segments" / "masks" / "b.png").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "say what to segment"),
        (("--everything", "--auto-prompt"), "give --auto-prompt or --everything, not both"),
        ((*SHOW, "--format", "video"), "--format video: one of png"),
        ((*SHOW, "--measure", "nowhere.yaml"), "cannot read nowhere.yaml"),
        ((*SHOW, "--split", "0.5"), "--split 0.5: three shares"),
        (("--boxes", "nowhere.json"), "cannot read nowhere.json"),
        (("--point", "900,5"), "1 of 2 images failed: a.png"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(track, args, message):
    result = track("segment", "pictures", *args)
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]


def test_what_was_made_in_another_way_stays(track):
    assert track("segment", "pictures", *SHOW).exit_code == 0
    other = track("segment", "pictures", "--mask", "square.png")
    assert other.exit_code == 2
    assert "prompts differ; --overwrite starts over" in other.stderr
    assert track("segment", "pictures", "--mask", "square.png", "--overwrite").exit_code == 0


def test_the_sample_meal_is_measured(tmp_path):
    """Close to what the true masks give; the demo model's are a little small."""
    meal = SAMPLES / "meal"
    measures = read_measures(meal / "meal.yaml")
    truth_hw = read_index_mask(meal / "truth.png")
    names = ("card", "beetroot", "peas", "carrots")
    true = measures.measure([(name, truth_hw == i) for i, name in enumerate(names, start=1)])
    # The card is 8.56 x 5.4 cm.
    assert true[0].area_cm2 == pytest.approx(8.56 * 5.4, rel=0.03)

    args = ("--boxes", meal / "boxes.json", "--measure", meal / "meal.yaml", "--json")
    output = ("--output", tmp_path / "out", "--no-overlay")
    called = [str(arg) for arg in ("segment", meal / "meal.jpg", *args, *output)]
    found = json.loads(CliRunner().invoke(main, called).stdout)["found"]
    assert found["total"]["area_cm2"] == pytest.approx(total(true[1:]).area_cm2, rel=0.15)
    assert found["total"]["kcal"] == pytest.approx(total(true).quantities["kcal"], rel=0.15)
    areas = {each["label"]: each["area_cm2"] for each in found["images"]["meal"]["objects"]}
    for name, each in zip(names, true, strict=True):
        assert areas[name] == pytest.approx(each.area_cm2, rel=0.2)
