"""Every format: what it holds, and that it is finished or absent."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from tests.made_runs import made_frames, made_info
from tests.made_videos import make_video
from tracker.masks import to_index_mask
from tracker.output.export import FORMATS, ExportInfo, ExportOptions, FrameMasks
from tracker.types import ObjectMask
from tracker.video import index_palette, open_video, read_image, read_index_mask


def export(name, info: ExportInfo, folder, frames, error: Exception | None = None):
    with FORMATS[name](info, folder) as writer:
        for frame, image_hwc in frames():
            wanted = writer.wants_image(frame.index)
            writer.write(frame, image_hwc if wanted else None)
        if error:
            raise error
    return writer.target


@pytest.mark.parametrize("name", FORMATS)
def test_an_output_is_finished_or_absent(name, info, frames, tmp_path):
    with pytest.raises(RuntimeError, match="no luck"):
        export(name, info(), tmp_path, frames, RuntimeError("no luck"))
    assert not list(tmp_path.iterdir())
    target = export(name, info(), tmp_path, frames)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize("name", FORMATS)
def test_an_output_takes_the_place_of_an_earlier_one_only_when_it_is_done(
    name, info, frames, tmp_path
):
    def content():
        files = [p for p in sorted(tmp_path.rglob("*")) if p.is_file()]
        return [(p.name, p.read_bytes()) for p in files]

    export(name, info(), tmp_path, frames)
    before = content()
    with pytest.raises(RuntimeError):
        export(name, info(), tmp_path, frames, RuntimeError())
    assert content() == before
    export(name, info(), tmp_path, frames)
    assert [file for file, _ in content()] == [file for file, _ in before]


@pytest.mark.parametrize("name", ["png", "csv"])
def test_a_kill_between_the_old_output_and_the_new_loses_neither(name, info, frames, tmp_path):
    target = export(name, info(), tmp_path, frames)
    target.rename(tmp_path / f".{target.name}.old")
    with pytest.raises(RuntimeError):
        export(name, info(), tmp_path, frames, RuntimeError())
    assert list(tmp_path.iterdir()) == [target]


def test_masks_read_back_equal(info, frames, tmp_path):
    folder = export("png", info(), tmp_path, frames)
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"{frame.index:05d}.png" for frame, _ in frames()]
    for frame, _ in frames():
        pairs = [(mask.object_id, mask.mask_hw) for mask in frame.objects]
        path = folder / f"{frame.index:05d}.png"
        assert (read_index_mask(path) == to_index_mask(pairs, 54, 97)).all()
    with Image.open(path) as image:
        assert image.mode == "P"
        assert (np.array(image.getpalette()).reshape(-1, 3)[:8] == index_palette()[:8]).all()


def test_masks_of_an_image_folder_have_the_names_of_its_images(info, frames, tmp_path):
    stems = tuple(f"img {n}" for n in range(50))
    folder = export("png", info(stems=stems), tmp_path, frames)
    assert {path.stem for path in folder.iterdir()} == {f"img {n}" for n in range(3, 43, 4)}


def test_scores_have_a_row_per_object_and_frame(info, frames, tmp_path):
    path = export("csv", info(), tmp_path, frames)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    first, other, last = rows[0], rows[1], rows[-1]
    assert (first["frame"], first["object"], first["label"]) == ("3", "1", "cup")
    assert float(first["time_s"]) == pytest.approx(3 * 1001 / 30000, abs=1e-6)
    assert [first[k] for k in ("x1", "y1", "x2", "y2", "area_px")] == ["5", "10", "21", "26", "256"]
    assert (float(first["centre_x"]), float(first["centre_y"])) == (13, 18)
    assert float(first["confidence"]) == pytest.approx(0.9 / (1 + np.exp(-4.5)), abs=1e-4)
    assert (other["object"], other["state"]) == ("7", "visible")
    assert (last["state"], last["area_px"], last["x1"], last["centre_x"]) == (
        "occluded",
        "0",
        "",
        "",
    )


def test_the_video_keeps_size_times_and_pictures(info, frames, tmp_path):
    path = export("video", info(), tmp_path, frames)
    with open_video(path) as video:
        assert video.info.frame_rate == pytest.approx(30000 / 1001 / 4)
        stored = list(video.frames())
        times = [float(frame.pts * video.info.time_base) for frame in stored]
    made = [frame.pts / 30000 for frame, _ in frames()]
    assert times == pytest.approx([time - made[0] for time in made], abs=1e-4)
    assert stored[0].image_hwc.shape[:2] == (54, 98)  # 4:2:0 has no odd sizes
    red = stored[0].image_hwc[20, 12].astype(int)  # inside object 1, on a black field
    assert red[0] > 40
    assert red[1:].max() < 30


def test_the_video_carries_the_sound_of_its_source(info, frames, tmp_path):
    source = make_video(tmp_path / "clip.mp4", frames=50, size=(97 - 1, 54), audio="aac")
    path = export("video", info(path=str(source), has_audio=True), tmp_path, frames)
    with open_video(path) as video:
        assert video.info.has_audio


def test_the_overview_is_one_picture_of_evenly_spaced_frames(info, frames, tmp_path):
    writer = FORMATS["overview"](info(), tmp_path)
    wanted = [frame.index for frame, _ in frames() if writer.wants_image(frame.index)]
    assert len(wanted) == 8
    assert (wanted[0], wanted[-1]) == (3, 39)
    picture = read_image(export("overview", info(), tmp_path, frames))
    assert picture.shape[1] > 4 * 420


def test_pictures_that_nobody_wants_are_not_asked_for(info, tmp_path):
    for name in ("png", "csv"):
        with FORMATS[name](info(), tmp_path) as writer:
            assert not writer.wants_image(3)


def test_side_by_side_is_the_source_and_the_overlay(written):
    with open_video(written("video", style=("side-by-side",))) as video:
        image_hwc = video.read(2).image_hwc.astype(int)
    frame, source_hwc = list(made_frames())[2]
    assert image_hwc.shape == (56, 2 * 97, 3)
    left, right = image_hwc[:55, :97], image_hwc[:55, 97:]
    assert np.abs(left - source_hwc).mean() < 6
    ring = frame.objects[0].mask_hw
    assert np.abs(right - source_hwc)[ring].mean() > 30


def test_the_video_shows_the_style_that_was_asked_for(written):
    with open_video(written("video", style=("pixelate-background",))) as video:
        image_hwc = video.read(0).image_hwc[:55, :97].astype(int)
    frame, source_hwc = next(made_frames())
    inside = np.logical_or.reduce([mask.mask_hw for mask in frame.objects])
    assert np.abs(image_hwc - source_hwc)[inside].mean() < 10


def test_a_sequence_says_that_it_is_not_split(tmp_path):
    for name, says in (("mot", True), ("davis", True), ("coco", False), ("yolo", False)):
        options = ExportOptions(split=(0.5, 0.5, 0.0), frames="none")
        with FORMATS[name](made_info(), tmp_path, options) as writer:
            for frame, _ in made_frames():
                writer.write(frame, None)
        assert any("--split" in problem for problem in writer.problems) == says


@pytest.mark.parametrize(
    "name", ["png", "coco", "yolo", "yolo-detect", "voc", "labelme", "label-studio", "cutout"]
)
def test_pictures_of_several_sizes_keep_theirs(name, info, tmp_path):
    sizes = {3: (20, 31), 7: (40, 25)}
    with FORMATS[name](info(stems=tuple(str(n) for n in range(50))), tmp_path) as writer:
        for index, (height, width) in sizes.items():
            mask_hw = np.zeros((height, width), bool)
            mask_hw[5:15, 5:15] = True
            frame = FrameMasks(index, index, (ObjectMask(1, mask_hw, 5.0, 1.0),))
            writer.write(frame, np.zeros((height, width, 3), np.uint8))
    pictures = {p.stem: p for p in writer.target.rglob("*") if p.suffix in (".png", ".jpg")}
    for index, size_hw in sizes.items():
        assert read_image(pictures[str(index)]).shape[:2] == size_hw
    if name == "coco":
        document = json.loads(
            (writer.target / "annotations" / "instances_train.json").read_text("utf-8")
        )
        found = [(image["height"], image["width"]) for image in document["images"]]
        assert found == list(sizes.values())
