import json

import cv2
import numpy as np
import pytest

from tests.memory.painted import ColourPrompter
from tracker.errors import ReferenceMemoryError
from tracker.masks import iou
from tracker.memory.candidates import Candidate, Measures
from tracker.memory.prompting import find_prompts, presence
from tracker.memory.proposals import Proposal
from tracker.memory.store import ReferenceMemory
from tracker.types import Match

RED, BLUE, YELLOW = (210, 40, 40), (40, 60, 210), (230, 220, 40)


def scene(*discs, size=(240, 320), seed=1):
    """A picture of discs (colour, x, y, radius) on a noisy ground, and the mask of each."""
    rng = np.random.default_rng(seed)
    image = np.full((*size, 3), 90, np.uint8) + rng.integers(0, 12, (*size, 3), dtype=np.uint8)
    masks = []
    for colour, x, y, radius in discs:
        cv2.circle(image, (x, y), radius, colour, -1)
        mask = np.zeros(size, np.uint8)
        cv2.circle(mask, (x, y), radius, 1, -1)
        masks.append(mask.astype(bool))
    return image, masks


def add(memory, label, colour, x, y, radius=40):
    image, (mask,) = scene((colour, x, y, radius), seed=0)
    return memory.add(image, mask, label)


@pytest.fixture
def memory(tmp_path, extractor):
    return ReferenceMemory.open(tmp_path / "memory", extractor, create=True)


@pytest.fixture
def find(memory, extractor):
    def run(image, **options):
        return find_prompts(image, memory, extractor, ColourPrompter(), **options)

    return run


def test_an_object_is_found_where_it_is(memory, find):
    reference = add(memory, "red", RED, 90, 80)
    image, (mask,) = scene((RED, 230, 150, 40))
    (decision,) = find(image, frame=7)
    assert decision.accepted
    assert decision.label == "red"
    assert decision.reference_id == decision.match.reference_id == reference.id
    assert iou(decision.mask_hw, mask) > 0.9
    prompt = decision.prompt
    assert (prompt.frame, prompt.object_id, prompt.source) == (7, 1, "memory")
    assert (prompt.label, prompt.score, prompt.reference_id) == (
        "red",
        decision.score,
        reference.id,
    )


@pytest.mark.parametrize("kind", ["points", "box", "both"])
def test_the_prompt_is_of_the_wanted_kind(memory, find, kind):
    add(memory, "red", RED, 90, 80)
    image, (mask,) = scene((RED, 230, 150, 40))
    (decision,) = find(image, prompt_kind=kind)
    assert {c.proposal.kind for c in decision.candidates} == {kind}
    assert decision.prompt.kind == {"both": "box+points"}.get(kind, kind)
    assert iou(decision.mask_hw, mask) > 0.9


def test_every_label_finds_its_own_object(memory, find):
    add(memory, "red", RED, 90, 80)
    add(memory, "blue", BLUE, 200, 120)
    image, (red, blue) = scene((RED, 240, 70, 40), (BLUE, 80, 160, 40))
    decisions = find(image)
    assert [(d.label, d.prompt.object_id) for d in decisions] == [("blue", 1), ("red", 2)]
    assert iou(decisions[0].mask_hw, blue) > 0.9
    assert iou(decisions[1].mask_hw, red) > 0.9


def test_labels_can_be_chosen(memory, find):
    add(memory, "red", RED, 90, 80)
    add(memory, "blue", BLUE, 200, 120)
    image, _ = scene((RED, 240, 70, 40), (BLUE, 80, 160, 40))
    assert [d.label for d in find(image, labels=["red"])] == ["red"]
    assert find(image, labels=["green"]) == []


def test_an_empty_memory_finds_nothing(find):
    assert find(scene((RED, 100, 100, 40))[0]) == []


class Spilling(ColourPrompter):
    """As a decoder whose grid is coarse: on a whole image its masks spill over to the left."""

    def predict(self, *args, **options):
        (seen,) = super().predict(*args, **options)
        if self.view is None:
            seen.mask_hw[:, :-20] |= seen.mask_hw[:, 20:].copy()
        return [seen]


def test_what_is_accepted_is_looked_at_from_nearer(memory, extractor):
    add(memory, "red", RED, 90, 80)
    image, (mask,) = scene((RED, 230, 150, 40))
    (decision,) = find_prompts(image, memory, extractor, Spilling())
    best, *others = decision.candidates
    assert best.mask_hw is decision.mask_hw
    assert iou(decision.mask_hw, mask) > 0.95 > 0.8 > max(iou(c.mask_hw, mask) for c in others)
    assert decision.prompt.view_xyxy == best.proposal.view_xyxy is not None
    assert json.loads(json.dumps(decision.to_json()))["prompt"]["view"] == [
        *decision.prompt.view_xyxy
    ]
    (refused,) = find_prompts(image, memory, extractor, Spilling(), threshold=0.999)
    assert refused.score == decision.score
    assert all(candidate.proposal.view_xyxy is None for candidate in refused.candidates)


