"""A correction changes the masks that it touches, and nothing else, and can be taken back."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.made_videos import make_video
from tracker.errors import PromptError, RunError, SettingsError
from tracker.masks import iou, to_index_mask
from tracker.models import snapshot
from tracker.session.drift import Episode
from tracker.session.prompts_file import digest
from tracker.session.propagation import apply_prompt
from tracker.session.refine import recomputing
from tracker.session.refine.corrections import Corrections, Walk
from tracker.session.refine.recomputing import Recomputing, Settling
from tracker.session.refine.refining import preview, refine, undo
from tracker.session.resume.resuming import resume
from tracker.session.resume.snapshots import Snapshots
from tracker.session.run_folder import RunFolder
from tracker.session.run_writer import RunWriter
from tracker.session.session import TrackSession
from tracker.session.tracking import track
from tracker.session.watch.reviewing import newest_episodes
from tracker.settings import TrackSettings
from tracker.types import ObjectMask, Prompt
from tracker.video import read_index_mask

FRAMES = 16
BOX, OTHER, NEW = (8, 6, 40, 40), (20, 10, 50, 40), (30, 10, 60, 46)
FIRST, SECOND = Prompt(0, 1, box_xyxy=BOX, label="cup"), Prompt(2, 2, box_xyxy=OTHER)
LATER = Prompt(12, 1, box_xyxy=(12, 6, 50, 40))
TO_THE_END = Settling(frames=0, confidence=9)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "clip.mp4"
    return make_video(path, frames=FRAMES, size=(64, 48))


@pytest.fixture(scope="module")
def made(video, small_predictor, tmp_path_factory):
    """Finished runs by direction, made once; tests work on copies."""
    folder, runs = tmp_path_factory.mktemp("runs"), {}

    def get(direction):
        if direction not in runs:
            settings = TrackSettings(direction=direction, video=False)
            prompts = [FIRST, SECOND, LATER]
            out = folder / direction
            runs[direction] = track(video, settings, prompts, out, predictor=small_predictor)
        return runs[direction]

    return get


@pytest.fixture
def run(made, tmp_path):
    def copy(direction="forward", name="run"):
        shutil.copytree(made(direction).path, tmp_path / name)
        return RunFolder(tmp_path / name)

    return copy


@pytest.fixture
def correct(small_predictor, monkeypatch):
    """Corrects a run; boxes are met from their frame alone, so that SAM2 tells what to expect."""
    monkeypatch.setattr(recomputing, "FILLS_BOX", 2)

    def make(run, *prompts, settling=TO_THE_END, **more):
        corrections = Corrections(prompts, **more)
        return refine(run.path, corrections, settling, predictor=small_predictor)

    return make


def masks(run):
    return {
        (frame.index, mask.object_id): mask.mask_hw
        for frame in run.frames()
        for mask in frame.objects
    }


def entries(run):
    """Frame and object to the text of its entry on disk."""
    found = {}
    for path in (run.path / "masklets").iterdir():
        for line in map(json.loads, path.read_text().splitlines()):
            for entry in line["objects"]:
                found[line["frame"], entry["id"]] = json.dumps(entry)
    return found


def everything(run):
    kept = [path for path in run.path.rglob("*") if path.is_file() and path.name != ".lock"]
    return {
        str(path.relative_to(run.path)): path.read_bytes()
        for path in kept
        if "snapshots" not in path.parts
    }


def tracked(predictor, video, prompts, start, count, reverse=False):
    """Masks of object 1 from these prompts, by SAM2 alone."""
    with TrackSession(video, predictor=predictor) as session:
        state = predictor.init_state(session.frames)
        for prompt in prompts:
            predictor.add_new_points_or_box(state, prompt.frame, 1, box=prompt.box_xyxy)
        steps = predictor.track(state, start, count - 1, reverse)
        return {position: objects[0].mask_hw for position, objects in steps}


def test_a_box_counts_to_the_next_prompt_and_back_to_the_one_before(
    run, correct, video, small_predictor
):
    target = run()
    before = entries(target)
    box = Prompt(6, 1, box_xyxy=NEW)
    done = correct(target, box)
    prompts = [FIRST, LATER, box]
    expected = tracked(small_predictor, video, prompts, 6, 6)
    expected |= tracked(small_predictor, video, prompts, 6, 6, reverse=True)
    after, now = entries(target), masks(target)
    assert set(done.revision.changed) == {1}
    changed = set(done.revision.changed[1])
    assert 6 in changed and changed <= set(range(1, 12))
    for key, text in before.items():
        assert (after[key] == text) == (key[1] != 1 or key[0] not in changed)
    for frame in range(1, 12):
        assert (now[frame, 1] == expected[frame]).all()
    assert done.revision.frames_tracked == 12
    assert [p.to_json() for p in target.prompts] == [
        p.to_json() for p in (FIRST, SECOND, LATER, box)
    ]


def test_it_ends_where_the_masks_are_what_they_were(run, correct):
    target = run()
    same = Settling(frames=2, iou=1e-9, confidence=1e-9)
    done = correct(target, Prompt(4, 1, box_xyxy=NEW), settling=same)
    assert set(done.revision.changed[1]) <= {4, 5, 6}
    assert done.revision.frames_tracked == 5  # 4, and two that agree; 4, and one that is trusted


def test_unchanged_chunks_lines_and_pictures_keep_their_bytes(run, correct):
    target = run()
    before = everything(target)
    stamps = {p.name: p.stat().st_mtime_ns for p in (target.path / "masks").iterdir()}
    done = correct(target, Prompt(14, 1, box_xyxy=NEW))
    changed = set(done.revision.changed[1])
    lines = [everything(target)["masklets/000000.jsonl"], before["masklets/000000.jsonl"]]
    for frame, (new, old) in enumerate(zip(*(text.splitlines() for text in lines), strict=True)):
        assert (new == old) == (frame not in changed)
    for frame in target.frames():
        name = f"{frame.index:05d}.png"
        stored = read_index_mask(target.path / "masks" / name)
        pairs = [(mask.object_id, mask.mask_hw) for mask in frame.objects]
        assert (stored == to_index_mask(pairs, 48, 64)).all()
        made_again = (target.path / "masks" / name).stat().st_mtime_ns != stamps[name]
        assert made_again == (frame.index in changed)


def test_undoing_brings_every_byte_back(run, correct):
    target = run()
    before = everything(target)
    correct(target, Prompt(6, 1, box_xyxy=NEW))
    between = everything(target)
    second = correct(target, labels={2: "ball"}, dropped=(1,))
    assert second.revision.number == 2
    assert {object_id for _, object_id in masks(target)} == {2}
    assert RunFolder(target.path).info.labels == {2: "ball"}
    assert undo(target.path).revision.number == 2
    assert everything(target) == between
    undo(target.path)
    assert everything(target) == before
    with pytest.raises(RunError, match="no revision to undo"):
        undo(target.path)
    assert everything(target) == before


@pytest.fixture
def session(video, small_predictor):
    with TrackSession(video, predictor=small_predictor) as opened:
        yield opened


def spilling(predicted_iou):
    """A mask that fills the box of `NEW` and spills over it."""
    mask_hw = np.zeros((48, 64), bool)
    mask_hw[12:46, 32:64] = True
    return ObjectMask(1, mask_hw, 6.0, predicted_iou)


def test_a_box_keeps_what_it_shows_of_the_old_mask_if_that_is_held_to_be_better(
    session, tmp_path, video, small_predictor
):
    box, first = Prompt(6, 1, box_xyxy=NEW), {0: FIRST}
    alone = tracked(small_predictor, video, [box], 6, 1)[6]
    for name, stored, expected in (
        ("worse", spilling(0.0), alone),
        ("elsewhere", ObjectMask(1, np.roll(spilling(0).mask_hw, 30, axis=1), 6.0, 1.0), alone),
        ("better", spilling(1.0), None),
    ):
        (tmp_path / name).mkdir()
        snapshots = Snapshots(tmp_path / name)
        work = Recomputing(session, snapshots, 1, first, {**first, 6: box}, {6: stored})
        mask_hw = work.first(6).mask_hw
        if expected is None:
            inside_hw = stored.mask_hw.copy()
            inside_hw[:, NEW[2] :] = False
            assert iou(mask_hw, inside_hw) > 0.85  # SAM2 sees it at 64 px
            assert iou(mask_hw, inside_hw) > iou(mask_hw, stored.mask_hw)
        else:
            assert (mask_hw == expected).all()


@pytest.mark.parametrize(
    ("doubted", "settle", "made"),
    [
        ((), 99, range(6, 10)),  # half of the way to the prompt before
        ((range(3, 14),), 99, range(3, 10)),
        ((range(0, 14),), 99, range(1, 10)),
        ((range(2, 5),), 99, range(6, 10)),
        ((range(3, 14),), 0, range(1, 10)),
    ],
)
def test_backward_goes_as_far_as_masks_are_doubted(session, tmp_path, doubted, settle, made):
    prompts = {0: FIRST, 10: Prompt(10, 1, box_xyxy=NEW)}
    work = Recomputing(session, Snapshots(tmp_path), 1, {0: FIRST}, prompts, {}, doubted)
    walk = Walk(10, 0, 10, back=True, own=False)
    assert [at for at, _ in work.walk(walk, Settling(settle))] == list(reversed(made))
    assert work.tracked == len(made) + 1


def test_the_review_says_which_masks_are_doubted(run, correct):
    target = run()
    review = {"prompts": digest(target.prompts)} | {"episodes": [_episode(2, 9)]}
    (target.path / "review.json").write_text(json.dumps(review))
    correct(target, Prompt(8, 1, box_xyxy=NEW), settling=Settling(99))
    assert {1, 2} & set(RunFolder(target.path).revisions[0].changed[1]) <= {2}
    reviewed = Episode(**{**_episode(2, 9), "reasons": ("size",)})
    assert reviewed not in newest_episodes(target)  # it was about other masks
    undo(target.path)
    assert newest_episodes(target) == (reviewed,)


def _episode(first, last):
    places = {"first": first, "last": last, "look_at": first}
    doubts = {"state": "doubtful", "doubt": 0.7, "weight": 4.0, "reasons": ["size"]}
    return {"object_id": 1, **places, **doubts}


def inside(target: RunFolder, frame: int) -> tuple[float, float]:
    """The point deepest in object 1's mask: the old mask is no worse than none there."""
    depth_hw = cv2.distanceTransform(masks(target)[frame, 1].astype(np.uint8), cv2.DIST_L2, 5)
    row, column = np.unravel_index(int(depth_hw.argmax()), depth_hw.shape)
    return float(column), float(row)


