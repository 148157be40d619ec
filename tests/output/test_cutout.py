"""Cut-outs: alpha is the mask, backgrounds are what was asked for."""

from __future__ import annotations

import av
import numpy as np
import pytest
from PIL import Image

from tests.made_runs import FRAMES, made_frames
from tracker.masks import iou
from tracker.video import open_video


def union(frame):
    return np.logical_or.reduce([mask.mask_hw for mask in frame.objects])


def read_alpha_video(path):
    """RGB frames, their alpha and their times in seconds."""
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        if path.suffix == ".mov":
            decoded = list(source.decode(stream))
        else:  # FFmpeg's own VP9 decoder drops alpha
            decoder = av.CodecContext.create("libvpx-vp9", "r")
            packets = list(source.demux(stream))
            decoded = [f for p in packets if p.size for f in decoder.decode(p)]
        times = [float(f.pts * stream.time_base) for f in decoded]
        return [f.to_ndarray(format="rgb24") for f in decoded], [alpha(f) for f in decoded], times


def alpha(frame):
    """From its own plane: FFmpeg's conversion to RGBA spoils the last columns of odd widths."""
    plane = frame.planes[3]
    bits = frame.format.components[3].bits
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    alpha_hw = rows.view(np.uint16 if bits > 8 else np.uint8)[: frame.height, : frame.width]
    return np.rint(alpha_hw * (255 / (2**bits - 1))).astype(np.uint8)


def test_alpha_equals_the_mask_and_nothing_else_stays(written, kind):
    folder = written("cutout", kind)
    for frame, image_hwc in made_frames(kind):
        cut_hwc = np.array(Image.open(folder / f"{frame.index:05d}.png"))
        inside = union(frame)
        assert (cut_hwc[..., 3] == inside * np.uint8(255)).all()
        assert (cut_hwc[inside, :3] == image_hwc[inside]).all()
        assert not cut_hwc[~inside].any()


def test_a_feather_softens_both_sides_of_the_edge(written):
    folder = written("cutout", feather=2.0)
    frame, _ = next(made_frames())
    alpha_hw = np.array(Image.open(folder / f"{frame.index:05d}.png"))[..., 3]
    corner = frame.objects[2].mask_hw
    assert 100 < alpha_hw[corner].mean() < 255
    assert 0 < alpha_hw[12, 2] < 128  # below its edge
    assert alpha_hw[2, 2] > 240


@pytest.mark.parametrize("colour", ["#00ff00", "lime"])
def test_a_colour_takes_the_place_of_the_background(written, colour):
    folder = written("cutout", background=colour)
    frame, image_hwc = next(made_frames())
    cut_hwc = np.array(Image.open(folder / f"{frame.index:05d}.png"))
    assert cut_hwc.shape == (55, 97, 3)
    assert (cut_hwc[union(frame)] == image_hwc[union(frame)]).all()
    assert (cut_hwc[~union(frame)] == (0, 255, 0)).all()


def test_a_picture_covers_the_background(written, tmp_path):
    picture = np.zeros((100, 400, 3), np.uint8)
    picture[:, 200:] = 255
    Image.fromarray(picture).save(tmp_path / "back.png")
    folder = written("cutout", background=str(tmp_path / "back.png"))
    frame, _ = next(made_frames())
    cut_hwc = np.array(Image.open(folder / f"{frame.index:05d}.png"))
    assert (cut_hwc[54, 2], cut_hwc[54, 90]) == (pytest.approx([0] * 3), pytest.approx([255] * 3))


@pytest.mark.parametrize(
    ("cutout", "name", "size_hw"),
    [("prores", "cutout.mov", (55, 97)), ("vp9", "cutout.webm", (56, 98))],
)
def test_videos_keep_alpha_and_times(written, cutout, name, size_hw):
    path = written("cutout", cutout=cutout) / name
    images, alphas, times = read_alpha_video(path)
    assert times == pytest.approx([4 * n * 1001 / 30000 for n in range(len(FRAMES))], abs=1e-3)
    for image_hwc, alpha_hw, (frame, source_hwc) in zip(images, alphas, made_frames(), strict=True):
        assert image_hwc.shape[:2] == size_hw
        alpha_hw = alpha_hw[:55, :97]
        inside = union(frame)
        if cutout == "prores":
            assert (alpha_hw == inside * np.uint8(255)).all()
        assert iou(alpha_hw > 127, inside) > 0.99
        deep = frame.objects[2].mask_hw.copy()
        deep[7:], deep[:, 7:] = False, False
        colours = image_hwc[:55, :97][deep].astype(float)
        assert np.abs(colours - source_hwc[deep]).mean() < 12


def test_an_mp4_stands_on_its_background(written):
    folder = written("cutout", cutout="mp4", background="#0000ff")
    with open_video(folder / "cutout.mp4") as video:
        image_hwc = video.read(0).image_hwc
    assert image_hwc.shape == (56, 98, 3)
    assert image_hwc[54, 2, 2] > 200 and image_hwc[54, 2, :2].max() < 40
