"""The rules on scripted histories: which state follows, which episodes, in which order."""

from __future__ import annotations

import numpy as np
import pytest

from tracker.session.drift import (
    REASONS,
    Judge,
    Observation,
    Ramp,
    Rules,
    Verdict,
    find_episodes,
    frames_to_look_at,
    observe,
    size_sign,
    thresholds,
    tracking_order,
    worst_first,
)
from tracker.types import ObjectMask

RULES = Rules(
    presence=Ramp(4.0, 0.0, 0.6),
    predicted_iou=Ramp(0.8, 0.4, 0.6),
    size=Ramp(-0.1, -0.8, 0.5),
    likeness=Ramp(0.9, 0.5, 0.9),
    cut=0.5,
    absent=0.4,
    doubtful=0.5,
    trusted=0.2,
    lost_after=3,
)


def seen(frame: int, **changes) -> Observation:
    """A mask without any sign of drift, but for the changes."""
    sound = {"object_score": 6.0, "predicted_iou": 0.9, "area_px": 400}
    return Observation(frame, **{**sound, **changes})


def judged(*changes: dict) -> list[Verdict]:
    judge = Judge(RULES)
    return [judge.judge(seen(i, **each)) for i, each in enumerate(changes)]


def test_a_ramp_runs_from_no_doubt_to_its_weight():
    ramp = Ramp(fine=0.8, bad=0.4, weight=0.6)
    assert [ramp.doubt(v) for v in (0.9, 0.8, 0.4, -1)] == [0, 0, 0.6, 0.6]
    assert ramp.doubt(0.6) == pytest.approx(0.3)


def test_a_sound_mask_is_visible_and_trusted():
    (verdict,) = judged({})
    assert verdict == Verdict(0, "visible", 0.0, trusted=True)


def test_two_mild_signs_make_a_doubt_that_one_does_not():
    (one,) = judged({"object_score": 1.0})
    (two,) = judged({"object_score": 1.0, "predicted_iou": 0.5})
    assert (one.state, two.state) == ("visible", "doubtful")
    assert two.doubt == pytest.approx(1 - (1 - 0.45) * (1 - 0.45))
    assert set(two.reasons) == {"presence", "predicted_iou"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"object_score": -1.0}, "presence"),
        ({"predicted_iou": 0.2}, "predicted_iou"),
        ({"appearance": 0.6}, "likeness"),
        ({"area_px": 100}, "size"),
        ({"cut": True}, "cut"),
    ],
)
def test_each_sign_alone_can_make_a_mask_doubtful(changes, reason):
    verdict = judged({}, changes)[-1]
    assert (verdict.state, verdict.reasons) == ("doubtful", (reason,))
    assert not verdict.trusted


def test_an_empty_mask_is_occluded_and_lost_when_it_stays_so():
    states = [v.state for v in judged({}, *[{"area_px": 0}] * 4, {}, {"area_px": 0})]
    assert states == ["visible", "occluded", "occluded", "lost", "lost", "visible", "occluded"]


def test_an_appearance_holds_until_it_is_measured_again():
    states = [v.state for v in judged({"appearance": 0.95}, {"appearance": 0.5}, {}, {}, {})]
    assert states == ["visible", *["doubtful"] * 4]
    back = judged({"appearance": 0.5}, {"appearance": 0.95}, {})
    assert [v.state for v in back] == ["doubtful", "visible", "visible"]
    assert back[-1].appearance == 0.95


def test_what_goes_or_comes_back_is_not_judged_by_its_old_appearance():
    away, back = judged({"appearance": 0.5}, {"area_px": 0}, {})[1:]
    assert away.doubt == RULES.absent
    assert (back.state, back.appearance) == ("visible", None)


def test_an_empty_mask_is_doubted_while_something_looks_like_the_object():
    gone = {"area_px": 0, "appearance": 1.0}
    missed = {"area_px": 0, "appearance": 0.2}
    _, sound, wrong, later = judged({}, gone, missed, {"area_px": 0})
    assert (sound.doubt, sound.reasons) == (RULES.absent, ("absent",))
    assert wrong.doubt == pytest.approx(1 - (1 - RULES.absent) * (1 - RULES.likeness.weight))
    assert (wrong.state, wrong.reasons) == ("occluded", ("absent", "likeness"))
    assert (later.state, later.doubt, later.appearance) == ("lost", wrong.doubt, 0.2)


def test_a_prompted_mask_is_beyond_doubt_and_the_measure_of_later_ones():
    poor = {"object_score": -1.0, "area_px": 90}
    verdicts = judged({}, {**poor, "prompted": True}, {"area_px": 95})
    assert [v.state for v in verdicts] == ["visible"] * 3
    assert verdicts[1].trusted


def test_an_object_found_again_is_judged_without_its_past():
    verdicts = judged({"appearance": 0.4}, {"redetected": True, "area_px": 90}, {"area_px": 92})
    assert [v.state for v in verdicts] == ["doubtful", "visible", "visible"]
    poor = judged({}, {"redetected": True, "object_score": -1.0})
    assert poor[-1].state == "doubtful"


