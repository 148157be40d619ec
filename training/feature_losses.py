"""What the feature model is asked for: the same thing close, everything else far, in cosines.

Four contrasts (InfoNCE, van den Oord et al. 2018) on L2-normalised tokens: patch against patches,
patch against the means of whole things, the mean of a thing against patches, image against images.
The third is what a reference is asked for: its object's patches must find the object's patches in
another picture, and nothing beside it.

Every tensor has a fixed shape, so that nothing waits for the device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot, softplus

from training.feature_views import SLOTS, Views
from training.paths import Dice

_IMAGE_TEMPERATURE = 0.1
_SAME_THING = math.log(0.25)  # other patches of the same thing are a quarter as negative
_FAR = 2.0  # patches apart, on the surface, from which two places count as different
_CLOSE = 0.7  # patches apart, up to which two places count as the same
_SMALLEST = 2  # patches that a thing must cover


@dataclass(frozen=True, eq=False)
class Tokens:
    """L2-normalised: image_vd and patches_vnd of the views, and means_vsd of the things in them.

    There are patches_vs patches in each mean; paired_vs says whether the thing is large enough in
    both views of the pair. Cosines of patches and things are divided by the temperature.
    """

    image_vd: Tensor
    patches_vnd: Tensor
    means_vsd: Tensor
    patches_vs: Tensor
    paired_vs: Tensor
    temperature: float


@dataclass(frozen=True, eq=False)
class Rivals:
    """Patches of the whole batch that every anchor is held against: (c, d), and whose they are.

    Family 0 is nobody's.
    """

    patches_cd: Tensor
    family_c: Tensor


def gather_tokens(tokens_vmd: Tensor, views: Views, temperature: float) -> Tokens:
    """From the model's last hidden state, the class token first."""
    tokens = normalize(tokens_vmd.float(), dim=-1)
    patches = tokens[:, 1:]
    members = one_hot(views.slot_vn + 1, SLOTS + 1)[..., 1:].float()
    sizes = members.sum(1)
    means = normalize(members.transpose(1, 2) @ patches, dim=-1)
    large = sizes >= _SMALLEST
    paired = views.shared_vs & large & views.partners(large)
    return Tokens(tokens[:, 0], patches, means, sizes, paired, temperature)


def draw_rivals(tokens: Tokens, views: Views, count: int, dice: Dice) -> Rivals:
    patches = tokens.patches_vnd.flatten(0, 1)
    chosen = dice.pick(len(patches), (count,))
    return Rivals(patches[chosen], _family(views).flatten()[chosen])


def patch_loss(
    tokens: Tokens, views: Views, rivals: Rivals, per_view: int, dice: Dice
) -> tuple[Tensor, dict[str, Tensor]]:
    """The same place in the partner against its other patches and the rivals."""
    anchors = find_matches(views, per_view, dice)
    near, far = tokens.patches_vnd, views.partners(tokens.patches_vnd)
    anchor = _at(near, anchors.anchor_vk)
    in_partner = anchor @ far.transpose(1, 2)
    positive = in_partner.gather(2, anchors.positive_vk[..., None])
    elsewhere = anchor @ rivals.patches_cd.T
    family = _family(views).gather(1, anchors.anchor_vk)
    logits = torch.cat(
        [
            positive / tokens.temperature,
            in_partner / tokens.temperature + anchors.bias_vkn,
            _without(elsewhere / tokens.temperature, family, rivals),
        ],
        2,
    )
    losses = logits.logsumexp(2) - logits[..., 0]
    found = (logits[..., 0] >= logits[..., 1:].amax(2)).float()
    figures = {
        "found": _mean(found, anchors.known_vk),
        "positive_cosine": _mean(positive[..., 0].detach(), anchors.known_vk),
        "negative_cosine": elsewhere.detach().mean(),
    }
    return _mean(losses, anchors.known_vk), figures


@dataclass(frozen=True, eq=False)
class Matches:
    """k patches of each view, and those of its partner that show the same place.

    bias_vkn is added to the logits of the partner's patches: 0 for other things, less for other
    places of the same thing, -inf for what may look the same. known_vk says which of the matches
    are any.
    """

    anchor_vk: Tensor
    positive_vk: Tensor
    bias_vkn: Tensor
    known_vk: Tensor


def find_matches(views: Views, per_view: int, dice: Dice) -> Matches:
    """Patches on objects are chosen more often than those of the ground."""
    slot, step = views.slot_vn, patch_steps(views)
    other_slot, other_step = views.partners(slot), views.partners(step)
    shared = views.shared_vs.gather(1, slot.clamp(min=0)) & (slot >= 0) & views.placed_v[:, None]
    distance = _distances(views.surface_vn2, views.partners(views.surface_vn2))
    differs = slot[:, :, None] != other_slot[:, None]
    nearest, index = distance.masked_fill(differs, math.inf).min(2)
    known = shared & (nearest < _CLOSE * other_step.gather(1, index))
    chosen = _chosen(slot, known, per_view, dice)
    reach = _FAR * torch.maximum(_at(step[..., None], chosen), other_step[:, None])
    owner = _owner(views)
    same = owner.gather(1, chosen)[..., None] == views.partners(owner)[:, None]
    hidden = (same & (_at(distance, chosen) < reach)) | (other_slot < 0)[:, None]
    hidden |= same & _at(differs, chosen)  # the same thing once more, whose places are others
    bias = (same * _SAME_THING).masked_fill(hidden, -math.inf)
    return Matches(chosen, index.gather(1, chosen), bias, known.gather(1, chosen))


