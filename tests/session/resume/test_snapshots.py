"""Snapshots on disk: how many are kept, which is found, and what a correction takes out of them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.full_disk import files_limited_to
from tracker.errors import RunError
from tracker.models import snapshot
from tracker.session.prompts_file import digest, marks
from tracker.session.resume.snapshots import EVERY, MOST, Snapshots
from tracker.types import Prompt

PROMPTS = {i: {0: Prompt(0, i, box_xyxy=(2.0 * i, 2, 30, 40), label="cup")} for i in (1, 2)}


class Grey:
    """A FrameSource of one picture, without end."""

    height, width = 48, 64

    def __len__(self):
        return 100_000

    def __getitem__(self, index):
        return np.full((48, 64, 3), 90, np.uint8)


def tracked(predictor, last):
    """A state of two objects that were tracked up to a frame."""
    made = predictor.init_state(Grey())
    for object_id, places in PROMPTS.items():
        predictor.add_new_points_or_box(made, 0, object_id, box=places[0].box_xyxy)
    for _ in predictor.track(made, 0, last):
        pass
    return made


@pytest.fixture(scope="module")
def state(small_predictor):
    return tracked(small_predictor, 1)


@pytest.fixture
def keep(tmp_path, small_predictor, state):
    """Keeps the state as if it were that of a position."""

    def at(position, snapshots=None, walk=0, name="forward", gaps=()):
        snapshots = snapshots or Snapshots(tmp_path)
        snapshots.keep(walk, name, position, small_predictor, state, PROMPTS, gaps)
        return snapshots

    return at


def places(tmp_path, walk=0):
    found = [s for s in Snapshots(tmp_path).newest_first() if s.walk == walk]
    return [s.position for s in found]


@pytest.mark.parametrize("count", [MOST, MOST + 1, 40, 100])
def test_so_many_are_kept_that_every_position_has_one_near(tmp_path, keep, count):
    for number in range(count):
        keep((number + 1) * EVERY - 1)
    kept = places(tmp_path)[::-1]
    assert len(kept) == min(count, MOST)
    assert (kept[0], kept[-1]) == (EVERY - 1, count * EVERY - 1)
    assert max(np.diff(kept)) <= max(EVERY, count * EVERY / 7)


def test_the_farthest_comes_first_in_the_order_of_the_passes(tmp_path, keep):
    snapshots = keep(63)
    keep(127)
    snapshots.begin(1, "backward", PROMPTS, [(1, 40, 20)])
    keep(192, walk=1, name="backward", gaps=[(1, 40, 20)])
    keep(128, walk=1, name="backward", gaps=[(1, 40, 20)])
    found = list(snapshots.newest_first())
    assert [(s.walk, s.position) for s in found] == [
        *((1, 128), (1, 192), (1, None), (0, 127), (0, 63)),
    ]
    assert found[0].object_ids == (1, 2)
    assert found[0].gaps == found[2].gaps == ((1, 40, 20),)
    assert found[2].tensors == {}
    assert found[0].prompts == digest(p for places in PROMPTS.values() for p in places.values())


def test_what_came_before_is_on_disk_first(tmp_path, keep):
    order = []
    snapshots = Snapshots(tmp_path, before=lambda: order.append(len(list(tmp_path.iterdir()))))
    keep(63, snapshots)
    assert order[0] == 0


def test_the_nearest_on_the_way_of_a_pass(keep):
    snapshots = keep(10)
    keep(20)
    keep(30)
    keep(25, walk=1, name="backward")
    assert snapshots.on_the_way(0, 1, 5, 25).position == 20
    assert snapshots.on_the_way(0, 1, 5, 20).position == 10
    assert snapshots.on_the_way(0, 1, 21, 25) is None
    assert snapshots.on_the_way(0, 3, 5, 25) is None
    assert snapshots.on_the_way(1, 1, 40, 10).position == 25


def test_a_corrected_object_is_forgotten_where_it_changed(keep):
    snapshots = keep(2)
    keep(3)
    snapshots.forget_object(1, {3, 4})
    newest, older = snapshots.newest_first()
    assert (newest.object_ids, older.object_ids) == ((2,), (1, 2))
    assert {key[0] for key in newest.tensors} == {"2"}
    assert newest.tensors.keys() < older.tensors.keys()


def test_what_a_prompt_left_is_known_by_what_it_marks(keep):
    snapshots = keep(10)
    prompt = PROMPTS[1][0]
    renamed = Prompt(0, 1, box_xyxy=prompt.box_xyxy, label="mug")
    assert snapshots.prompted(1, 0, renamed).keys() == snapshots.prompted(1, 0, prompt).keys()
    assert snapshots.prompted(1, 0, Prompt(0, 1, box_xyxy=(3, 2, 30, 40))) is None
    assert "label" not in marks(prompt)
    snapshots.forget_prompt(1, 0, prompt)
    assert snapshots.prompted(1, 0, prompt) is None
    keep(20, snapshots)
    assert snapshots.prompted(1, 0, prompt) is not None


def test_the_size_is_that_of_the_docs(small_predictor):
    """Per object: 6 memories in 2 bytes, 15 pointers and object scores in 4."""
    recent = snapshot.recent(small_predictor, tracked(small_predictor, 16), 16)
    tensors = snapshot.of_objects(recent, [1])
    memory, pointer = small_predictor.mem_dim * 4 * 4, small_predictor.hidden_dim
    assert sum(t.nbytes for t in tensors.values()) == 6 * memory * 2 + 15 * (pointer + 1) * 4


def test_a_full_disk_is_one_clear_line(tmp_path, keep):
    with pytest.raises(RunError, match=r"cannot write .*snapshots"), files_limited_to(300):
        keep(63)
    assert not list(tmp_path.rglob("*.tmp"))
