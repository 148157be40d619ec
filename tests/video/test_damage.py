from __future__ import annotations

from fractions import Fraction

from tracker.video.damage import LostFrames, early_end


def test_without_damage_nothing_is_lost():
    """A packet that never makes a frame is no loss by itself: some codecs have such packets."""
    lost = LostFrames(only_after_damage=True)
    for pts in (0, 10, 20):
        lost.packet_sent(pts)
    assert lost.frame_came_out(0) == []
    assert lost.frame_came_out(20) == []
    assert lost.at_end() == []


def test_frames_that_are_overtaken_after_damage_are_lost():
    lost = LostFrames(only_after_damage=True)
    lost.packet_damaged(0)
    for pts in (20, 10, 30, 40):
        lost.packet_sent(pts)
    assert lost.frame_came_out(30) == [10, 20]
    assert lost.frame_came_out(40) == []


def test_frames_shown_before_the_damage_do_not_end_the_watch():
    """With B-frames, earlier pictures come out after the damaged packet went in."""
    lost = LostFrames(only_after_damage=True)
    lost.packet_sent(10)
    lost.packet_damaged(40)
    assert lost.frame_came_out(10) == []
    lost.packet_sent(50)
    lost.packet_sent(60)
    assert lost.frame_came_out(60) == [50]


def test_frames_that_never_come_are_lost_at_the_end():
    lost = LostFrames(only_after_damage=True)
    lost.packet_damaged(0)
    lost.packet_sent(10)
    lost.packet_sent(20)
    assert lost.at_end() == [10, 20]


def test_where_every_packet_is_a_frame_no_damage_need_be_known():
    lost = LostFrames(only_after_damage=False)
    for pts in (0, 20, 10, 30):
        lost.packet_sent(pts)
    assert lost.frame_came_out(0) == []
    assert lost.frame_came_out(20) == [10]
    assert lost.at_end() == [30]


def test_an_early_end_is_told_from_rounding():
    rate = Fraction(25)
    assert early_end(Fraction(10), None, rate) is None
    assert early_end(Fraction(10), Fraction(10), rate) is None
    assert early_end(Fraction(10), Fraction(10) + Fraction(1, 25), rate) is None
    assert early_end(Fraction(10), Fraction(12), rate) == (
        "the file ends early: its frames stop at 10.000 s of 12.000 s"
    )