def test_points_see_the_mask_that_was_there(run, correct, video, small_predictor):
    """Brought to the frame from the nearest snapshot or prompt, as SAM2 corrects."""
    target = run()
    points = Prompt(9, 1, np.array([inside(target, 9), (62, 2)]), np.array([1, 0]))
    done = correct(target, points)
    with TrackSession(video, predictor=small_predictor) as session:
        state = small_predictor.init_state(session.frames)
        for prompt in (FIRST, LATER):
            small_predictor.add_new_points_or_box(state, prompt.frame, 1, box=prompt.box_xyxy)
        for _ in small_predictor.track(state, 0, 9):
            pass
        small_predictor.add_new_points_or_box(state, 9, 1, points.points_n2, [1, 0])
        _, (expected,) = next(small_predictor.track(state, 9, 0))
    assert (masks(target)[9, 1] == expected.mask_hw).all()
    assert done.revision.frames_tracked == 3 + 9 + 7  # forward, backward, and 3 to 9 on the way


def test_points_on_several_frames_all_see_the_mask_that_was_there(
    run, correct, video, small_predictor
):
    target = run()
    points = [Prompt(at, 1, np.array([inside(target, at)]), np.array([1])) for at in (5, 9)]
    correct(target, *points)
    with TrackSession(video, predictor=small_predictor) as session:
        state = small_predictor.init_state(session.frames)
        for prompt in points:
            apply_prompt(small_predictor, state, prompt.frame, prompt)
        small_predictor.propagate_in_video_preflight(state)
    for prompt in points:
        alone = snapshot.prompted(state)[1, prompt.frame]
        left = Snapshots(target.path).prompted(1, prompt.frame, prompt)
        assert left.keys() == alone.keys()
        key = f"1/prompt/{prompt.frame}/pred_masks"
        assert not np.array_equal(left[key].numpy(), alone[key].numpy())


