"""Opening by content, laziness, bounded memory, ranges."""

from __future__ import annotations

import gc
import os
import shutil
import threading
import weakref

import numpy as np
import pytest
from PIL import Image

from tests.made_videos import make_image_folder, make_video, painted_index
from tracker.errors import VideoError
from tracker.video import open_video
from tracker.video.ring import MAX_FRAMES


def test_the_first_frame_is_there_before_the_tenth_is_decoded(make_video):
    """Also with B-frames, which the decoder must see before it can give out what lies between."""
    with open_video(make_video(frames=60, b_frames=3, gop=60)) as reader:
        assert reader.packets_decoded < 10
        assert painted_index(next(reader.frames()).image_hwc) == 0
        assert reader.packets_decoded < 10
        assert reader.frames_held == 1


def test_opening_a_folder_decodes_one_image(tmp_path):
    folder = make_image_folder(tmp_path / "images", [f"{i}.png" for i in range(20)])
    with open_video(folder) as reader:
        assert reader.packets_decoded == 1


def test_memory_does_not_grow_with_the_video(make_video):
    images = []
    with open_video(make_video(frames=200, size=(64, 48))) as reader:
        for frame in reader.frames():
            images.append(weakref.ref(frame.image_hwc))
            assert reader.frames_held <= MAX_FRAMES
        del frame
        gc.collect()
        assert sum(image() is not None for image in images) <= MAX_FRAMES
    gc.collect()
    assert all(image() is None for image in images)


def test_a_walk_backwards_decodes_each_stretch_once(make_video):
    """200 frames from one keyframe: four stretches of 64, not 200 times from the beginning."""
    with open_video(make_video(frames=200, size=(64, 48), gop=200)) as reader:
        list(reader.frames())
        before = reader.packets_decoded
        order = [painted_index(reader.read(i).image_hwc) for i in range(199, -1, -1)]
        assert order == list(range(199, -1, -1))
        assert reader.packets_decoded - before <= 136 + 72 + 8 + 3


def test_a_visited_frame_is_reached_from_its_keyframe(make_video):
    with open_video(make_video(frames=120, size=(64, 48), gop=10)) as reader:
        list(reader.frames())
        before = reader.packets_decoded
        assert painted_index(reader.read(25).image_hwc) == 25
        assert reader.packets_decoded - before <= 10


def test_reading_on_after_a_jump_does_not_seek(make_video):
    with open_video(make_video(frames=120, size=(64, 48), gop=120)) as reader:
        for index in (40, 41, 45, 100):
            assert painted_index(reader.read(index).image_hwc) == index
        assert reader.packets_decoded == 101


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, range(30)),
        ({"start": 12}, range(12, 30)),
        ({"end": 5}, range(5)),
        ({"start": 3, "end": 20, "stride": 4}, range(3, 20, 4)),
        ({"start": 28, "end": 1000}, range(28, 30)),
        ({"start": 30}, range(0)),
        ({"start": 7, "end": 7}, range(0)),
    ],
)
def test_frames_of_a_range(make_video, arguments, expected):
    with open_video(make_video()) as reader:
        frames = list(reader.frames(**arguments))
    assert [frame.index for frame in frames] == list(expected)
    assert [painted_index(frame.image_hwc) for frame in frames] == list(expected)
    assert [frame.pts for frame in frames] == [512 * i for i in expected]


@pytest.mark.parametrize("arguments", [{"start": -1}, {"stride": 0}, {"start": 9, "end": 4}])
def test_impossible_ranges_are_refused_at_once(make_video, arguments):
    with open_video(make_video()) as reader, pytest.raises(VideoError, match="start"):
        reader.frames(**arguments)