def test_what_is_of_no_use_is_not_looked_at_from_nearer(memory, extractor):
    add(memory, "red", RED, 90, 80)
    add(memory, "blue", BLUE, 200, 120)
    image, _ = scene((RED, 240, 70, 40), (BLUE, 80, 160, 40))
    decisions = find_prompts(
        image, memory, extractor, Spilling(), is_of_use=lambda decision: decision.label == "red"
    )
    assert [d.accepted for d in decisions] == [True, True]
    assert [d.label for d in decisions if d.prompt.view_xyxy] == ["red"]


class Counting(ColourPrompter):
    """Notes which images it was given, and whether each answer was to be fitted."""

    def __init__(self):
        self.images, self.fitted = 0, []

    def set_image(self, *args):
        self.images += 1
        super().set_image(*args)

    def predict(self, *args, fitted=True, **options):
        self.fitted.append(fitted)
        return super().predict(*args, **options)


def test_only_what_is_chosen_is_fitted_to_the_picture(memory, extractor):
    add(memory, "red", RED, 90, 80)
    image, _ = scene((RED, 230, 150, 40), (RED, 60, 60, 20))
    refused, accepted = Counting(), Counting()
    find_prompts(image, memory, extractor, refused, threshold=0.999)
    assert len(refused.fitted) > 3 and refused.fitted.count(True) == 1
    find_prompts(image, memory, extractor, accepted)
    assert accepted.fitted.count(True) == 2  # on the whole image, and from nearer
    plain = Counting()
    plain.fits_edges = False
    find_prompts(image, memory, extractor, plain)
    assert not any(plain.fitted) and len(plain.fitted) == len(accepted.fitted) - 2


class Sharp(ColourPrompter):
    """As a decoder whose fitted masks are right and whose own lack the left half."""

    def predict(self, *args, fitted=True, **options):
        (seen,) = super().predict(*args, **options)
        if not fitted:
            columns = np.flatnonzero(seen.mask_hw.any(axis=0))
            seen.mask_hw[:, : columns.mean().astype(int)] = False
        return [seen]


def test_a_decision_is_made_of_the_fitted_mask(memory, extractor):
    add(memory, "red", RED, 90, 80)
    image, (mask,) = scene((RED, 230, 150, 40))
    (plain,) = find_prompts(image, memory, extractor, ColourPrompter(), threshold=0.999)
    (decision,) = find_prompts(image, memory, extractor, Sharp(), threshold=0.999)
    assert iou(decision.mask_hw, mask) > 0.9
    assert decision.score == plain.score
    assert sum(each.mask_hw is decision.mask_hw for each in decision.candidates) == 1


def test_what_matched_patches_rule_out_is_not_asked_for(memory, extractor):
    add(memory, "red", RED, 90, 80)
    add(memory, "blue", BLUE, 200, 120)
    image, _ = scene((RED, 240, 70, 40))
    whole = find_prompts(image, memory, extractor, ColourPrompter())
    assert [d.label for d in whole if d.accepted] == ["red"]
    most = {d.label: d.match.foreground**0.5 for d in whole}
    assert all(d.score <= most[d.label] for d in whole)
    assert most["blue"] < most["red"]
    margin = whole[0].threshold - (most["blue"] + most["red"]) / 2
    (red,) = find_prompts(image, memory, extractor, ColourPrompter(), margin=margin)
    assert red.to_json() == next(d for d in whole if d.accepted).to_json()
    above, prompter = most["red"] + 1e-6, Counting()
    assert find_prompts(image, memory, extractor, prompter, threshold=above, margin=0.0) == []
    assert prompter.images == 0 and not prompter.fitted


def test_below_the_threshold_nothing_is_prompted(memory, find):
    add(memory, "red", RED, 90, 80)
    image, _ = scene((RED, 230, 150, 40))
    (decision,) = find(image, threshold=0.999)
    assert not decision.accepted
    assert decision.prompt is None
    assert decision.reason.endswith("is below 0.999")
    assert 0 < decision.score < 0.999
    (anyway,) = find(scene(size=(240, 320))[0], threshold=0)
    assert anyway.accepted
    assert anyway.prompt is not None
    assert anyway.score < decision.score