@pytest.mark.parametrize(
    ("inside", "inside_alone", "seen"),
    [
        ([True, True, True], [True, False, False], True),  # it is the object, if not as was said
        ([False, False, False], [True, False, False], False),  # it is something else
        ([False, False, False], [False, True, True], True),  # and so is what they find alone
    ],
)
def test_points_stand_alone_where_the_mask_that_was_there_is_of_something_else(
    run, correct, small_predictor, video, monkeypatch, inside, inside_alone, seen
):
    target = run()
    marked = iter([np.array(inside), np.array(inside_alone)])
    monkeypatch.setattr(snapshot, "marked", lambda *_: next(marked))
    points = Prompt(9, 1, np.array([[30, 20], [62, 2], [2, 2]]), np.array([1, 0, 0]))
    correct(target, points)
    with TrackSession(video, predictor=small_predictor) as session:
        state = small_predictor.init_state(session.frames)
        apply_prompt(small_predictor, state, 9, points)
        small_predictor.propagate_in_video_preflight(state)
    alone = snapshot.prompted(state)[1, 9]["1/prompt/9/pred_masks"]
    left = Snapshots(target.path).prompted(1, 9, points)["1/prompt/9/pred_masks"]
    assert np.array_equal(left.numpy(), alone.numpy()) != seen


def test_without_a_prompt_its_stretch_is_made_again(run, correct, video, small_predictor):
    target = run()
    correct(target, removed=((1, 12),))
    expected = tracked(small_predictor, video, [FIRST], 0, FRAMES)
    now = masks(target)
    assert all((now[frame, 1] == mask_hw).all() for frame, mask_hw in expected.items())


