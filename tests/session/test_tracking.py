"""The main job on made videos: what a run folder holds, and that bad input leaves none."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.made_videos import make_image_folder, make_video
from tracker.errors import (
    ModelError,
    NoMatchError,
    PromptError,
    RunError,
    SettingsError,
    VideoError,
)
from tracker.masks import to_index_mask
from tracker.session.exchange.exporting import export_run
from tracker.session.progress import Progress
from tracker.session.run_folder import RunFolder
from tracker.session.summary import summarise
from tracker.session.tracking import default_output, track
from tracker.settings import TrackSettings
from tracker.types import Prompt
from tracker.video import open_video, read_index_mask

FRAMES = 70
BOX = Prompt(2, 1, box_xyxy=(40, 20, 120, 100), label="cup")
OTHER = Prompt(66, 3, box_xyxy=(10, 10, 90, 90))


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "clip.mp4"
    return make_video(path, frames=FRAMES, audio="aac")


@pytest.fixture(scope="module")
def whole_run(video, predictor, tmp_path_factory):
    """A run of all frames; tests must not change it."""
    folder = tmp_path_factory.mktemp("runs") / "clip"
    # The masks of random weights are torn, which a watch would see.
    settings = TrackSettings(redetect="off")
    return track(video, settings, [BOX, OTHER], folder, predictor=predictor)


class Recorder(Progress):
    """Keeps what it is told; `stop_at` interrupts as Ctrl-C does."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stages: list[tuple[str, int | None]] = []
        self.notices: list[str] = []
        self.frames = 0
        self._stop_at = stop_at

    def stage(self, name, frames):
        self.stages.append((name, frames))

    def frame(self):
        self.frames += 1
        if self.frames == self._stop_at:
            raise KeyboardInterrupt

    def notice(self, text):
        self.notices.append(text)


def test_a_run_describes_itself(whole_run, video):
    info = whole_run.info
    assert info.status == "complete"
    assert info.labels == {1: "cup", 3: None}
    assert info.identity.path == str(video)
    assert info.identity.bytes == video.stat().st_size
    assert info.video.has_audio
    assert info.models["sam2"].image_size == 128
    assert info.versions.keys() >= {"track", "torch", "sam2"}
    assert info.seconds > 0
    assert [p.to_json() for p in whole_run.prompts] == [BOX.to_json(), OTHER.to_json()]


def test_every_frame_is_stored_with_its_objects(whole_run):
    for frame in whole_run.frames():
        ids = [1] * (frame.index >= 2) + [3] * (frame.index >= 66)
        assert [mask.object_id for mask in frame.objects] == ids
    assert whole_run.frame_indices == tuple(range(FRAMES))


def test_outputs_are_made_from_the_run(whole_run):
    folder = whole_run.path
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == [
        *("annotated.mp4", "masklets", "masks", "overview.png"),
        *("prompts.json", "run.json", "scores.csv", "snapshots"),
    ]
    for frame in whole_run.frames():
        pairs = [(mask.object_id, mask.mask_hw) for mask in frame.objects]
        stored = read_index_mask(folder / "masks" / f"{frame.index:05d}.png")
        assert (stored == to_index_mask(pairs, 120, 160)).all()
    assert len(list((folder / "masks").iterdir())) == FRAMES
    with open_video(folder / "annotated.mp4") as made:
        assert sum(1 for _ in made.frames()) == FRAMES
        assert made.info.has_audio
        assert made.info.frame_rate == 30


def test_the_summary_sums_up(whole_run):
    summary = summarise(whole_run)
    cup, other = summary.objects
    assert (cup.id, cup.label, cup.prompt, cup.source, cup.frame) == (1, "cup", "box", "user", 2)
    assert (cup.frames_visible, other.frames_visible) == (FRAMES - 2, FRAMES - 66)
    assert 0 < cup.mean_confidence < 1
    assert summary.outputs.keys() == {"png", "video", "csv", "overview"}
    assert json.loads(json.dumps(summary.to_json()))["frames"] == FRAMES


def test_progress_tells_stages_and_frames(video, predictor, tmp_path):
    recorder = Recorder()
    settings = TrackSettings(end=4, video=False)
    run = track(
        video,
        settings,
        [BOX],
        tmp_path / "run",
        predictor=predictor,
        progress=recorder,
    )
    assert recorder.stages == [("loading", None), ("tracking", 4)]  # outputs are made beside it
    assert recorder.frames == 4
    assert not (run.path / "annotated.mp4").exists()
    assert not (run.path / "overview.png").exists()


def test_both_ways_and_strided_over_images(tmp_path, predictor):
    folder = make_image_folder(tmp_path / "images", [f"{n}.png" for n in range(9)])
    settings = TrackSettings(direction="both", stride=2)
    run = track(
        folder,
        settings,
        [Prompt(4, 1, box_xyxy=(40, 20, 120, 100))],
        tmp_path / "run",
        predictor=predictor,
    )
    assert run.frame_indices == (0, 2, 4, 6, 8)
    assert sorted(path.stem for path in (run.path / "masks").iterdir()) == ["0", "2", "4", "6", "8"]
    assert all(frame.objects for frame in run.frames())


