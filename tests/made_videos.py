"""Videos made for tests: every frame paints its own index, so a test knows which frame came back.

A frame is a grid of 4 x 4 blocks. The top row is red, green, blue, white: it shows whether a frame
is upright and its colours are right. The 12 blocks below are the bits of the frame's index, most
significant first, white for 1 and black for 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Rgb = NDArray[np.uint8]

CORNER_ROW = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)], np.uint8)


def paint_index(index: int, width: int = 160, height: int = 120) -> Rgb:
    """The picture of frame `index`, 0 to 4095."""
    blocks = np.zeros((4, 4, 3), np.uint8)
    blocks[0] = CORNER_ROW
    bits = [(index >> (11 - i)) & 1 for i in range(12)]
    blocks[1:] = 255 * np.array(bits, np.uint8).reshape(3, 4, 1)
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
    return np.ascontiguousarray(blocks[rows][:, columns])


def painted_index(image_hwc: Rgb) -> int:
    """The index that `paint_index` painted. Fails when the picture is not upright."""
    blocks = _block_colours(image_hwc)
    assert np.abs(blocks[0] - CORNER_ROW).max() < 100, "the picture is not upright, or its colours"
    bits = blocks[1:].mean(axis=2).reshape(-1) > 127
    return int(sum(1 << (11 - i) for i, bit in enumerate(bits) if bit))


def _block_colours(image_hwc: Rgb) -> NDArray[np.float64]:
    """The mean colour of the middle of each block, shape (4, 4, 3)."""
    height, width = image_hwc.shape[:2]
    means = np.empty((4, 4, 3))
    for row in range(4):
        for column in range(4):
            top, left = row * height // 4, column * width // 4
            bottom, right = (row + 1) * height // 4, (column + 1) * width // 4
            inset_y, inset_x = (bottom - top) // 4, (right - left) // 4
            block = image_hwc[top + inset_y : bottom - inset_y, left + inset_x : right - inset_x]
            means[row, column] = block.reshape(-1, 3).mean(axis=0)
    return means


def make_video(
    path: Path,
    frames: int = 30,
    *,
    size: tuple[int, int] = (160, 120),
    rate: Fraction = Fraction(30),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    gop: int = 10,
    b_frames: int = 0,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    rotation: int = 0,
    audio: str | None = None,
    audio_seconds: float | None = None,
    container: str | None = None,
    container_options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
) -> Path:
    """Write a video whose frame i is `paint_index(i)` once it is upright.

    Args:
        path: the container follows from its suffix unless `container` names a format.
        size: width and height of the upright frames.
        pts: one time stamp per frame, in units of `time_base` (default: 0, 1, 2 ... at `rate`).
        rotation: 0, 90, 180 or 270 degrees counter-clockwise in the display matrix; the stored
            frames are turned the other way, so that players show them upright.
        audio: name of an audio encoder; the sound is a click at every full second.
    """
    time_base = time_base or 1 / rate
    with av.open(str(path), "w", format=container, options=container_options or {}) as output:
        turned = rotation % 180 != 0
        width, height = size[::-1] if turned else size
        options = _encoder_options(codec, gop, b_frames) | (codec_options or {})
        stream: Any = output.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.time_base = time_base
        if rotation:
            stream.set_display_rotation(rotation)
        sound = output.add_stream(audio, rate=48000) if audio else None
        for index in range(frames):
            upright = paint_index(index, *size)
            stored = np.ascontiguousarray(np.rot90(upright, -rotation // 90))
            frame = av.VideoFrame.from_ndarray(stored, format="rgb24")
            frame.pts = pts[index] if pts else index
            frame.time_base = time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if sound is not None:
            _add_clicks(output, sound, audio_seconds or float(frames / rate))
    return path


def _encoder_options(codec: str, gop: int, b_frames: int) -> dict[str, str]:
    if codec == "libx264":
        # No scene cuts: keyframes stand exactly at multiples of `gop`.
        fixed = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={b_frames}:b-adapt=0"
        return {"preset": "ultrafast", "crf": "18", "x264-params": fixed + ":threads=1"}
    if codec == "libx265":
        quiet = f"keyint={gop}:min-keyint={gop}:scenecut=0:log-level=none:pools=1"
        return {"preset": "ultrafast", "x265-params": quiet}
    if codec == "libvpx-vp9":
        return {"deadline": "realtime", "cpu-used": "8", "g": str(gop), "crf": "20"}
    return {"g": str(gop), "b": "2000k"} if codec == "mpeg4" else {}


def click_track(seconds: float, rate: int = 48000) -> NDArray[np.float32]:
    """Silence with a 20 ms tone of 1 kHz at the start of every full second, shape (samples,)."""
    times = np.arange(round(seconds * rate)) / rate
    tone = 0.8 * np.sin(2 * np.pi * 1000 * times)
    return np.where(times % 1.0 < 0.02, tone, 0.0).astype(np.float32)


def _add_clicks(output: Any, stream: Any, seconds: float) -> None:
    samples = click_track(seconds)
    for start in range(0, len(samples), 1024):
        block = np.tile(samples[start : start + 1024], (2, 1))
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = 48000, start
        frame.time_base = Fraction(1, 48000)
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def make_image_folder(
    folder: Path, names: Sequence[str], size: tuple[int, int] = (160, 120)
) -> Path:
    """Write `paint_index(i)` under the i-th name; the suffix chooses the format."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        Image.fromarray(paint_index(index, *size)).save(folder / name)
    return folder


def packet_spans(path: Path) -> list[tuple[int, int]]:
    """Position and size in bytes of each video packet in the file, in decoding order."""
    with av.open(str(path)) as source:
        packets = [p for p in source.demux(video=0) if p.size]
        return [(p.pos, p.size) for p in packets if p.pos is not None]


def damage_packet(path: Path, number: int) -> Path:
    """Overwrite the `number`-th video packet (decoding order) so that it cannot be decoded."""
    position, size = packet_spans(path)[number]
    with open(path, "r+b") as file:
        file.seek(position)
        file.write(b"\xff" * size)
    return path


def truncate_after_packet(path: Path, number: int) -> Path:
    """Cut the file in the middle of its `number`-th video packet (decoding order)."""
    position, size = packet_spans(path)[number]
    with open(path, "r+b") as file:
        file.truncate(position + size // 2)
    return path
