"""What was found, looked at from nearer."""

from __future__ import annotations

import numpy as np
import pytest

from tests.memory.painted import ColourPrompter
from tracker.masks import iou
from tracker.memory.candidates import Candidate, Measures
from tracker.memory.closer_look import look_closer
from tracker.memory.proposals import Proposal
from tracker.models.sam2 import MaskCandidate
from tracker.views import holds, shows

KINDS = ("points", "box", "both")
NO_POINTS = np.zeros((0, 2), np.float32), np.zeros(0, np.int32)


def spilt(mask_hw):
    spilt_hw = mask_hw.copy()
    spilt_hw[:, :-20] |= mask_hw[:, 20:]
    return spilt_hw


@pytest.fixture
def found():
    """Makes what was found on the whole image."""

    def make(mask_hw, predicted_iou=0.9):
        proposal = Proposal("box", *NO_POINTS, (20, 20, 60, 60))
        return Candidate("r", proposal, mask_hw, predicted_iou, Measures(0.5, 0.5, 0.5, 0.5))

    return make


def test_a_mask_that_spilt_over_is_mended(disc, found, extractor):
    image_hwc, truth_hw = disc(70, 90, radius=24)
    spilt_hw = spilt(truth_hw)
    before = found(spilt_hw)
    nearer = look_closer(
        image_hwc, before, disc(150, 60, seed=4), [], extractor, ColourPrompter(), KINDS
    )
    assert nearer is not None
    assert iou(nearer.mask_hw, truth_hw) > 0.95 > 0.8 > iou(spilt_hw, truth_hw)
    assert (nearer.reference_id, nearer.mask_hw.shape) == ("r", truth_hw.shape)
    proposal = nearer.proposal
    assert shows(proposal.view_xyxy, proposal.points_n2).all()
    assert proposal.box_xyxy is None or holds(proposal.view_xyxy, proposal.box_xyxy)
    assert nearer.to_json()["view"] == proposal.view_xyxy


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_may_be_tried_is(kind, disc, found, extractor):
    image_hwc, truth_hw = disc(70, 90, radius=24)
    args = image_hwc, found(spilt(truth_hw)), disc(150, 60, seed=4), [], extractor, ColourPrompter()
    nearer = look_closer(*args, (kind,))
    assert nearer is not None
    assert nearer.proposal.kind == kind


def test_what_agrees_as_well_stays(disc, found, extractor):
    image_hwc, truth_hw = disc(70, 90, radius=24)
    args = image_hwc, found(truth_hw), disc(150, 60, seed=4), [], extractor, ColourPrompter()
    assert look_closer(*args, KINDS) is None


def test_only_the_first_answer_counts_as_when_it_is_tracked(disc, found, extractor):
    class Unsure(ColourPrompter):
        def predict(self, *args, **options):
            (seen,) = super().predict(*args, **options)
            return [MaskCandidate(np.zeros_like(seen.mask_hw), 0.95), seen]

    image_hwc, truth_hw = disc(70, 90, radius=24)
    spilt_hw = spilt(truth_hw)
    args = image_hwc, found(spilt_hw), disc(150, 60, seed=4), [], extractor, Unsure()
    assert look_closer(*args, KINDS) is None


def test_another_thing_is_not_taken_for_it(disc, found, extractor):
    """From nearer, what was found on the whole image is refined, not replaced."""
    image_hwc, truth_hw = disc(70, 90, radius=24)
    wide_hw = np.zeros_like(truth_hw)
    wide_hw[30:150, 20:200] = True  # the disc is less than a tenth of it
    args = image_hwc, found(wide_hw, 0.1), disc(150, 60, seed=4), [], extractor, ColourPrompter()
    assert look_closer(*args, KINDS) is None