def test_reading_in_between_does_not_disturb_an_iteration(make_video):
    with open_video(make_video()) as reader:
        reader._ring.capacity = 2
        seen = []
        for frame in reader.frames():
            seen.append(painted_index(frame.image_hwc))
            assert painted_index(reader.read(seen[-1] // 2).image_hwc) == seen[-1] // 2
    assert seen == list(range(30))


def test_threads_take_turns(make_video):
    seen: dict[int, list[int]] = {}

    def read(number: int) -> None:
        order = np.random.default_rng(number).permutation(30).tolist()
        seen[number] = [painted_index(reader.read(i).image_hwc) - i for i in order]

    with open_video(make_video()) as reader:
        reader._ring.capacity = 4
        threads = [threading.Thread(target=read, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert seen == {n: [0] * 30 for n in range(4)}


def test_images_are_shared_and_therefore_read_only(make_video):
    with open_video(make_video()) as reader:
        image_hwc = reader.read(0).image_hwc
        with pytest.raises(ValueError, match="read-only"):
            image_hwc[0, 0] = 0
        assert reader.read(0).image_hwc is image_hwc


def test_an_interrupted_reader_can_be_read_again(make_video, monkeypatch):
    """Ctrl-C in the middle of decoding must not pass for the end of the video."""
    with open_video(make_video()) as reader:
        reader.read(3)
        convert = type(reader._decoder)._to_rgb

        def interrupted(*arguments):
            raise KeyboardInterrupt

        monkeypatch.setattr(type(reader._decoder), "_to_rgb", interrupted)
        with pytest.raises(KeyboardInterrupt):
            reader.read(4)
        monkeypatch.setattr(type(reader._decoder), "_to_rgb", convert)
        assert [painted_index(f.image_hwc) for f in reader.frames()] == list(range(30))


def test_a_closed_reader_says_so(make_video):
    reader = open_video(make_video())
    reader.close()
    reader.close()
    with pytest.raises(VideoError, match="closed"):
        reader.read(0)


def test_the_content_decides_not_the_name(make_video, tmp_path):
    video = make_video("video.mp4")
    gif = make_video("moving.gif", codec="gif", pixel_format="rgb8")
    for source, name in ((video, "sounds.mp3"), (video, "picture.png"), (gif, "x.txt")):
        disguised = shutil.copy(source, tmp_path / name)
        with open_video(disguised) as reader:
            assert painted_index(reader.read(7).image_hwc) == 7


def test_names_that_look_like_addresses_are_files(make_video, tmp_path, monkeypatch):
    source = make_video("video.mp4")
    monkeypatch.chdir(tmp_path)
    for name in ("a:b.mp4", "http:x.mp4", "concat:video.mp4|video.mp4", "100%d.mp4", "-i.mp4"):
        shutil.copy(source, name)
        with open_video(name) as reader:
            assert painted_index(reader.read(2).image_hwc) == 2


def test_one_image_is_a_video_of_one_frame(tmp_path):
    folder = make_image_folder(tmp_path, ["only.jpg"])
    with open_video(folder / "only.jpg") as reader:
        assert [painted_index(f.image_hwc) for f in reader.frames()] == [0]
        assert reader.info.stems == ("only",)
        assert reader.info.frame_count == 1


def test_sound_is_noticed(make_video):
    with open_video(make_video(frames=5, audio="aac")) as reader:
        assert reader.info.has_audio


def _empty(path):
    path.write_bytes(b"")


def _text(path):
    path.write_text("this is no video\n" * 100)


def _noise(path):
    path.write_bytes(np.random.default_rng(0).bytes(20_000))


def _header_only(path):
    make_video(path)
    os.truncate(path, 40)


def _hls(path):
    make_video(path.with_suffix(".ts"))
    path.write_text(f"#EXTM3U\n#EXTINF:1,\n{path.with_suffix('.ts')}\n#EXT-X-ENDLIST\n")


def _hls_behind_blanks(path):
    _hls(path)
    path.write_text("\n" + path.read_text())


def _dash(path):
    address = "http://127.0.0.1:9/segment.mp4"
    path.write_text(
        '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet>'
        f"<Representation><BaseURL>{address}</BaseURL></Representation>"
        "</AdaptationSet></Period></MPD>"
    )


def _concat(path):
    make_video(path.with_suffix(".ts"))
    path.write_text(f"ffconcat version 1.0\nfile '{path.with_suffix('.ts').name}'\n")


def _audio_only(path):
    make_video(path.with_suffix(".mkv"), frames=30, audio="aac")
    import av

    with av.open(str(path.with_suffix(".mkv"))) as source, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)


def _damaged_png(path):
    Image.new("RGB", (64, 64), "red").save(path, format="PNG")
    os.truncate(path, 60)


def _no_image_in_folder(path):
    path.mkdir()
    (path / "notes.txt").write_text("nothing to see")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: None, "no such file or folder"),
        (_empty, "is empty"),
        (_text, "is not a video that can be read"),
        (_noise, "is not a video that can be read"),
        (_header_only, "is not a video that can be read"),
        (_hls, "is a playlist"),
        (_hls_behind_blanks, "is a playlist"),
        (_concat, "is a playlist"),
        (_dash, "is not a video that can be read"),
        (_audio_only, "has sound but no picture"),
        (_damaged_png, "cannot decode the image"),
        (_no_image_in_folder, "there is no image in"),
        (os.mkfifo, "is not a regular file"),
    ],
)
@pytest.mark.parametrize("reader", ["pyav", "decord"])
def test_what_cannot_be_opened_is_named(tmp_path, spoil, message, reader):
    path = tmp_path / "video.mp4"
    spoil(path)
    with pytest.raises(VideoError, match=message) as refusal:
        open_video(path, reader)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_unknown_reader_lists_the_known_ones(make_video):
    with pytest.raises(VideoError, match="unknown reader 'opencv'; known: pyav, decord"):
        open_video(make_video(), "opencv")
