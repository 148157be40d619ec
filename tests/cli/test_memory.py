"""`track memory`: what a person types, sees, and finds on disk."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from transformers import Dinov2Config, Dinov2Model

from tests.made_videos import painted_index
from tracker import locations
from tracker.cli import main
from tracker.masks import iou
from tracker.memory.store import ReferenceMemory
from tracker.models import registry
from tracker.models.checksum import read_sha256
from tracker.models.registry import HubSource, Model, ModelFile
from tracker.session.identity import identify_video
from tracker.session.run_info import RunInfo
from tracker.session.run_writer import RunWriter
from tracker.settings import TrackSettings
from tracker.types import FrameResult, ObjectMask
from tracker.video import open_video, read_image


def tiny_model(name, seed):
    """A feature model with random weights, installed where pulled models lie."""
    folder = locations.user_models() / name
    torch.manual_seed(seed)
    config = Dinov2Config(
        hidden_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=112, patch_size=14
    )
    Dinov2Model(config).save_pretrained(folder)
    names = ("model.safetensors", "config.json")
    files = (ModelFile(n, (folder / n).stat().st_size, read_sha256(folder / n)) for n in names)
    return Model(name, "features", "config.json", "a test", tuple(files), HubSource("test", "1"))


@pytest.fixture
def track(tmp_path, monkeypatch):
    """Run `track memory …` with two tiny feature models installed; returns click's result."""
    monkeypatch.setenv("TRACK_MEMORY", str(tmp_path / "memory"))
    monkeypatch.setenv("TRACK_MODELS", str(tmp_path / "models"))
    models = (tiny_model("tiny", 0), tiny_model("larger", 1))
    others = tuple(model for model in registry.MODELS if model.kind == "sam2")
    monkeypatch.setattr(registry, "MODELS", (*others, *models))

    def run(*args, code=0):
        result = CliRunner().invoke(main, ["memory", *map(str, args)])
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def pictures(tmp_path):
    """Two pictures with a disc, and masks of it: (image paths, mask paths)."""
    images, masks = [], []
    for number, (x, colour) in enumerate([(60, (200, 30, 30)), (120, (30, 30, 200))]):
        image = np.full((120, 180, 3), 90, np.uint8)
        mask = np.zeros((120, 180), np.uint8)
        for canvas, value in ((image, colour), (mask, 255)):
            cv2.circle(canvas, (x, 60), 25, value, -1)
        images.append(tmp_path / f"{number}.png")
        masks.append(tmp_path / f"mask{number}.png")
        cv2.imwrite(str(images[-1]), image[..., ::-1])
        cv2.imwrite(str(masks[-1]), mask)
    return images, masks


@pytest.fixture
def filled(track, pictures):
    """A memory with the two pictures; returns the ids as `add` prints them."""
    images, masks = pictures
    labels = ("red disc", "blue disc")
    added = zip(images, masks, labels, strict=True)
    return [
        track("add", image, "--mask", mask, "--label", label, "--features", "tiny").output.split()[
            0
        ]
        for image, mask, label in added
    ]


def test_add_says_what_is_stored_and_again_changes_nothing(track, pictures, tmp_path):
    (image, _), (mask, _) = pictures
    first = track("add", image, "--mask", mask, "--label", "disc").stdout
    assert first.endswith(f"disc  (1 in {tmp_path / 'memory'})\n")
    assert track("add", image, "--mask", mask, "--label", "disc").stdout == first
    error = track("add", image, "--mask", mask, "--label", "ball", code=2).stderr
    assert error.startswith("error: this image and mask are stored as 'disc' already")
    assert error.count("\n") == 1


def test_add_wants_one_way_to_mark_the_object(track, pictures):
    (image, _), (mask, _) = pictures
    for options in (
        [image, "--label", "x"],
        [image, "--mask", mask, "--box", "1,2,3,4", "--label", "x"],
        ["--mask", mask, "--label", "x"],
        [image, "--from-run", "runs/a", "--frame", 0],
        ["--from-run", "runs/a"],
    ):
        assert "give IMAGE with --mask" in track("add", *options, code=2).stderr
    assert "--label NAME" in track("add", image, "--mask", mask, code=2).stderr


@pytest.fixture
def run_folder(tmp_path, make_video):
    """A run of a made video: object 3, a cup, is a square at the left of frame 5 and gone on 6."""
    video = make_video(frames=8)
    square = np.zeros((120, 160), bool)
    square[40:80, 10:60] = True
    with open_video(video) as source:
        info = RunInfo(
            video=source.info,
            identity=identify_video(video),
            settings=TrackSettings(),
            models={},
            labels={3: "cup"},
            versions={},
            started="2026-01-02T03:04:05+00:00",
        )
        with RunWriter(tmp_path / "run", info, ()) as writer:
            for frame in source.frames(5, 7):
                mask_hw = square if frame.index == 5 else np.zeros_like(square)
                writer.write(FrameResult(frame, (ObjectMask(3, mask_hw, 5.0, 0.9),)))
    return tmp_path / "run"


def test_an_object_of_a_run_keeps_its_label(track, run_folder, tmp_path):
    added = track("add", "--from-run", run_folder, "--frame", 5).stdout
    assert "  cup  " in added
    (entry,) = ReferenceMemory.open(tmp_path / "memory").list()
    assert (entry.width, entry.height, entry.area_px) == (160, 120, 2000)
    reference = ReferenceMemory.open(tmp_path / "memory").get(entry.id)
    assert painted_index(reference.image_hwc) == 5
    renamed = track(
        *("add", "--from-run", run_folder, "--object", 3, "--frame", 5, "--label", "mug"),
        *("--memory", tmp_path / "second"),
    )
    assert "  mug  " in renamed.stdout