def test_only_trusted_areas_are_a_measure():
    """A mask that has leaked stays doubtful, though it no longer changes."""
    states = [v.state for v in judged({}, *[{"area_px": 1600}] * 15)]
    assert states == ["visible", *["doubtful"] * 15]


def test_slow_growth_is_no_jump():
    grown = [{"area_px": int(400 * 1.02**i)} for i in range(60)]
    assert {v.state for v in judged(*grown)} == {"visible"}


def test_the_weightiest_reason_comes_first_and_faint_ones_are_left_out():
    verdict = judged({}, {"appearance": 0.5, "predicted_iou": 0.6, "object_score": 3.9})[-1]
    assert verdict.reasons == ("likeness", "predicted_iou")
    assert set(verdict.reasons) <= REASONS.keys()


def test_size_counts_both_ways():
    assert size_sign(200, [100]) == size_sign(50, [100]) == pytest.approx(-np.log(2))
    assert size_sign(100, [1, 100, 9999]) == 0


def test_observe_measures_a_mask():
    mask_hw = np.zeros((10, 12), bool)
    mask_hw[2:6, 3:8] = True
    found = observe(ObjectMask(1, mask_hw, 5.0, 0.7, appearance=0.8), 9, prompted=True)
    assert found == Observation(9, 5.0, 0.7, 20, (3, 2, 8, 6), (5.5, 4.0), 0.8, True)


def test_a_history_is_read_from_the_prompt_both_ways():
    history = [seen(i, prompted=i == 2) for i in range(5)]
    assert [list(part) for part in tracking_order(history)] == [[2, 3, 4], [2, 1, 0]]
    from_start = [seen(i, prompted=i == 0) for i in range(3)]
    assert [list(part) for part in tracking_order(from_start)] == [[0, 1, 2], []]
    assert [list(part) for part in tracking_order([seen(0), seen(1)])] == [[0, 1], []]


def test_episodes_bridge_short_recoveries():
    script = "vvddvvdvvvvllo"
    names = {"v": "visible", "d": "doubtful", "l": "lost", "o": "occluded"}
    doubts = {"v": 0.1, "d": 0.7, "l": 0.4, "o": 0.4}
    verdicts = [
        Verdict(10 * i, names[c], doubts[c], () if c == "v" else ("size",))
        for i, c in enumerate(script)
    ]
    first, second = find_episodes(4, verdicts, bridge=3)
    assert (first.object_id, first.first, first.last, first.state) == (4, 20, 60, "doubtful")
    assert first.look_at == 20
    assert first.weight == pytest.approx(3 * 0.7)
    assert (second.first, second.last, second.state) == (110, 130, "lost")
    assert second.reasons == ("size",)
    assert find_episodes(4, verdicts[:2]) == []


def test_the_frame_to_look_at_is_the_most_doubtful():
    verdicts = [Verdict(i, "doubtful", d) for i, d in enumerate((0.6, 0.9, 0.95, 0.7))]
    (episode,) = find_episodes(1, verdicts)
    assert (episode.look_at, episode.doubt) == (2, 0.95)


def test_the_weightiest_episode_comes_first():
    long = find_episodes(1, [Verdict(i, "doubtful", 0.6) for i in range(20)])
    short = find_episodes(2, [Verdict(i, "doubtful", 0.95) for i in range(3)])
    assert [e.object_id for e in worst_first([*short, *long])] == [1, 2]


def test_frames_are_looked_at_by_episode_and_then_by_doubt():
    verdicts = {
        1: [Verdict(i, "doubtful", 0.6 + 0.01 * (i == 7)) for i in range(20)],
        2: [Verdict(i, "doubtful" if i < 3 else "visible", 0.9 if i < 3 else 0) for i in range(20)],
    }
    episodes = worst_first(e for i, each in verdicts.items() for e in find_episodes(i, each))
    looked = frames_to_look_at(episodes, verdicts, apart=5)
    assert looked[:2] == [(1, 7), (2, 0)]
    assert looked[2:] == [(1, 0), (1, 12), (1, 17)]


def test_frames_that_are_visible_come_last_and_those_beyond_doubt_not_at_all():
    faint = [Verdict(i, "visible", doubt) for i, doubt in enumerate((0, 0.1, 0.3, 0.2, 0, 0, 0))]
    assert frames_to_look_at([], {1: faint}, apart=2) == [(1, 2)]
    doubtful = [Verdict(i, "doubtful", 0.6) for i in range(3)]
    episodes = find_episodes(2, doubtful)
    assert frames_to_look_at(episodes, {1: faint, 2: doubtful}) == [(2, 0), (1, 2)]


@pytest.mark.parametrize("names", [("demo", "demo"), ("sam2.1_hiera_small", "dinov2_base")])
def test_thresholds_are_there_for_every_model_and_make_sense(names):
    limits = thresholds(*names)
    rules = limits.rules
    for ramp in (rules.presence, rules.predicted_iou, rules.size, rules.likeness):
        assert ramp.bad < ramp.fine
        assert 0 <= ramp.weight <= 1
    assert 0 <= rules.trusted <= rules.doubtful < 1
    assert -1 < limits.cut_below < 1
    assert 0 < limits.redetect < 1