def test_a_new_object_may_begin_anywhere(run, correct):
    target = run("both")
    before = entries(target)
    done = correct(target, Prompt(5, 7, box_xyxy=NEW), labels={7: "ball"})
    assert done.revision.changed == {7: tuple(range(FRAMES))}
    after = entries(target)
    assert all(after[key] == text for key, text in before.items())
    assert RunFolder(target.path).info.labels == {1: "cup", 2: None, 7: "ball"}


def test_a_run_backward_is_corrected_the_other_way_round(run, correct, video, small_predictor):
    target = run("backward")
    correct(target, Prompt(6, 1, box_xyxy=NEW))
    prompts = [FIRST, LATER, Prompt(6, 1, box_xyxy=NEW)]
    expected = tracked(small_predictor, video, prompts, 6, 6, reverse=True)
    expected |= tracked(small_predictor, video, prompts, 6, 6)
    now = masks(target)
    assert all((now[frame, 1] == mask_hw).all() for frame, mask_hw in expected.items() if frame)


def test_a_name_needs_no_model(run):
    target = run()
    before = entries(target)
    done = refine(target.path, Corrections(labels={1: "mug"}))
    assert (done.revision.frames_tracked, done.revision.changed) == (0, {})
    assert entries(target) == before
    assert RunFolder(target.path).info.labels == {1: "mug", 2: None}
    assert "mug" in (target.path / "scores.csv").read_text()


def test_a_file_of_prompts_takes_the_place_of_all(run, correct):
    target = run()
    before = entries(target)
    done = correct(target, replacement=(FIRST, LATER))
    assert done.revision.changed == {2: tuple(range(2, FRAMES))}
    after = entries(target)
    assert after == {key: text for key, text in before.items() if key[1] == 1}


def test_snapshots_forget_what_has_changed(run, correct):
    target = run()
    at = {s.position: s for s in Snapshots(target.path).newest_first()}
    assert at[2].object_ids == at[12].object_ids == (1, 2)
    correct(target, Prompt(10, 1, box_xyxy=NEW))
    changed = set(RunFolder(target.path).revisions[0].changed[1])
    for found in Snapshots(target.path).newest_first():
        if found.position is not None:
            assert (1 in found.object_ids) == (found.position not in changed)
            assert {key.split("/")[0] for key in found.tensors} == {
                str(i) for i in found.object_ids if found.position > (2 if i == 2 else 0)
            }


def test_a_preview_draws_the_frame_and_changes_nothing(run, correct, small_predictor, tmp_path):
    target = run()
    before = everything(target)
    corrections = Corrections((Prompt(6, 1, box_xyxy=NEW),))
    shown = preview(target.path, corrections, tmp_path / "look.png", predictor=small_predictor)
    assert [mask.object_id for mask in shown] == [1, 2]
    assert Image.open(tmp_path / "look.png").size == (64, 48)
    assert everything(target) == before
    correct(target, *corrections.prompts)
    assert (masks(target)[6, 1] == shown[0].mask_hw).all()
    two = Corrections((Prompt(6, 1, box_xyxy=NEW), Prompt(7, 1, box_xyxy=NEW)))
    for wrong in (two, Corrections(dropped=(1,))):
        with pytest.raises(PromptError, match="a preview shows one frame"):
            preview(target.path, wrong, tmp_path / "no.png", predictor=small_predictor)


def test_outputs_cut_short_are_made_by_resuming(run, correct, small_predictor, monkeypatch):
    target, other = run(), run(name="other")
    correct(other, Prompt(6, 1, box_xyxy=NEW))

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("tracker.session.refine.refining.export_run", killed)
        with pytest.raises(KeyboardInterrupt):
            correct(target, Prompt(6, 1, box_xyxy=NEW))
    assert RunFolder(target.path).info.status == "interrupted"
    with pytest.raises(RunError, match="is not complete; first: track resume"):
        correct(target, Prompt(3, 1, box_xyxy=NEW))
    resume(target.path, predictor=small_predictor)
    assert (target.path / "scores.csv").read_text() == (other.path / "scores.csv").read_text()


def test_what_is_refused_changes_nothing(run, correct):
    target = run()
    before = everything(target)
    for wrong, error, message in (
        ({"prompts": (Prompt(16, 1, box_xyxy=NEW),)}, PromptError, "the last frame of .* is 15"),
        ({"prompts": (FIRST,)}, RunError, "that changes nothing"),
        ({"removed": ((2, 2),)}, PromptError, "--drop-object 2"),
    ):
        with pytest.raises(error, match=message):
            correct(target, *wrong.pop("prompts", ()), **wrong)
    with RunWriter.reopen(target.path), pytest.raises(RunError, match="in use by process"):
        correct(target, LATER)
    assert everything(target) == before
    with pytest.raises(SettingsError, match="--settle -1"):
        Settling(frames=-1)
