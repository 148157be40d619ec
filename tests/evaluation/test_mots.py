"""Tracking measures on sequences that can be counted by hand.

A sequence is a list of frames; a frame is a truth and a prediction, one row of ten pixels each.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from tracker.evaluation.mots import tracking_scores
from tracker.evaluation.overlaps import frame_overlap


def measures(*frames: tuple[str, str], times: int = 1) -> dict[str, float]:
    """The measures of `(truth, prediction)` rows; digits are ids, `.` is background."""

    def index(row: str) -> np.ndarray:
        return np.array([[0 if c == "." else int(c) for c in row]], np.uint8)

    overlaps = [frame_overlap(index(prediction), index(truth)) for truth, prediction in frames]
    scores = tracking_scores(overlaps)
    for _ in range(times - 1):
        scores += tracking_scores(overlaps)
    return scores.to_json()


def test_a_perfect_track_scores_one():
    found = measures(*[("111..22...", "888..99...")] * 3)
    assert {found[name] for name in ("sMOTSA", "MOTSA", "MOTSP", "IDF1", "HOTA")} == {1.0}
    assert (found["TP"], found["FP"], found["FN"], found["IDS"]) == (6, 0, 0, 0)


def test_a_new_identity_halfway():
    found = measures(*[("1111......", "5555......")] * 2, *[("1111......", "6666......")] * 2)
    # 4 matches, one switch; half of the masks can have the right identity.
    assert found["MOTSA"] == found["sMOTSA"] == 3 / 4
    assert found["IDF1"] == 2 * 2 / (2 * 2 + 2 + 2)
    # Each of the two pairs shares 2 of 4 + 2 - 2 frames.
    assert found["AssA"] == pytest.approx(1 / 2)
    assert found["HOTA"] == pytest.approx(sqrt(1 / 2))


def test_two_objects_that_swap_identities():
    found = measures(*[("111...222.", "555...666.")] * 2, *[("111...222.", "666...555.")] * 2)
    assert (found["IDS"], found["MOTSA"]) == (2, (8 - 2) / 8)
    assert found["IDF1"] == 2 * 4 / (2 * 4 + 4 + 4)
    # Each of the four pairs shares 2 of 4 + 4 - 2 frames.
    assert found["HOTA"] == pytest.approx(sqrt(1 / 3))


def test_a_switch_counts_against_the_last_match_however_long_ago():
    gap = [("111.......", "..........")] * 3
    found = measures(("111.......", "555......."), *gap, ("111.......", "666......."))
    assert (found["IDS"], found["FN"]) == (1, 3)
    assert found["MOTSA"] == (2 - 0 - 1) / 5
    same = measures(("111.......", "555......."), *gap, ("111.......", "555......."))
    assert same["IDS"] == 0


def test_false_and_missed_masks():
    found = measures(("111..222..", "111......7"))
    assert (found["TP"], found["FP"], found["FN"]) == (1, 1, 1)
    assert found["MOTSA"] == (1 - 1) / 2
    assert found["IDF1"] == 2 / (2 + 1 + 1)
    assert found["DetA"] == pytest.approx(1 / 3)
    assert found["AssA"] == pytest.approx(1.0)


def test_overlap_weighs_in_smotsa_and_bounds_hota():
    found = measures(*[("11111.....", "111.......")] * 2)  # an IoU of 0.6
    assert found["MOTSA"] == 1.0
    assert found["sMOTSA"] == found["MOTSP"] == pytest.approx(0.6)
    assert found["HOTA"] == pytest.approx(12 / 19)  # the demands 0.05 to 0.6 are met


def test_half_an_overlap_is_no_match_for_motsa():
    found = measures(("1111......", "55........"))
    assert (found["TP"], found["FP"], found["FN"]) == (0, 1, 1)
    assert found["MOTSA"] == -1.0


def test_hota_matches_tracks_that_go_together_over_the_sequence():
    exact = [("1111111111", "5555555555")] * 2
    found = measures(*exact, ("1111111111", "5555666666"))
    # On the last frame 6 overlaps more (0.6 against 0.4), but 5 is the track that belongs. Up to
    # 0.4, 8 demands: 3 matches and 1 mask too many, 5 and 1 agree on all frames. Above, 11 demands:
    # 2 matches, 3 masks without one, and 5 and 1 agree on 2 of 3 + 3 - 2 frames.
    expected = (8 * sqrt(3 / 4 * 1) + 11 * sqrt(2 / 5 * 1 / 2)) / 19
    assert found["HOTA"] == pytest.approx(expected)
    # MOTSA asks for more than half: 5, 5, 6, one switch, and 5 on the last frame is false.
    assert (found["TP"], found["FP"], found["IDS"]) == (3, 1, 1)


def test_nothing_predicted_and_nothing_to_find():
    missed = measures(("111.......", ".........."))
    assert (missed["MOTSA"], missed["IDF1"], missed["HOTA"]) == (0.0, 0.0, 0.0)
    made_up = measures(("..........", "111......."))
    assert (made_up["MOTSA"], made_up["HOTA"], made_up["FP"]) == (-1.0, 0.0, 1)


def test_sequences_add_up_as_one():
    frames = [("111..222..", "111......7"), ("111..222..", "111.......")]
    one, three = measures(*frames), measures(*frames, times=3)
    assert three["FN"] == 3 * one["FN"]
    for name in ("sMOTSA", "IDF1", "HOTA", "AssA"):
        assert three[name] == pytest.approx(one[name])
