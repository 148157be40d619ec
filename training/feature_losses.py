"""What the feature model is asked for: the same place close, everything else far, in cosines.

Four contrasts (InfoNCE, van den Oord et al. 2018) on L2-normalised tokens: patch against patches,
patch against the means of whole objects and surroundings, object against patches, image against
images. The third is what a reference is asked for: its object's patches must find the object's
patches in another picture, and nothing beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from training.feature_views import ViewPairs

# 2,000 negatives around cosine 0 push a positive towards cosine 0.7 and more.
PATCH_TEMPERATURE = 0.07
TEMPERATURE = 0.1  # of whole regions and images
_SAME_OBJECT = math.log(0.25)  # other patches of the same object are a quarter as negative
_SAME_VIEW = math.log(0.25)  # so is what stands beside it, which has only the light in common
_FAR = 2.0  # patches apart, on the surface, from which two places count as different


@dataclass(frozen=True, eq=False)
class Matches:
    """Patches that show one place, as indices into all V x N patches of a batch.

    Attributes:
        anchor_k, positive_k: int64.
        bias_km: added to the logit of each patch as a candidate for each anchor: 0, less for the
            anchor's own object and view, -inf for what may look the same.
    """

    anchor_k: Tensor
    positive_k: Tensor
    bias_km: Tensor


def patch_steps(views: ViewPairs) -> Tensor:
    """Surface length of one patch at each patch: the distance to the nearest of the same owner.

    0 where no other patch of the view shows that owner.
    """
    distance = torch.cdist(views.surface_vn2, views.surface_vn2)
    same = views.owner_vn[:, :, None] == views.owner_vn[:, None]
    same &= ~torch.eye(same.shape[1], dtype=torch.bool, device=same.device)
    nearest = distance.masked_fill(~same, math.inf).amin(-1)
    return nearest.masked_fill(nearest.isinf(), 0)


def find_matches(views: ViewPairs, per_view: int, generator: torch.Generator) -> Matches:
    """Up to `per_view` anchors of each view; patches on objects come first more often."""
    owner, surface, step = views.owner_vn, views.surface_vn2, patch_steps(views)
    count, patches = owner.shape
    partner = torch.arange(count, device=owner.device) ^ 1
    distance = torch.cdist(surface, surface[partner])
    other = (owner[:, :, None] != owner[partner][:, None]) | (owner == 0)[:, :, None]
    nearest, index = distance.masked_fill(other, math.inf).min(-1)
    matched = nearest < 0.7 * step[partner].gather(1, index)
    order = torch.rand(count, patches, generator=generator).to(owner.device)
    order = order - (owner > 0) * 0.5 + (~matched) * 10
    chosen = order.argsort(-1)[:, :per_view]
    kept = matched.gather(1, chosen)
    anchor = (chosen + torch.arange(count, device=owner.device)[:, None] * patches)[kept]
    positive = (index + partner[:, None] * patches).gather(1, chosen)[kept]
    return Matches(anchor, positive, _bias(views, step, anchor, positive))


def _bias(views: ViewPairs, step: Tensor, anchor: Tensor, positive: Tensor) -> Tensor:
    owner, step = views.owner_vn.flatten(), step.flatten()
    surface = views.surface_vn2.flatten(0, 1)
    view = torch.arange(len(owner), device=owner.device) // views.owner_vn.shape[1]
    same_owner = owner[anchor][:, None] == owner
    in_partner = (view[anchor] ^ 1)[:, None] == view
    reach = _FAR * torch.maximum(step[anchor][:, None], step)
    near = torch.cdist(surface[anchor], surface) < reach
    bias = torch.zeros_like(near, dtype=torch.float32)
    bias.masked_fill_(same_owner & (owner > 0), _SAME_OBJECT)
    bias.masked_fill_(view[anchor][:, None] == view, _SAME_VIEW)
    bias.masked_fill_(same_owner & (near | ~in_partner), -math.inf)
    bias.masked_fill_((owner == 0).expand_as(bias), -math.inf)
    bias[torch.arange(len(anchor)), positive] = 0
    return bias


def patch_loss(tokens_md: Tensor, matches: Matches) -> tuple[Tensor, Tensor]:
    """The patch contrast, and the cosines (K, M) it was made of."""
    with torch.autocast(tokens_md.device.type, torch.bfloat16):
        cosines = (tokens_md[matches.anchor_k] @ tokens_md.T).float()
    loss = cross_entropy(cosines / PATCH_TEMPERATURE + matches.bias_km, matches.positive_k)
    return loss, cosines.detach()


def region_loss(tokens_md: Tensor, views: ViewPairs, matches: Matches) -> Tensor:
    """Object patches against the mean of their object in the other view, and all other means."""
    owner = views.owner_vn
    view = torch.arange(len(owner), device=owner.device)[:, None].expand_as(owner)
    labels = torch.stack([view.flatten(), owner.flatten()])
    regions, region_m = labels.unique(dim=1, return_inverse=True)
    owner_s = regions[1]
    sums = torch.zeros(len(owner_s), tokens_md.shape[1], device=tokens_md.device)
    means = normalize(sums.index_add(0, region_m, tokens_md), dim=-1)
    sizes = torch.bincount(region_m, minlength=len(owner_s))
    on_object = owner.flatten()[matches.anchor_k] > 0
    anchor, target = matches.anchor_k[on_object], region_m[matches.positive_k[on_object]]
    if not len(anchor):
        return tokens_md.sum() * 0
    logits = tokens_md[anchor] @ means.T / TEMPERATURE
    hidden = owner_s == owner.flatten()[anchor][:, None]
    hidden = hidden | (owner_s == 0) | (sizes < 3)
    hidden[torch.arange(len(anchor)), target] = False
    return cross_entropy(logits.masked_fill(hidden, -math.inf), target)


def object_loss(tokens_md: Tensor, views: ViewPairs) -> Tensor:
    """The mean of an object in one view against all patches: only the object's own may be close.

    Each patch of the object in the other view is a positive on its own, all patches of other owners
    in the batch are the negatives.
    """
    owner = views.owner_vn
    tokens = tokens_md.unflatten(0, owner.shape)
    losses = []
    for view in range(len(owner)):
        for thing in owner[view].unique():
            there, here = owner[view ^ 1] == thing, owner[view] == thing
            if thing <= 0 or there.sum() < 3 or here.sum() < 3:
                continue
            mean = normalize(tokens[view ^ 1][there].mean(0), dim=-1)
            logits = tokens_md @ mean / TEMPERATURE
            negatives = logits[(owner.flatten() != thing) & (owner.flatten() != 0)].logsumexp(0)
            positives = (tokens[view][here] @ mean) / TEMPERATURE
            losses.append((torch.logaddexp(positives, negatives) - positives).mean())
    return torch.stack(losses).mean() if losses else tokens_md.sum() * 0


class ImageContrast:
    """Each view's class token against its pair's, the batch's, and those of the last batches."""

    def __init__(self, width: int, device: torch.device, length: int = 128) -> None:
        self.features_qd = torch.zeros(length, width, device=device)
        self.scenes_q = torch.zeros(length, dtype=torch.int64, device=device)

    def __call__(self, tokens_vd: Tensor, scene_v: Tensor) -> Tensor:
        """Views of one place, other than the pair's, are no negatives."""
        count = len(tokens_vd)
        own = torch.arange(count, device=tokens_vd.device)
        candidates = torch.cat([tokens_vd, self.features_qd])
        scenes = torch.cat([scene_v, self.scenes_q])
        hidden = (scene_v[:, None] == scenes) | (scenes == 0)
        hidden[own, own] = True
        hidden[own, own ^ 1] = False
        logits = (tokens_vd @ candidates.T / TEMPERATURE).masked_fill(hidden, -math.inf)
        self.features_qd = candidates.detach()[: len(self.features_qd)]
        self.scenes_q = scenes[: len(self.scenes_q)]
        return cross_entropy(logits, own ^ 1)