def test_an_interruption_keeps_full_chunks_and_no_outputs(video, predictor, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        track(
            video,
            prompts=[BOX],
            output=tmp_path / "run",
            predictor=predictor,
            progress=Recorder(stop_at=66),
        )
    run = RunFolder(tmp_path / "run")
    assert run.info.status == "interrupted"
    assert run.frame_indices == tuple(range(64))
    assert not (run.path / "masks").exists()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"prompts": [Prompt(999, 1, box_xyxy=(1, 1, 9, 9))]}, PromptError),
        ({"prompts": [Prompt(0, 1, box_xyxy=(1, 1, 999, 9))]}, PromptError),
        ({"video": "nowhere.mp4"}, VideoError),
        ({"prompts": []}, SettingsError),
        ({"settings": TrackSettings(start=500)}, SettingsError),
        ({"settings": TrackSettings(model="nonesuch"), "predictor": None}, ModelError),
    ],
)
def test_bad_input_leaves_an_old_run_as_it_is(
    video, whole_run, predictor, tmp_path, changes, error
):
    old = tmp_path / "run"
    shutil.copytree(whole_run.path, old)
    before = sorted((p, p.stat().st_mtime_ns) for p in old.rglob("*"))
    given = {"video": video, "prompts": [BOX], "predictor": predictor, **changes}
    with pytest.raises(error):
        track(output=old, overwrite=True, **given)
    assert sorted((p, p.stat().st_mtime_ns) for p in old.rglob("*")) == before
    with pytest.raises(error):
        track(output=tmp_path / "new", **given)
    assert not (tmp_path / "new").exists()


def test_an_old_run_is_replaced_only_when_told(video, predictor, tmp_path):
    settings, folder = TrackSettings(end=2, video=False), tmp_path / "run"
    first = Prompt(0, 1, box_xyxy=(40, 20, 120, 100))
    track(video, settings, [first], folder, predictor=predictor)
    with pytest.raises(RunError, match="--overwrite"):
        track(video, settings, [first], folder, predictor=predictor)
    again = Prompt(0, 7, box_xyxy=(40, 20, 120, 100))
    run = track(video, settings, [again], folder, predictor=predictor, overwrite=True)
    assert run.info.labels == {7: None}


def test_a_video_inside_the_run_folder_is_not_overwritten(whole_run, predictor):
    inside = whole_run.path / "annotated.mp4"
    with pytest.raises(RunError, match="lies in the run folder"):
        track(inside, prompts=[BOX], output=whole_run.path, overwrite=True, predictor=predictor)


def test_default_output_is_named_after_the_video(tmp_path):
    assert str(default_output("a/b/my.clip.mp4")) == "runs/my.clip"
    (tmp_path / "frames.d").mkdir()
    assert str(default_output(tmp_path / "frames.d")) == "runs/frames.d"


def test_an_empty_memory_abstains_and_leaves_no_folder(video, predictor, tmp_path):
    settings = TrackSettings(auto_prompt=True, memory=str(tmp_path / "refs"))
    with pytest.raises(NoMatchError, match=r"refs is empty; .*track memory add"):
        track(video, settings, output=tmp_path / "run", predictor=predictor)
    assert not (tmp_path / "run").exists()


def test_an_empty_memory_is_a_notice_when_there_is_another_prompt(video, predictor, tmp_path):
    asked = {"auto_prompt": True, "memory": str(tmp_path / "refs"), "end": 3, "video": False}
    asked["redetect"] = "off"  # the masks of random weights are torn, which a watch would see
    recorder = Recorder()
    run = track(
        video, TrackSettings(**asked), [BOX], tmp_path / "a", predictor=predictor, progress=recorder
    )
    assert "is empty" in recorder.notices[0]
    assert run.info.notices == tuple(recorder.notices)
    settings = TrackSettings(**asked, fallback="center")
    run = track(video, settings, output=tmp_path / "b", predictor=predictor)
    (middle,) = run.prompts
    assert middle.points_n2.tolist() == [[80, 60]]


def test_a_video_that_has_changed_is_not_exported_from(video, predictor, tmp_path):
    copy = tmp_path / "copy.mp4"
    shutil.copy(video, copy)
    settings = TrackSettings(end=3, video=False)
    run = track(copy, settings, [BOX], tmp_path / "run", predictor=predictor)
    make_video(copy, frames=5)
    with pytest.raises(RunError, match="has changed"):
        export_run(run, ["video"])
    assert not (run.path / "annotated.mp4").exists()
    with pytest.raises(RunError, match="unknown format 'gif'"):
        export_run(run, ["gif"])