def test_two_labels_do_not_share_an_object(memory, find):
    add(memory, "ball", RED, 90, 80)
    add(memory, "apple", (210, 60, 50), 200, 120)
    image, (only,) = scene((RED, 230, 150, 40))
    decisions = find(image, threshold=0.05)
    taken = [d for d in decisions if d.accepted and iou(d.mask_hw, only) > 0.5]
    assert len(decisions) == 2
    assert len(taken) == 1


def test_several_objects_of_one_label(memory, find):
    add(memory, "red", RED, 90, 80)
    image, masks = scene((RED, 70, 70, 40), (RED, 240, 160, 40))
    assert len(find(image)) == 1
    found = find(image, max_per_label=2)
    assert [d.prompt.object_id for d in found] == [1, 2]
    overlaps = [[iou(d.mask_hw, mask) > 0.9 for mask in masks] for d in found]
    assert sorted(overlaps) == [[False, True], [True, False]]


def test_the_reference_that_fits_is_the_one_named(memory, find):
    add(memory, "disc", YELLOW, 90, 80)
    fitting = add(memory, "disc", BLUE, 200, 120)
    image, (mask,) = scene((BLUE, 100, 150, 40))
    (decision,) = find(image)
    assert decision.reference_id == fitting.id
    assert iou(decision.mask_hw, mask) > 0.9


def test_the_same_seed_gives_the_same_decision(memory, find):
    add(memory, "red", RED, 90, 80)
    image, _ = scene((RED, 230, 150, 40), (BLUE, 90, 90, 50))
    one, two = (find(image, seed=5)[0].to_json() for _ in "ab")
    assert one == two


def test_the_whole_decision_can_be_written_down(memory, find):
    add(memory, "red", RED, 90, 80)
    image, _ = scene((RED, 230, 150, 40), (BLUE, 90, 90, 50))
    (decision,) = find(image, frame=3)
    written = json.loads(json.dumps(decision.to_json()))
    assert written["frame"] == 3
    assert written["accepted"] is True
    assert written["reason"].startswith("score ")
    assert "reaches" in written["reason"]
    assert written["match"]["similarity"] == round(decision.match.similarity, 4)
    assert written["patches"].keys() == {"object", "matched", "mutual"}
    assert 0 < written["patches"]["mutual"] <= written["patches"]["matched"]
    assert len(written["candidates"]) == len(decision.candidates) >= 3
    scores = [candidate["agreement"] for candidate in written["candidates"]]
    assert scores == sorted(scores, reverse=True)
    similarity, foreground = written["candidates"][0]["similarity"], written["match"]["foreground"]
    presence = (similarity * foreground) ** 0.5
    assert written["score"] == pytest.approx(presence, abs=1e-3)
    assert written["prompt"]["score"] == decision.score


@pytest.mark.parametrize(("purity", "score"), [(0.4, 0.6), (0.0, 0.0)])
def test_a_mask_that_agrees_with_nothing_is_not_the_object(purity, score):
    """However much it looks like it as a whole, and however well patches match somewhere."""
    nowhere = Proposal("points", np.zeros((0, 2), np.float32), np.zeros(0, np.int32), None)
    measures = Measures(similarity=0.9, purity=purity, coverage=0.8, completeness=0.7)
    best = Candidate("reference", nowhere, np.ones((4, 4), bool), 0.8, measures)
    match = Match("reference", "red", 0.9, foreground=0.4, background=0.9, similarity=0.55)
    assert presence(best, match) == pytest.approx(score)


def test_another_feature_model_is_refused(memory, other_extractor):
    add(memory, "red", RED, 90, 80)
    opened = ReferenceMemory.open(memory.folder)
    opened.extractor = other_extractor
    with pytest.raises(ReferenceMemoryError, match="described by the feature model"):
        find_prompts(scene()[0], opened, other_extractor, ColourPrompter())


def test_objects_that_are_taken_are_not_found_again(memory, find):
    add(memory, "red", RED, 90, 80)
    image, (near, far) = scene((RED, 80, 80, 40), (RED, 240, 160, 40))
    (decision,) = find(image, taken=[near])
    assert decision.accepted
    assert iou(decision.mask_hw, far) > 0.9
    (nothing,) = find(image, taken=[near, far])
    assert not nothing.accepted


def test_features_that_are_known_are_not_computed_again(memory, find, extractor):
    add(memory, "red", RED, 90, 80)
    image, _ = scene((RED, 230, 150, 40))
    other, _ = scene((BLUE, 60, 60, 40))
    (given,) = find(image, features=extractor.extract(image))
    assert given.to_json() == find(image)[0].to_json()
    assert find(other, features=extractor.extract(image))[0].match == given.match
