"""A bank of material in one file, and as tensors on the device that draws clips from it.

    python -m training.bank --clips CLIPS --cutouts PEOPLE --pictures PICTURES --output bank.npz

Packing reads the folders once, refuses measuring material, shrinks everything to what a small model
sees, and follows regions of the clips by optical flow and, with `--things`, things by a promptable
network. A machine with a GPU then needs that one file of some tens of megabytes; painted sprites
and textures are added when it is loaded.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from training.assets import Assets, Folders, load_assets
from training.followed_things import ThingFollower
from training.masklets import carried_regions
from training.objects import PAINTERS
from training.promptable import SegmentAnything
from training.salient import saliency_of
from training.textures import Image, Rng, random_texture

SPRITE = 160  # pixels: no sprite is drawn much larger on the frames of a small model
STILL = 320
CLIP_HW = (288, 512)
WINDOW_HW = (144, 256)
WINDOW_FRAMES = 8
REGIONS = 4  # of a window
PICTURE_MASK = 160  # pixels, of the masks of pictures: a small model decides on 80 at most
THINGS = 12  # of a picture, at most
_TRIES = 10  # windows to look at, for one in which something can be followed
_QUALITY = 72
_PAINTED_SHARE = 0.4  # of all sprites, where there are others

Arrays = dict[str, NDArray[Any]]
Follow = Callable[[Rng, list[Image], int], list[NDArray[np.bool_]]]
"""Gives the masks, bool (t, h, w), of up to so many things on all of these frames."""


@dataclass(frozen=True, eq=False)
class Windows:
    """Regions or things of the clips, followed over a few frames.

    clip_w, frames_wt: which clip, and which of its frames; masks_wrthw: uint8 0 or 1, `WINDOW_HW`;
    one that is missing is empty throughout.
    """

    clip_w: torch.Tensor
    frames_wt: torch.Tensor
    masks_wrthw: torch.Tensor


@dataclass(frozen=True, eq=False)
class Pictures:
    """Photographs with the masks of several things, which may overlap.

    images_n3hw: uint8, RGB, stretched to squares of `STILL`; masks_nkhw: uint8 0 or 1, squares of
    `PICTURE_MASK`; a thing that is missing is empty.
    """

    images_n3hw: torch.Tensor
    masks_nkhw: torch.Tensor


@dataclass(frozen=True, eq=False)
class Bank:
    """What clips are drawn from: images are uint8, channels first, on one device.

    Attributes:
        sprites_n4hw: RGBA, alpha not multiplied in, stretched to squares of `SPRITE`.
        sprite_aspect_n: height over width before that.
        sprite_shares_n: how often each is drawn: one kind of sprites as often as another.
        stills_m4hw: RGB photographs and textures, stretched to squares of `STILL`; the fourth
            channel is 255 on the one object of a photograph that has a mask.
        still_aspect_m: height over width before that.
        portrait_shares_p: how often each of the stills that have a mask is drawn, the first p: one
            folder's as often as another's. Empty where there are none.
        clips: RGB (t, 3, *CLIP_HW), every second frame of each.
        windows: regions that optical flow has carried along these clips; None where there are none.
        followed: things that a promptable network has followed in them; None where there are none.
        pictures: photographs with several masks; None where there are none.
    """

    sprites_n4hw: torch.Tensor
    sprite_aspect_n: torch.Tensor
    sprite_shares_n: torch.Tensor
    stills_m4hw: torch.Tensor
    still_aspect_m: torch.Tensor
    portrait_shares_p: torch.Tensor
    clips: list[torch.Tensor]
    windows: Windows | None
    followed: Windows | None = None
    pictures: Pictures | None = None

    @property
    def device(self) -> torch.device:
        return self.sprites_n4hw.device


def pack(
    folders: Folders,
    output: Path,
    *,
    windows: int,
    things: tuple[int, Follow] | None = None,
    seed: int = 0,
) -> dict[str, int]:
    """Write the real material of `folders` to one file; returns how much of each kind it holds.

    Args:
        windows: of how many windows of the clips to follow regions.
        things: of how many to follow things, and how. Of either a tenth as many are for validation.
    """
    parts: Arrays = {}
    ways: dict[str, tuple[int, Follow]] = {"windows": (windows, carried_regions)}
    if things is not None:
        ways["followed"] = things
    for split, part in (("train", 1), ("val", 10)):
        assets = load_assets(folders, sprites=0, seed=seed, split=split)
        found = _packed(assets)
        for name, (count, follow) in ways.items():
            rng = np.random.default_rng(seed)
            found |= _packed_windows(name, _follow(rng, assets.clips, count // part, follow))
        parts |= {f"{split}_{name}": array for name, array in found.items()}
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_suffix(".part.npz")
    np.savez(partial, **parts)
    partial.replace(output)
    return {name[:-5]: len(array) for name, array in parts.items() if name.endswith("_ends")}


def _packed(assets: Assets) -> Arrays:
    portraits = [portrait for kind in assets.portraits for portrait in kind]
    masked = {id(image) for image, _ in portraits}
    stills = [image for image, _ in portraits]
    stills += [photo for photo in assets.photos if id(photo) not in masked]
    masks = [np.dstack([mask * np.uint8(255)] * 3) for _, mask in portraits]
    drawn = assets.cutouts[len(assets.portraits) :]
    return {
        **_blobs("stills", [_coded(still, 256) for still in stills]),
        **_blobs("masks", [_coded(mask, 256) for mask in masks]),  # WebP loses colours under alpha
        "mask_kinds": _kinds(assets.portraits),
        **_blobs("sprites", [_coded(sprite, 144) for kind in drawn for sprite in kind]),
        "sprite_kinds": _kinds(drawn),
        **_blobs("clips", [_film(clip) for clip in assets.clips]),
        **_blobs("pictures", [_coded(image, 256) for image, _ in assets.pictures]),
        **_blobs("things", [_squeezed(masks) for _, masks in assets.pictures]),
    }


def _packed_windows(name: str, found: list[tuple[int, list[int], NDArray[np.uint8]]]) -> Arrays:
    return {
        **_blobs(name, [zlib.compress(np.packbits(m).tobytes(), 9) for _, _, m in found]),
        f"{name}_clips": np.array([clip for clip, _, _ in found], np.int64),
        f"{name}_frames": np.array([frames for _, frames, _ in found], np.int64),
    }


def _kinds(folders: list[list[Any]]) -> NDArray[np.int64]:
    """For each thing the number of the folder that it is from."""
    return np.array([number for number, kind in enumerate(folders) for _ in kind], np.int64)


def _follow(
    rng: Rng, clips: list[list[Image]], count: int, follow: Follow
) -> list[tuple[int, list[int], NDArray[np.uint8]]]:
    """Clip, frame numbers, and masks (r, t, *WINDOW_HW) of `count` windows."""
    found: list[tuple[int, list[int], NDArray[np.uint8]]] = []
    for _ in range(_TRIES * count if clips else 0):
        if len(found) == count:
            break
        number = int(rng.integers(len(clips)))
        stride = min(int(rng.choice([1, 1, 2, 3])), (len(clips[number]) - 1) // WINDOW_FRAMES)
        start = int(rng.integers(max(len(clips[number]) - stride * WINDOW_FRAMES, 1)))
        frames = [start + stride * step for step in range(WINDOW_FRAMES)]
        shown = [clips[number][frame] for frame in frames]
        regions = follow(rng, shown, REGIONS) if stride else []
        masks = np.zeros((REGIONS, WINDOW_FRAMES, *WINDOW_HW), np.uint8)
        for index, region_thw in enumerate(regions):
            small = [cv2.resize(m.astype(np.float32), WINDOW_HW[::-1]) > 0.5 for m in region_thw]
            masks[index] = np.stack(small)
        if regions:
            found.append((number, frames, masks))
    return found


def _coded(image: NDArray[np.uint8], side: int) -> bytes:
    """WebP of an RGB or RGBA image, its longer side at most 1.5 times `side`."""
    factor = min(1.0, 1.5 * side / max(image.shape[:2]), side / min(image.shape[:2]))
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    order = [2, 1, 0, 3][: small.shape[2]]
    written, data = cv2.imencode(
        ".webp", np.ascontiguousarray(small[..., order]), [cv2.IMWRITE_WEBP_QUALITY, _QUALITY]
    )
    assert written
    return data.tobytes()


def _squeezed(masks: list[NDArray[np.uint8]]) -> bytes:
    """The masks of up to `THINGS` things, packed."""
    side = (PICTURE_MASK, PICTURE_MASK)
    resized = [cv2.resize(m.astype(np.float32), side, interpolation=cv2.INTER_AREA) for m in masks]
    stacked = np.zeros((THINGS, *side), bool)
    for number, mask in enumerate(resized[:THINGS]):
        stacked[number] = mask > 0.5
    return zlib.compress(np.packbits(stacked).tobytes(), 9)


def _film(frames: list[Image]) -> bytes:
    """H.264 in MP4, `CLIP_HW`."""
    import av  # here, for a machine that draws from a packed bank has no need of it

    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        with av.open(file.name, "w") as container:
            options = {"crf": "25", "preset": "slow"}
            stream = container.add_stream("libx264", rate=15, options=options)
            stream.height, stream.width = CLIP_HW
            stream.pix_fmt = "yuv420p"
            for image in frames:
                resized = cv2.resize(image, CLIP_HW[::-1], interpolation=cv2.INTER_AREA)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(resized, "rgb24")))
            container.mux(stream.encode())
        return Path(file.name).read_bytes()


def _blobs(name: str, blobs: list[bytes]) -> Arrays:
    """Files of many lengths as one array, and where each ends."""
    joined = np.frombuffer(b"".join(blobs), np.uint8)
    return {name: joined, f"{name}_ends": np.cumsum([len(b) for b in blobs], dtype=np.int64)}


def load_bank(
    path: Path | None, *, sprites: int, textures: int, seed: int, split: str, device: str
) -> Bank:
    """The `train` or `val` part of a packed bank, with painted sprites and textures added.

    Without a `path` everything is painted.
    """
    rng = np.random.default_rng((seed, split == "val"))
    file = {} if path is None else np.load(path)
    parts: Arrays = {k.removeprefix(f"{split}_"): file[k] for k in file if k.startswith(split)}
    with ThreadPoolExecutor() as pool:
        stills = list(pool.map(_image, _split(parts, "stills")))
        masks = list(pool.map(_image, _split(parts, "masks")))
        cutouts = list(pool.map(_image, _split(parts, "sprites")))
        clips = list(pool.map(_frames, _split(parts, "clips")))
    for number, mask in enumerate(masks):  # the first stills are those with a mask
        stills[number] = np.dstack([stills[number], mask[..., 0]])
    stills += [random_texture(rng, STILL) for _ in range(textures)]
    portrait_kinds = parts.get("mask_kinds", np.zeros(len(masks), np.int64))
    kinds = [int(kind) for kind in parts.get("sprite_kinds", ())]
    kinds += [len(kinds) + int(kind) for kind in portrait_kinds]
    cutouts += [_cut_out(still) for still in stills[: len(masks)]]
    painted = Assets([], [s[..., :3] for s in stills], [], [], [])
    names = list(PAINTERS)
    for _ in range(sprites):
        painter = PAINTERS[names[int(rng.integers(len(names)))]]
        cutouts.append(painter(rng, painted.skin(rng)))
        kinds.append(-1)
    return Bank(
        sprites_n4hw=_stacked(cutouts, SPRITE, device),
        sprite_aspect_n=_aspects(cutouts, device),
        sprite_shares_n=_shares(np.array(kinds), device),
        stills_m4hw=_stacked([_masked(still) for still in stills], STILL, device),
        still_aspect_m=_aspects(stills, device),
        portrait_shares_p=_shares(portrait_kinds, device),
        clips=[clip.to(device) for clip in clips],
        windows=_windows(parts, "windows", device),
        followed=_windows(parts, "followed", device),
        pictures=_pictures(parts, device),
    )


def _split(parts: Arrays, name: str) -> list[bytes]:
    if name not in parts:
        return []
    data, ends = parts[name].tobytes(), [0, *map(int, parts[f"{name}_ends"])]
    return [data[a:b] for a, b in pairwise(ends)]


def _image(data: bytes) -> NDArray[np.uint8]:
    """RGB or RGBA."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return np.ascontiguousarray(image[..., [2, 1, 0, 3][: image.shape[2]]])