@pytest.mark.parametrize(("frame", "object_id"), [(6, 3), (5, 1)])
def test_an_object_that_is_not_there_is_an_error(track, run_folder, frame, object_id):
    options = ("--frame", frame, "--object", object_id)
    error = track("add", "--from-run", run_folder, *options, code=2).stderr
    assert f"visible on frame {frame}" in error


def test_sam2_makes_the_mask_of_a_box_and_of_points(track, pictures, tmp_path):
    (image, _), (mask, _) = pictures
    if not registry.is_installed(registry.find("demo", "sam2")[0]):
        pytest.skip("the demo model is not there")
    truth = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE) > 0
    # One click says little; the demo model takes it for a part of the disc.
    for number, (marks, least) in enumerate(
        ((["--box", "35,35,85,85"], 0.7), (["--point", "60,60"], 0.3))
    ):
        folder = tmp_path / f"marked{number}"
        track("add", image, *marks, "--label", "disc", "--model", "demo", "--memory", folder)
        memory = ReferenceMemory.open(folder)
        found = memory.get(memory.list()[0].id).mask_hw
        assert iou(found, truth) > least
        assert found[60, 60]
    assert (
        "lies outside" in track("add", image, "--box", "0,0,900,9", "--label", "x", code=2).stderr
    )
    error = track("add", image, "--box", "2@0:1,1,9,9", "--label", "x", code=2).stderr
    assert "leave OBJ@FRAME: out" in error


def test_list_and_labels(track, filled):
    table = track("list").stdout
    assert "red disc" in table
    assert "180x120" in table
    assert filled[0] in table
    listed = json.loads(track("list", "--json").stdout)
    assert {entry["label"] for entry in listed} == {"red disc", "blue disc"}
    assert listed[0]["id"].startswith(filled[1])


def test_show_writes_a_picture(track, filled, tmp_path, pictures):
    output = tmp_path / "shown.png"
    assert track("show", filled[0][:6], "--output", output).stdout == f"{output}\n"
    shown, original = read_image(output), read_image(pictures[0][0])
    assert shown.shape == original.shape
    assert (shown != original).any()
    temporary = track("show", filled[0]).stdout.strip()
    np.testing.assert_array_equal(read_image(temporary), shown)
    assert "cannot write" in track("show", filled[0], "--output", tmp_path, code=2).stderr


def test_remove_is_all_or_nothing(track, filled):
    track("remove", filled[0], "abcdef", code=2)
    assert len(json.loads(track("list", "--json").stdout)) == 2
    track("remove", filled[0], filled[1])
    assert json.loads(track("list", "--json").stdout) == []


def test_search_ranks_the_same_picture_first(track, filled, pictures):
    ranking = json.loads(track("search", pictures[0][1], "--json").stdout)
    assert [match["label"] for match in ranking] == ["blue disc", "red disc"]
    assert ranking[0]["similarity"] > 0.99 > ranking[1]["similarity"]
    table = track("search", pictures[0][1], "-k", 1).stdout
    assert "blue disc" in table
    assert "red disc" not in table
    assert "red disc" in track("search", pictures[0][1], "--label", "red disc").stdout


def test_matches_writes_a_picture(track, filled, tmp_path, pictures):
    output = tmp_path / "matches.png"
    track("matches", pictures[0][1], filled[0], "--output", output)
    assert read_image(output).shape == (480, 2 * 720 + 8, 3)


def test_the_memory_keeps_its_feature_model_until_reembed(track, filled, pictures, tmp_path):
    # `auto` would be `larger`, the best installed; the memory was made with `tiny`.
    assert len(json.loads(track("search", pictures[0][0], "--json").stdout)) == 2
    refused = track("search", pictures[0][0], "--features", "larger", code=2).stderr
    assert "track memory reembed" in refused
    assert track("reembed").stdout == "2 references described with larger\n"
    assert ReferenceMemory.open(tmp_path / "memory").feature_model[0] == "larger"
    assert len(json.loads(track("search", pictures[0][0], "--json").stdout)) == 2
    assert "all files intact" in track("verify").stdout


def test_verify_fails_on_damage_and_cleans_up(track, filled, tmp_path):
    images = tmp_path / "memory" / "images"
    (images / "stray.tmp").write_bytes(b"")
    assert "stray.tmp" in track("verify", code=2).stdout
    assert track("verify", "--clean").stdout.startswith(f"deleted {images / 'stray.tmp'}")
    next(images.glob("*.png")).unlink()
    result = track("verify", code=2)
    assert "missing" in result.stdout
    assert "1 problems" in result.stderr


def test_import_takes_what_it_can(track, pictures, tmp_path):
    images, masks = pictures
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        for kind, path in (("images", image), ("masks", mask)):
            target = tmp_path / "set" / kind / f"disc{number}" / "a.png"
            target.parent.mkdir(parents=True)
            target.write_bytes(path.read_bytes())
    assert track("import", tmp_path / "set").stdout.startswith("2 references imported; 2 in")
    cv2.imwrite(str(tmp_path / "set/masks/disc0/a.png"), np.zeros((120, 180), np.uint8))
    result = track("import", tmp_path / "set", "--memory", tmp_path / "second", code=2)
    assert "refused" in result.stderr
    assert "1 of 2" in result.stderr
    assert ReferenceMemory.open(tmp_path / "second").labels() == ("disc1",)


def test_without_a_memory_everything_but_add_says_how_to_make_one(track, pictures):
    for args in (["list"], ["verify"], ["reembed"], ["search", pictures[0][0]], ["show", "abcd"]):
        error = track(*args, code=2).stderr
        assert "there is no reference memory" in error
        assert error.count("\n") == 1
