"""Disguises: the outline stays, the colours are those that were asked for."""

from __future__ import annotations

import pytest
import torch

from training.bank import SPRITE, Bank, load_bank
from training.disguises import Disguises, random_disguises
from training.drawing import Scenes
from training.paths import Dice


def dice(seed: int = 0) -> Dice:
    return Dice(torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def bank() -> Bank:
    return load_bank(None, sprites=8, textures=4, seed=0, split="train", device="cpu")


def worn(**chosen: object) -> Disguises:
    """One layer of one clip, in no disguise but what is `chosen`."""
    plain = {"dressed": False, "still": 0, "row": 0, "column": 0, "depth": 0.0}
    tint = {"tint": torch.zeros(1, 3)}
    given = {name: torch.tensor([value]) for name, value in {**plain, **chosen}.items()}
    return Disguises(**{**tint, **given})


def test_without_a_disguise_the_sprite_stays(bank):
    sprite = bank.sprites_n4hw[:1].float()
    torch.testing.assert_close(worn().put_on(sprite, bank), sprite)


def test_a_dressed_sprite_shows_a_square_of_the_still_inside_its_own_outline(bank):
    sprite = bank.sprites_n4hw[:1].float()
    dressed = worn(dressed=True, still=2, row=30, column=70).put_on(sprite, bank)
    square = bank.stills_m4hw[2, :3, 30 : 30 + SPRITE, 70 : 70 + SPRITE].float()
    torch.testing.assert_close(dressed[0, :3], square)
    torch.testing.assert_close(dressed[:, 3], sprite[:, 3])


def test_a_tint_moves_the_mean_colour_of_what_is_seen(bank):
    sprite = bank.sprites_n4hw[:1].float()
    before, alpha = _mean(sprite), sprite[:, 3:]
    far = torch.where(before < 128, before + 80, before - 80)
    tinted = worn(tint=far.tolist(), depth=0.5).put_on(sprite, bank)
    # Colours that leave the range are cut off, so that the mean moves a little less.
    torch.testing.assert_close(_mean(tinted), (before + far) / 2, atol=12, rtol=0)
    torch.testing.assert_close(tinted[:, 3:], alpha)


def _mean(sprite_b4hw: torch.Tensor) -> torch.Tensor:
    rgb, alpha = sprite_b4hw[0, :3], sprite_b4hw[0, 3:]
    return (rgb * alpha).sum((1, 2)) / alpha.sum()


def test_twins_wear_the_same(bank):
    scenes = Scenes(bank, dice(1), 40, things=2)
    scenes.disguise()
    twins = scenes.sprites_bl[:, 2] == scenes.sprites_bl[:, 0]
    assert twins.any() and not twins.all()
    for field in vars(scenes.disguises).values():
        assert (field[:, 2] == field[:, 0])[twins].all()


def test_tints_are_colours_of_the_still_behind(bank):
    behind = torch.arange(4)
    found = random_disguises(bank, dice(), behind, layers=5)
    for still, tints in zip(behind, found.tint, strict=True):
        pixels = bank.stills_m4hw[still, :3].flatten(1).T.float()
        assert torch.cdist(tints, pixels).min(1).values.max() == 0