def _frames(data: bytes) -> torch.Tensor:
    """RGB (t, 3, h, w) of a film."""
    frames = []
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        Path(file.name).write_bytes(data)
        reader = cv2.VideoCapture(file.name)
        while (read := reader.read())[0]:
            frames.append(torch.from_numpy(read[1][..., ::-1].copy()).permute(2, 0, 1))
    return torch.stack(frames)


def _cut_out(still: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The one object of a photograph, cut out along its mask's box."""
    x, y, w, h = cv2.boundingRect((still[..., 3] > 127).astype(np.uint8))
    return still[y : y + h, x : x + w]


def _masked(still: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if still.shape[2] == 4:
        return still
    return np.dstack([still, np.zeros(still.shape[:2], np.uint8)])


def _stacked(images: list[NDArray[np.uint8]], side: int, device: str) -> torch.Tensor:
    """(n, channels, side, side)."""
    resized = [cv2.resize(i, (side, side), interpolation=cv2.INTER_AREA) for i in images]
    return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).contiguous().to(device)


def _aspects(images: list[NDArray[np.uint8]], device: str) -> torch.Tensor:
    aspects = [image.shape[0] / image.shape[1] for image in images]
    return torch.tensor(aspects, dtype=torch.float32, device=device)


def _shares(kinds_n: NDArray[np.int64], device: str) -> torch.Tensor:
    """Painted ones (-1) share `_PAINTED_SHARE`, the other kinds the rest, in equal parts."""
    known, inverse, counts = np.unique(kinds_n, return_inverse=True, return_counts=True)
    each = np.ones(len(known))
    if len(known) > 1 and known[0] == -1:
        each[0] = _PAINTED_SHARE * (len(known) - 1) / (1 - _PAINTED_SHARE)
    shares_n = (each / each.sum() / counts)[inverse] if len(known) else each
    return torch.tensor(shares_n, dtype=torch.float32, device=device)


def _windows(parts: Arrays, name: str, device: str) -> Windows | None:
    if not len(parts.get(f"{name}_clips", ())):
        return None
    shape = (REGIONS, WINDOW_FRAMES, *WINDOW_HW)
    masks = [
        np.unpackbits(np.frombuffer(zlib.decompress(data), np.uint8)).reshape(shape)
        for data in _split(parts, name)
    ]
    return Windows(
        torch.from_numpy(parts[f"{name}_clips"]),
        torch.from_numpy(parts[f"{name}_frames"]).to(device),
        torch.from_numpy(np.stack(masks)).to(device),
    )


def _pictures(parts: Arrays, device: str) -> Pictures | None:
    if not len(parts.get("pictures_ends", ())):
        return None
    shape = (THINGS, PICTURE_MASK, PICTURE_MASK)
    with ThreadPoolExecutor() as pool:
        images = list(pool.map(_image, _split(parts, "pictures")))
    masks = [
        np.unpackbits(np.frombuffer(zlib.decompress(data), np.uint8)).reshape(shape)
        for data in _split(parts, "things")
    ]
    return Pictures(_stacked(images, STILL, device), torch.from_numpy(np.stack(masks)).to(device))


_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--images", multiple=True, type=_FOLDER, help="A folder of photographs.")
@click.option("--clips", multiple=True, type=_FOLDER, help="A folder of MP4 clips.")
@click.option("--cutouts", multiple=True, type=_FOLDER, help="A folder of cut-outs.")
@click.option("--pictures", multiple=True, type=_FOLDER, help="A folder of pictures.")
@click.option("--windows", default=1000, show_default=True, help="Pseudo-masklets to follow.")
@click.option("--things", default=0, help="Windows in which a promptable network follows things.")
@click.option("--encoder", type=_FILE, help="Of that network, as for `training.promptable`.")
@click.option("--decoder", type=_FILE, help="Of that network, with one mask.")
@click.option("--saliency", "salient", type=_FILE, help="The network that says what stands out.")
@click.option("--seed", default=0, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), required=True)
def main(
    images: tuple[Path, ...],
    clips: tuple[Path, ...],
    cutouts: tuple[Path, ...],
    pictures: tuple[Path, ...],
    windows: int,
    things: int,
    encoder: Path | None,
    decoder: Path | None,
    salient: Path | None,
    seed: int,
    output: Path,
) -> None:
    """Pack folders of real material into one file."""
    follower = None
    if things:
        if encoder is None or decoder is None or salient is None:
            raise click.UsageError("--things needs --encoder, --decoder and --saliency")
        network = SegmentAnything(encoder, decoder)
        follower = things, ThingFollower(network, saliency_of(salient))
    folders = Folders(images, clips, cutouts, pictures)
    held = pack(folders, output, windows=windows, things=follower, seed=seed)
    for name, count in held.items():
        click.echo(f"{name}: {count}")
    click.echo(f"{output}: {output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
