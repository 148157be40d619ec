"""Pairs of views whose patches are known to show the same place, for the feature model.

A source is an image whose pixels know which thing they show (the owner) and where on it (the
surface). Two sources that share an owner make a pair; each is cropped, turned, mirrored and
recoloured on its own, and the shared surface still says which patches belong together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from training.assets import Assets, random_camera, random_motion, repaint
from training.flow import flow_places
from training.scenes import Float, Layer, Scene
from training.textures import Image, Rng, random_texture

PATCH = 14
_FRAME_HW = (256, 304)
_KEPT = 48  # pairs that wait to be seen again: rendering costs more than taking a view
# Patches down and across, by progress: small views first, which are cheap, then the real sizes.
_GRIDS = (
    (0.30, ((10, 10), (12, 12), (10, 15))),
    (0.65, ((12, 12), (14, 14), (12, 18))),
    (1.01, ((14, 14), (16, 16), (12, 20), (16, 22))),
)


@dataclass(frozen=True, eq=False)
class Source:
    """An image and what each pixel shows.

    Attributes:
        image_hwc: RGB uint8.
        owner_hw: int64; > 0 an object, < 0 surroundings, 0 unknown.
        surface_hw2: float32, where on the owner (x, y), in the owner's own pixels.
    """

    image_hwc: Image
    owner_hw: NDArray[np.int64]
    surface_hw2: Float


@dataclass(frozen=True, eq=False)
class ViewPairs:
    """A batch: views 2i and 2i + 1 are a pair. V views of N patches.

    Attributes:
        pixels_vhwc: RGB uint8.
        owner_vn: int64, as in `Source`, at each patch's centre.
        surface_vn2: float32.
        scene_v: int64, the surroundings of each view (equal for two views of one place).
    """

    pixels_vhwc: torch.Tensor
    owner_vn: torch.Tensor
    surface_vn2: torch.Tensor
    scene_v: torch.Tensor


class PairMaker:
    """Draws pairs of sources from assets.

    Four kinds take turns: one scene at two distant times; the same objects in two scenes with
    different surroundings; one photograph or clip frame twice; two frames of a real clip, joined by
    optical flow.
    """

    def __init__(self, assets: Assets, rng: Rng) -> None:
        self.assets = assets
        self.rng = rng
        self._numbers: dict[Hashable, int] = {}
        self._textures = self._drawn = 0
        self._recent: deque[tuple[Source, Source]] = deque(maxlen=_KEPT)

    def pairs(self, count: int) -> list[tuple[Source, Source]]:
        """Half of them new; the others are drawn from the last ones, to be seen in new views."""
        kinds: tuple[Callable[[], tuple[Source, Source]], ...]
        if self.assets.photos or self.assets.clips:
            kinds = (self.same_scene, self.other_scene, self.still_twice, self.flow_pair)
        else:  # surroundings must not tell which object it is: they nearly always change
            kinds = (self.other_scene, self.other_scene, self.other_scene, self.same_scene)
        while len(self._recent) < count:
            self._recent.append(kinds[len(self._recent) % len(kinds)]())
        new = []
        for _ in range((count + 1) // 2):
            self._drawn += 1
            new.append(kinds[self._drawn % len(kinds)]())
        old = self.rng.choice(len(self._recent), count - len(new), replace=False)
        pairs = new + [self._recent[i] for i in old]
        self._recent.extend(new)
        return pairs

    def same_scene(self) -> tuple[Source, Source]:
        rng = self.rng
        key, background = self._surroundings()
        layers = self._layers([self.assets.sprite(rng) for _ in range(int(rng.integers(2, 6)))])
        scene = Scene([background], layers, random_camera(rng), int(rng.integers(2**31)))
        first = rng.uniform(0, 8)
        return self._shot(scene, key, first), self._shot(scene, key, first + rng.uniform(8, 40))

    def other_scene(self) -> tuple[Source, Source]:
        rng = self.rng
        shared = [self.assets.sprite(rng) for _ in range(int(rng.integers(1, 4)))]
        shots: list[Source] = []
        keys: list[int] = []
        while len(shots) < 2:
            key, background = self._surroundings()
            if key in keys:
                continue
            extra = [self.assets.sprite(rng) for _ in range(int(rng.integers(0, 3)))]
            layers = self._layers(extra) + self._layers(shared)
            scene = Scene([background], layers, random_camera(rng), int(rng.integers(2**31)))
            shots.append(self._shot(scene, key, rng.uniform(0, 10)))
            keys.append(key)
        return shots[0], shots[1]

    def still_twice(self) -> tuple[Source, Source]:
        portraits = self.assets.portraits
        if portraits and self.rng.random() < 0.4:
            image, mask_hw = portraits[int(self.rng.integers(len(portraits)))]
            source = _plain_source(image, self._number(("photo", id(image))))
            source.owner_hw[mask_hw > 0] = -self._number(("person", id(image)))
        else:
            key, image = self._surroundings(textures=not (self.assets.photos or self.assets.clips))
            source = _plain_source(image, key)
        return source, source

    def flow_pair(self) -> tuple[Source, Source]:
        """Two frames of a clip; pixels without a consistent flow belong to nobody."""
        if not self.assets.clips:
            return self.still_twice()
        index = int(self.rng.integers(len(self.assets.clips)))
        clip = self.assets.clips[index]
        gap = min(int(self.rng.integers(2, 13)), len(clip) - 1)
        start = int(self.rng.integers(len(clip) - gap))
        first, second = clip[start], clip[start + gap]
        if self.rng.random() < 0.5:
            first, second = second, first
        key = self._number(("clip", index))
        surface, known = flow_places(first, second)
        if known.mean() < 0.3:
            return self.still_twice()
        owner = np.where(known, key, 0)
        return _plain_source(first, key), Source(second, owner, surface)

    def _surroundings(self, textures: bool = True) -> tuple[int, Image]:
        """A still background and its (negative) number."""
        rng, draw = self.rng, self.rng.random()
        if self.assets.clips and draw < 0.45:
            index = int(rng.integers(len(self.assets.clips)))
            clip = self.assets.clips[index]
            return self._number(("clip", index)), clip[int(rng.integers(len(clip)))]
        if self.assets.photos and (draw < 0.8 or not textures):
            image = self.assets.photos[int(rng.integers(len(self.assets.photos)))]
            return self._number(("photo", id(image))), image
        self._textures += 1
        return self._number(("texture", self._textures)), random_texture(rng, 288)

    def _layers(self, sprites: Sequence[NDArray[np.uint8]]) -> list[Layer]:
        return [Layer(sprite, random_motion(self.rng)) for sprite in sprites]

    def _shot(self, scene: Scene, key: int, t: float) -> Source:
        height, width = _FRAME_HW
        frame = scene.render(t, width, height)
        owners = [key] + [-self._number(("sprite", id(layer.sprite))) for layer in scene.layers]
        return Source(frame.image_hwc, np.array(owners)[frame.layer_hw], frame.surface_hw2)

    def _number(self, key: Hashable) -> int:
        return -self._numbers.setdefault(key, len(self._numbers) + 1)


def _plain_source(image: Image, key: int) -> Source:
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return Source(image, np.full((height, width), key), np.dstack([x, y]))


def shared_place(rng: Rng, a: Source, b: Source) -> tuple[NDArray, NDArray] | None:
    """A pixel (x, y) of each source that shows the same place, on an object if there is one."""
    step = 6
    owners_a, owners_b = (s.owner_hw[step // 2 :: step, step // 2 :: step] for s in (a, b))
    common = np.intersect1d(owners_a, owners_b)
    objects, rest = common[common > 0], common[common < 0]
    pick = objects if len(objects) and (not len(rest) or rng.random() < 0.7) else rest
    if not len(pick):
        return None
    owner = int(rng.choice(pick))
    yx_a, yx_b = (
        np.argwhere(owners == owner) * step + step // 2 for owners in (owners_a, owners_b)
    )
    chosen = yx_a[int(rng.integers(len(yx_a)))]
    surface = b.surface_hw2[yx_b[:, 0], yx_b[:, 1]] - a.surface_hw2[chosen[0], chosen[1]]
    nearest = yx_b[int(np.square(surface).sum(-1).argmin())]
    return chosen[::-1].astype(np.float64), nearest[::-1].astype(np.float64)


def _placement(rng: Rng, image_hw: Sequence[int], size_hw: Sequence[int], anchor: NDArray) -> Float:
    """The 2 x 3 map from pixels of a random view to pixels of the image; it shows `anchor`."""
    image_wh, size_wh = np.array(image_hw[::-1]), np.array(size_hw[::-1])
    reach = np.exp(rng.uniform(np.log(0.4), np.log(1.0))) * min(image_wh / size_wh)
    stretch = np.exp(rng.normal(0, 0.1))
    angle = rng.uniform(-np.pi, np.pi) if rng.random() < 0.08 else rng.normal(0, 0.15)
    cos, sin = np.cos(angle), np.sin(angle)
    mirror = -1.0 if rng.random() < 0.3 else 1.0
    turn = np.array([[cos, -sin], [sin, cos]]) @ np.diag([mirror, 1.0])
    linear = turn @ np.diag([reach * stretch, reach / stretch])
    centre = anchor - linear @ (rng.uniform(-0.35, 0.35, 2) * size_wh)
    half = np.minimum(reach * size_wh / 2, image_wh / 2)
    centre = np.clip(centre, half, image_wh - half)
    offset = centre - linear @ (size_wh / 2)
    return np.column_stack([linear, offset]).astype(np.float32)


def _recolour(rng: Rng, image: Image) -> Image:
    """Another light and another camera: saturation, hue, gains, contrast, blur, noise, coding.

    Mild: colour is the first thing that tells a small model's objects apart.
    """
    grey = np.full((3, 3), 1 / 3)
    saturation = 0.0 if rng.random() < 0.02 else rng.uniform(0.85, 1.15)
    axis = np.cross(np.eye(3), np.full(3, 1 / np.sqrt(3)))
    angle = rng.normal(0, 0.03)
    hue = grey + np.cos(angle) * (np.eye(3) - grey) + np.sin(angle) * axis
    colour = grey + saturation * (hue - grey)
    contrast = rng.uniform(0.88, 1.12)
    gains = contrast * rng.normal(1, 0.02, 3)
    lift = image.mean() * (rng.uniform(0.92, 1.08) - contrast)
    matrix = np.column_stack([gains[:, None] * colour, np.full(3, lift)])
    out = cv2.transform(image, matrix)
    if rng.random() < 0.25:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.4, 1.5))
    if rng.random() < 0.25:
        noise = rng.normal(0, rng.uniform(2, 10), out.shape[:2])
        out = np.clip(out + noise[..., None], 0, 255).astype(np.uint8)
    if rng.random() < 0.15:
        quality = int(rng.integers(25, 85))
        _, coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, quality])
        out = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return np.asarray(out, np.uint8)


def take_view(
    rng: Rng, source: Source, grid_hw: tuple[int, int], anchor: NDArray
) -> tuple[Image, NDArray[np.int64], Float]:
    """Pixels, and owner and surface at the patch centres, of a random view that shows `anchor`."""
    rows, columns = grid_hw
    size_hw = (rows * PATCH, columns * PATCH)
    to_image = _placement(rng, source.image_hwc.shape[:2], size_hw, anchor)
    y, x = np.mgrid[0:rows, 0:columns].reshape(2, -1) * PATCH + (PATCH - 1) / 2
    places = np.rint(to_image[:, :2] @ np.stack([x, y]) + to_image[:, 2:]).astype(np.int64)
    height, width = source.image_hwc.shape[:2]
    inside = (places >= 0).all(0) & (places[0] < width) & (places[1] < height)
    px, py = np.where(inside, places, 0)
    owner = np.where(inside, source.owner_hw[py, px], 0)
    image = source.image_hwc
    if np.linalg.norm(to_image[:, 0]) > 1.6:  # shrink first: bilinear sampling would alias
        image = cv2.pyrDown(image)
        to_image = to_image / 2
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    pixels = cv2.warpAffine(
        image, to_image, size_hw[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT
    )
    return _recolour(rng, np.asarray(pixels, np.uint8)), owner, source.surface_hw2[py, px]


def make_batch(maker: PairMaker, count: int, grid_hw: tuple[int, int]) -> ViewPairs:
    """`count` pairs of views, all of `grid_hw` patches."""
    rng, views, scenes = maker.rng, [], []
    for pair in maker.pairs(count):
        while (places := shared_place(rng, *pair)) is None:
            pair = maker.still_twice()  # the common object ended up hidden or out of view
        for source, place in zip(pair, places, strict=True):
            views.append(take_view(rng, source, grid_hw, place))
            scenes.append(int(source.owner_hw[source.owner_hw < 0].max(initial=-(2**31))))
    pixels, owners, surfaces = zip(*views, strict=True)
    return ViewPairs(
        torch.from_numpy(np.stack(pixels)),
        torch.from_numpy(np.stack(owners)),
        torch.from_numpy(np.stack(surfaces)),
        torch.tensor(scenes),
    )


def random_patches(assets: Assets, rng: Rng, views: int = 200) -> NDArray[np.uint8]:
    """Patches of random views, (n, PATCH, PATCH, 3): what the model will have to describe."""
    maker, rows, columns = PairMaker(assets, rng), 10, 12
    pixels = [make_batch(maker, 4, (rows, columns)).pixels_vhwc.numpy() for _ in range(views // 8)]
    grid = np.concatenate(pixels).reshape(-1, rows, PATCH, columns, PATCH, 3)
    return grid.swapaxes(2, 3).reshape(-1, PATCH, PATCH, 3)[::3]


class Batches(torch.utils.data.IterableDataset):
    """Endless batches; `progress` (a shared tensor, 0 to 1) sets the size of the views."""

    def __init__(self, assets: Assets, pairs: int, seed: int, progress: torch.Tensor) -> None:
        self.assets, self.pairs, self.seed, self.progress = assets, pairs, seed, progress

    def __iter__(self) -> Iterator[ViewPairs]:
        cv2.setNumThreads(1)
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((self.seed, worker.id if worker else 0))
        maker = PairMaker(self.assets, rng)
        while True:
            progress = float(self.progress)
            grids = next(sizes for until, sizes in _GRIDS if progress < until)
            yield make_batch(maker, self.pairs, grids[int(rng.integers(len(grids)))])
            repaint(rng, self.assets, 1)
