"""The search for the first frame where something is, against a video that is known."""

from __future__ import annotations

from itertools import islice

import pytest

from tracker.session.search import find_first, sample_positions


class Found:
    """Stands for a Decision, of which the search reads these three."""

    def __init__(self, label: str, accepted: bool, score: float) -> None:
        self.label, self.accepted, self.score = label, accepted, score


def video(length: int, **appearances: int):
    """An `ask` for a video on which each label is seen from a position on; notes what is asked."""
    asked = []

    def ask(position, labels):
        if position >= length:
            return None
        asked.append(position)
        return [
            Found(label, position >= first, position if position >= first else -first)
            for label, first in appearances.items()
            if labels is None or label in labels
        ]

    return ask, asked


@pytest.mark.parametrize("first", [0, 1, 5, 31, 32, 99])
def test_the_first_frame_is_found_exactly(first):
    ask, asked = video(100, cup=first)
    answer = find_first(ask, sample_positions(100, 8, 25))
    assert [found.score for found in answer.accepted] == [first]
    assert not answer.refused
    assert answer.frames_asked == len(asked) <= 8 + 5


def test_without_labels_the_search_ends_on_the_first_sample_with_anything():
    ask, _ = video(100, cup=20, ball=40, hat=90)
    answer = find_first(ask, sample_positions(100, 4, 25))  # 0, 33, 66, 99
    assert [found.label for found in answer.accepted] == ["cup"]
    assert set(answer.refused) == {"ball", "hat"}


def test_with_labels_it_goes_on_until_each_is_found():
    ask, asked = video(100, cup=20, ball=40, hat=90)
    answer = find_first(ask, sample_positions(100, 4, 25), ["cup", "ball"])
    assert [(found.label, found.score) for found in answer.accepted] == [("cup", 20), ("ball", 40)]
    assert not answer.refused
    assert max(asked) == 66


def test_nothing_is_found_where_nothing_is():
    ask, asked = video(10, cup=50)
    answer = find_first(ask, sample_positions(10, 4, 25))
    assert not answer.accepted
    assert answer.refused["cup"].score == -50
    assert asked == [0, 3, 6, 9]


def test_a_video_that_ends_before_its_claim_ends_the_search():
    ask, asked = video(10, cup=50)
    assert find_first(ask, sample_positions(100, 4, 25)).frames_asked == 1
    assert asked == [0]


@pytest.mark.parametrize(
    ("length", "samples", "expected"),
    [(1, 8, [0]), (3, 8, [0, 1, 2]), (100, 3, [0, 50, 99]), (100, 1, [0])],
)
def test_samples_run_from_the_first_to_the_last_frame(length, samples, expected):
    assert list(sample_positions(length, samples, 25)) == expected


def test_an_unknown_length_is_sampled_without_end():
    assert list(islice(sample_positions(None, 8, 25), 4)) == [0, 25, 50, 75]
