"""Exports of whole runs: sizes, numbers and times of every kind of video, in every format."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from tests.full_disk import files_limited_to
from tests.made_runs import masks_of, write_run
from tests.made_videos import make_image_folder, make_video, painted_index
from tracker.errors import RunError, SettingsError, VideoError
from tracker.output.export import FORMATS, ExportOptions
from tracker.session.exchange.annotations import decode_segmentation
from tracker.session.exchange.exporting import export_run
from tracker.video import open_video, read_image, read_index_mask

ALL = tuple(name for name in FORMATS if name != "parquet")  # which has its own test
PTS = (0, 20, 33, 90, 91, 120, 200, 210, 260, 300, 333, 340)  # in hundredths of a second


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Videos of 12 frames that are odd in one way each."""
    folder = tmp_path_factory.mktemp("videos")
    vfr = {"pts": PTS, "time_base": Fraction(1, 100)}
    return {
        "plain": make_video(folder / "plain.mp4", 12, size=(96, 64)),
        "odd": make_video(folder / "odd.mp4", 12, size=(97, 65), pixel_format="yuv444p"),
        "rotated": make_video(folder / "rotated.mp4", 12, size=(64, 96), rotation=90),
        "variable": make_video(folder / "variable.mkv", 12, size=(96, 64), **vfr),
        "images": make_image_folder(
            folder / "images", [f"img {n}.png" for n in range(12)], (96, 64)
        ),
    }


@pytest.mark.parametrize("source", ["odd", "rotated", "variable", "images"])
def test_every_format_takes_every_video(sources, source, tmp_path):
    run = write_run(tmp_path / "run", sources[source], range(1, 12, 3), start=1, stride=3)
    seen = []
    made = export_run(run, ALL, tmp_path / "out", on_frame=lambda: seen.append(1))
    assert [each.name for each in made] == list(ALL)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {e.path.name for e in made}
    assert len(seen) == 4
    info = run.export_info()
    width, height = info.video.width, info.video.height
    for frame in run.frames():
        stem = info.stem(frame.index)
        index_hw = read_index_mask(tmp_path / "out" / "masks" / f"{stem}.png")
        assert index_hw.shape == (height, width)
        for object_id, mask_hw in masks_of(frame).items():
            assert ((index_hw == object_id) == mask_hw).all()
        picture = read_image(tmp_path / "out" / "coco" / "images" / f"{stem}.jpg")
        assert picture.shape == (height, width, 3)
        assert painted_index(picture) == frame.index
        cut_hwc = np.array(Image.open(tmp_path / "out" / "cutout" / f"{stem}.png"))
        assert cut_hwc.shape == (height, width, 4)


@pytest.mark.parametrize("source", ["plain", "variable"])
def test_times_of_a_strided_part_are_those_of_the_source(sources, source, tmp_path):
    run = write_run(tmp_path / "run", sources[source], range(2, 10), start=2)
    export_run(
        run, ["coco", "video", "csv"], tmp_path / "out", ExportOptions(every=3, style=("box",))
    )
    with open_video(sources[source]) as video:
        times = [float(video.read(n).pts * video.info.time_base) for n in (2, 5, 8)]
    document = json.loads(
        (tmp_path / "out/coco/annotations/instances_train.json").read_text("utf-8")
    )
    assert [image["frame_index"] for image in document["images"]] == [2, 5, 8]
    assert [image["time_s"] for image in document["images"]] == pytest.approx(times, abs=1e-6)
    with open_video(tmp_path / "out" / "annotated.mp4") as video:
        stored = list(video.frames())
        shown = [float(frame.pts * video.info.time_base) for frame in stored]
    assert shown == pytest.approx([time - times[0] for time in times], abs=1e-4)
    assert [painted_index(frame.image_hwc) for frame in stored] == [2, 5, 8]


def test_a_run_that_broke_off_exports_what_it_has(sources, tmp_path):
    run = write_run(tmp_path / "run", sources["plain"], range(5), end=12)
    export_run(run, ["ytvis", "mot"], tmp_path / "out")
    document = json.loads((tmp_path / "out/ytvis/instances.json").read_text("utf-8"))
    assert document["videos"][0]["length"] == 5
    first = document["annotations"][0]["segmentations"][0]
    (frame,) = [frame for frame in run.frames() if frame.index == 0]
    assert (decode_segmentation(first, *first["size"]) == masks_of(frame)[1]).all()


def test_options_choose_frames_and_objects(sources, tmp_path):
    run = write_run(tmp_path / "run", sources["plain"], range(12))
    options = ExportOptions(only=("ring", "2"), exclude_doubtful=True, frames="none")
    started = []
    export_run(run, ["coco"], tmp_path / "out", options, on_start=started.append)
    document = json.loads(
        (tmp_path / "out/coco/annotations/instances_train.json").read_text("utf-8")
    )
    assert started == [11]
    assert 2 not in [image["frame_index"] for image in document["images"]]
    assert {entry["track_id"] for entry in document["annotations"]} == {1, 2}
    assert [entry["name"] for entry in document["categories"]] == ["ring", "pair"]


def test_what_is_there_is_not_overwritten_unasked(sources, tmp_path):
    run = write_run(tmp_path / "run", sources["plain"], range(3))
    (made,) = export_run(run, ["davis"])
    assert made.path == run.path / "davis"
    (made.path / "note.txt").write_text("mine")
    with pytest.raises(RunError, match="davis is there already; --overwrite"):
        export_run(run, ["png", "davis"])
    assert not (run.path / "masks").exists()
    assert (made.path / "note.txt").exists()
    export_run(run, ["davis"], overwrite=True)
    assert not (made.path / "note.txt").exists()


def test_formats_named_twice_are_written_once(sources, tmp_path):
    run = write_run(tmp_path / "run", sources["plain"], range(3))
    assert [made.name for made in export_run(run, ["png", "csv", "png"])] == ["png", "csv"]


def test_formats_have_names_of_their_own():
    assert len({output.file_name for output in FORMATS.values()}) == len(FORMATS)


def test_errors_leave_nothing_behind(sources, tmp_path):
    run = write_run(tmp_path / "run", sources["plain"], range(3))
    with pytest.raises(SettingsError, match="--only cat"):
        export_run(run, ["coco"], tmp_path / "out", ExportOptions(only=("cat",)))
    with pytest.raises(RunError, match="unknown format 'gif'; known: png, "):
        export_run(run, ["gif"], tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(VideoError, match="cannot write to"):
        export_run(run, ["coco"], tmp_path / "file" / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["coco", "cutout", "mot", "csv"])
def test_a_full_disk_is_said_and_leaves_nothing(sources, tmp_path, name):
    run = write_run(tmp_path / "run", sources["plain"], range(12), "crowd")
    with files_limited_to(1 << 8), pytest.raises(VideoError, match="cannot write"):
        export_run(run, [name], tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
