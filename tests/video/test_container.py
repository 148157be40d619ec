from __future__ import annotations

import av
import pytest

from tests.made_videos import paint_index
from tracker.errors import VideoError
from tracker.video.container import open_container, picture_stream


def test_cover_art_is_no_video(tmp_path):
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as output:
        sound = output.add_stream("libmp3lame", rate=48000)
        cover = output.add_stream("mjpeg", rate=1, width=160, height=120)
        cover.pix_fmt = "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        output.mux(cover.encode(av.VideoFrame.from_ndarray(paint_index(0), format="rgb24")))
        output.mux(cover.encode(None))
        frame = av.AudioFrame(format="s16p", layout="stereo", samples=1152)
        frame.sample_rate = 48000
        output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    with open_container(path) as container:
        assert len(container.streams.video) == 1
        with pytest.raises(VideoError, match="has sound but no picture"):
            picture_stream(container, path)


def test_only_formats_of_one_local_file_are_opened(tmp_path):
    """Subtitles are a known format of FFmpeg, but not on the list."""
    path = tmp_path / "video.mp4"
    path.write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n\n" * 20)
    with av.open(str(path)) as container:
        assert container.format.name == "srt"
    with pytest.raises(VideoError, match="is not a video that can be read"):
        open_container(path)
