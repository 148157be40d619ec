"""Sizes, frame numbers and times in every format, for every kind of video."""

from __future__ import annotations

import csv
import json
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from tests.made_runs import write_run
from tests.made_videos import make_video, painted_index
from tracker.output.export import FORMATS, ExportOptions
from tracker.session.exchange.exporting import export_run
from tracker.video import open_video, read_image

PTS = (0, 20, 33, 90, 91, 120, 200, 210, 260, 300, 333, 340)  # in hundredths of a second
FRAMES = (1, 7)  # of a run over 1, 4, 7, 10 that broke off before the last, every second


@pytest.fixture(scope="module", params=["odd", "rotated", "variable"])
def exported(request, tmp_path_factory):
    """A folder with a run in every format, the times of its frames, and width and height."""
    folder = tmp_path_factory.mktemp(request.param)
    made = {
        "odd": {"name": "clip.mp4", "size": (97, 65), "pixel_format": "yuv444p"},
        "rotated": {"name": "clip.mp4", "size": (64, 96), "rotation": 90},
        "variable": {
            **{"name": "clip.mkv", "size": (96, 64)},
            **{"pts": PTS, "time_base": Fraction(1, 100)},
        },
    }[request.param]
    video = make_video(folder / made.pop("name"), 12, **made)
    run = write_run(folder / "run", video, (1, 4, 7), start=1, end=12, stride=3)
    options = ExportOptions(every=2, style=("box",))
    export_run(run, list(FORMATS), folder / "out", options)
    with open_video(video) as source:
        times = [float(source.read(n).pts * source.info.time_base) for n in FRAMES]
    return folder / "out", times, made["size"]


def read_json(path: Path):
    return json.loads(path.read_text("utf-8"))


def test_pictures_show_the_frames_that_their_names_say(exported):
    out, _, (width, height) = exported
    places = {
        "png": "masks/{:05d}.png",
        "png-per-object": "objects/by-object/1/{:05d}.png",
        "davis": "davis/Annotations/480p/clip/{:05d}.png",
        "voc": "voc/SegmentationObject/{:05d}.png",
        "cutout": "cutout/{:05d}.png",
    }
    photos = {
        "davis": "davis/JPEGImages/480p/clip/{:05d}.jpg",
        "coco": "coco/images/{:05d}.jpg",
        "ytvis": "ytvis/JPEGImages/clip/{:05d}.jpg",
        "yolo": "yolo/images/train/{:05d}.jpg",
        "voc": "voc/JPEGImages/{:05d}.jpg",
        "labelme": "labelme/{:05d}.jpg",
        "label-studio": "label-studio/images/{:05d}.jpg",
    }
    for path in (*places.values(), *photos.values()):
        folder, suffix = (out / path).parent, Path(path).suffix
        there = sorted(each.name for each in folder.glob(f"*{suffix}"))
        assert there == [f"{n:05d}{suffix}" for n in FRAMES], path
        for n in FRAMES:
            with Image.open(out / path.format(n)) as image:
                assert image.size == (width, height), path
            if path in photos.values():
                assert painted_index(read_image(out / path.format(n))) == n, path


@pytest.mark.parametrize("name", ["mot", "mots"])
def test_renumbered_sequences_say_which_frames_they_hold(exported, name):
    out, times, (width, height) = exported
    folder = out / name / "clip"
    with (folder / "frames.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["number"]), int(row["frame"])) for row in rows] == [(1, 1), (2, 7)]
    assert [float(row["time_s"]) for row in rows] == pytest.approx(times, abs=1e-6)
    for number, n in enumerate(FRAMES, start=1):
        assert painted_index(read_image(folder / "img1" / f"{number:06d}.jpg")) == n
    described = (folder / "seqinfo.ini").read_text("utf-8")
    assert f"seqLength=2\nimWidth={width}\nimHeight={height}\n" in described


def test_documents_have_sizes_numbers_and_times(exported):
    out, times, (width, height) = exported
    coco = read_json(out / "coco/annotations/instances_train.json")
    assert [image["frame_index"] for image in coco["images"]] == list(FRAMES)
    assert [image["time_s"] for image in coco["images"]] == pytest.approx(times, abs=1e-6)
    assert {(image["width"], image["height"]) for image in coco["images"]} == {(width, height)}
    ytvis = read_json(out / "ytvis/instances.json")
    assert ytvis["videos"][0]["file_names"] == [f"clip/{n:05d}.jpg" for n in FRAMES]
    assert {tuple(e["segmentations"][0]["size"]) for e in ytvis["annotations"]} == {(height, width)}
    for n in FRAMES:
        labelme = read_json(out / f"labelme/{n:05d}.json")
        assert (labelme["imageWidth"], labelme["imageHeight"]) == (width, height)
        voc = ElementTree.parse(out / f"voc/Annotations/{n:05d}.xml").find("size")
        assert [voc.findtext(name) for name in ("width", "height")] == [str(width), str(height)]
        assert (out / f"yolo/labels/train/{n:05d}.txt").is_file()


def test_annotation_tools_get_the_frames_of_the_source(exported):
    out, times, (width, height) = exported
    cvat = ElementTree.parse(out / "cvat/annotations.xml").getroot()
    size = [cvat.findtext(f"meta/task/original_size/{name}") for name in ("width", "height")]
    assert size == [str(width), str(height)]
    assert cvat.findtext("meta/task/frame_filter") == "step=6"
    assert [int(s.get("frame")) for s in cvat.find("track[@id='1']")] == list(FRAMES)
    (task,) = read_json(out / "label-studio/video.json")
    keys = task["annotations"][0]["result"][0]["value"]["sequence"]
    assert [key["frame"] for key in keys] == [n + 1 for n in FRAMES]
    assert [key["time"] for key in keys] == pytest.approx(times, abs=1e-6)
    images = read_json(out / "label-studio/images.json")
    assert [task["data"]["frame_index"] for task in images] == list(FRAMES)


def test_tables_and_the_video_have_the_times_of_the_source(exported):
    from pyarrow import parquet

    out, times, (width, height) = exported
    with (out / "scores.csv").open(newline="", encoding="utf-8") as file:
        rows = [(int(r["frame"]), float(r["time_s"])) for r in csv.DictReader(file)]
    table = parquet.read_table(out / "scores.parquet").to_pylist()
    assert rows == [(row["frame"], row["time_s"]) for row in table]
    assert sorted({frame for frame, _ in rows}) == list(FRAMES)
    assert sorted({time for _, time in rows}) == pytest.approx(times, abs=1e-6)
    with open_video(out / "annotated.mp4") as video:
        stored = list(video.frames())
        shown = [float(frame.pts * video.info.time_base) for frame in stored]
        even = (width + width % 2, height + height % 2)
        assert (video.info.width, video.info.height) == even  # 4:2:0 has no odd sizes
    assert shown == pytest.approx([time - times[0] for time in times], abs=1e-4)
    assert [painted_index(frame.image_hwc[:height, :width]) for frame in stored] == list(FRAMES)
    assert np.array(Image.open(out / "overview.png")).any()