def patch_steps(views: Views) -> Tensor:
    """Surface length of one patch at each patch: the distance to the nearest of the same thing.

    0 where no other patch of the view shows that thing.
    """
    distance = _distances(views.surface_vn2, views.surface_vn2)
    other = views.slot_vn[:, :, None] != views.slot_vn[:, None]
    other |= torch.eye(other.shape[1], dtype=torch.bool, device=other.device)
    nearest = distance.masked_fill(other, math.inf).amin(2)
    return nearest.masked_fill(nearest.isinf(), 0)


def region_loss(
    tokens: Tokens, views: Views, per_view: int, dice: Dice
) -> tuple[Tensor, dict[str, Tensor]]:
    """Patches against the mean of their thing in the partner, and the means of all other things."""
    count, half = len(views.slot_vn), len(views.slot_vn) // 2
    slot = views.slot_vn.clamp(min=0)
    known = tokens.paired_vs.gather(1, slot) & (views.slot_vn >= 0)
    chosen = _chosen(views.slot_vn, known, per_view, dice)
    own_slot = slot.gather(1, chosen)
    logits = _at(tokens.patches_vnd, chosen) @ tokens.means_vsd.flatten(0, 1).T / tokens.temperature
    view = torch.arange(count, device=slot.device)
    partner = (view + half) % count
    target = (partner[:, None] * SLOTS + own_slot)[..., None]
    same_family = views.family_vs.gather(1, own_slot)[..., None] == views.family_vs.flatten()
    same_owner = views.owner_vs.gather(1, own_slot)[..., None] == views.owner_vs.flatten()
    in_partner = (partner[:, None] == view.repeat_interleave(SLOTS))[:, None]
    hidden = same_owner | (same_family & ~in_partner)
    hidden = (hidden | (tokens.patches_vs.flatten() < _SMALLEST)).scatter(2, target, False)
    logits = logits.masked_fill(hidden, -math.inf)
    positive = logits.gather(2, target)[..., 0]
    known = known.gather(1, chosen)
    losses = torch.where(known, logits.logsumexp(2) - positive, 0)
    right = (positive >= logits.amax(2)).float()
    return _mean(losses, known), {"recognised": _mean(right, known)}


def object_loss(tokens: Tokens, views: Views, rivals: Rivals) -> Tensor:
    """The mean of a thing in the partner against patches: only the thing's own may be close.

    Each patch of the thing is a positive on its own; other patches of the view and the rivals are
    the negatives.
    """
    means = views.partners(tokens.means_vsd)
    logits = means @ tokens.patches_vnd.transpose(1, 2) / tokens.temperature
    owner = _owner(views)[:, None]
    beside = logits.masked_fill((owner == views.owner_vs[..., None]) | (owner == 0), -math.inf)
    elsewhere = _without(means @ rivals.patches_cd.T / tokens.temperature, views.family_vs, rivals)
    negative = torch.cat([beside, elsewhere], 2).logsumexp(2)
    slots = torch.arange(SLOTS, device=logits.device)[:, None]
    positive = (views.slot_vn[:, None] == slots) & tokens.paired_vs[..., None]
    losses = torch.where(positive, softplus(negative[..., None] - logits), 0).sum(2)
    return _mean(losses / tokens.patches_vs.clamp(min=1), tokens.paired_vs)


def image_loss(tokens: Tokens, views: Views) -> Tensor:
    """Each view's class token against its partner's and all others but those of the same place."""
    count = len(tokens.image_vd)
    own = torch.arange(count, device=tokens.image_vd.device)
    target = ((own + count // 2) % count)[:, None]
    place = views.family_vs[:, 0]
    hidden = (place[:, None] == place).scatter(1, target, False)
    logits = tokens.image_vd @ tokens.image_vd.T / _IMAGE_TEMPERATURE
    logits = logits.masked_fill(hidden, -math.inf)
    return (logits.logsumexp(1) - logits.gather(1, target)[:, 0]).mean()


def _chosen(slot_vn: Tensor, known_vn: Tensor, count: int, dice: Dice) -> Tensor:
    """Random patches of each view, (v, count): known ones first, of these objects more often."""
    keys = dice.uniform(tuple(slot_vn.shape)) + 0.5 * (slot_vn > 0) + 10 * known_vn
    return keys.topk(count, 1).indices


def _at(tensor_vnx: Tensor, index_vk: Tensor) -> Tensor:
    """Rows of each view."""
    return tensor_vnx[torch.arange(len(index_vk), device=index_vk.device)[:, None], index_vk]


def _owner(views: Views) -> Tensor:
    """Of each patch; 0 where it is mixed."""
    owner = views.owner_vs.gather(1, views.slot_vn.clamp(min=0))
    return owner.masked_fill(views.slot_vn < 0, 0)


def _family(views: Views) -> Tensor:
    family = views.family_vs.gather(1, views.slot_vn.clamp(min=0))
    return family.masked_fill(views.slot_vn < 0, 0)


def _without(logits_vkc: Tensor, family_vk: Tensor, rivals: Rivals) -> Tensor:
    """The logits of rivals, less those that may look the same."""
    hidden = (family_vk[..., None] == rivals.family_c) | (rivals.family_c == 0)
    return logits_vkc.masked_fill(hidden, -math.inf)


def _distances(places_vn2: Tensor, others_vn2: Tensor) -> Tensor:
    """By differences: products in low precision would blur neighbouring places."""
    return torch.cdist(places_vn2, others_vn2, compute_mode="donot_use_mm_for_euclid_dist")


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return torch.where(where, values, 0).sum() / where.sum().clamp(min=1)
