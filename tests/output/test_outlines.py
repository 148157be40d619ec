"""Polygons give back the pixels they were made of, in the readers they are meant for."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from tracker.masks import iou
from tracker.output.export.outlines import centre_polygons, edge_polygons, join_parts


def blobs(seed: int, level: float = 0.5) -> np.ndarray:
    """Parts, holes and single pixels, up to the border."""
    noise = np.random.default_rng(seed).random((60, 71)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 1.6) > level


def filled_by_coco(polygons, height, width):
    codes = coco_mask.frPyObjects([p.ravel().tolist() for p in polygons], height, width)
    return coco_mask.decode(coco_mask.merge(codes)).astype(bool)


def filled_by_opencv(polygons, height, width):
    out = np.zeros((height, width), np.uint8)
    for polygon in polygons:
        cv2.fillPoly(out, [polygon.astype(np.int32)], 1)
    return out.astype(bool)


def filled_by_pillow(polygons, height, width):
    out = Image.new("1", (width, height))
    for polygon in polygons:
        ImageDraw.Draw(out).polygon([tuple(p) for p in polygon.tolist()], outline=1, fill=1)
    return np.array(out)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("level", [0.48, 0.5, 0.53])
def test_edges_give_back_every_pixel_in_coco(seed, level):
    mask_hw = blobs(seed, level)
    assert (filled_by_coco(edge_polygons(mask_hw), *mask_hw.shape) == mask_hw).all()


@pytest.mark.parametrize("fill", [filled_by_opencv, filled_by_pillow])
@pytest.mark.parametrize("seed", range(10))
def test_centres_give_back_the_mask_where_borders_are_filled(seed, fill):
    mask_hw = blobs(seed)
    assert iou(fill(centre_polygons(mask_hw), *mask_hw.shape), mask_hw) > 0.995


@pytest.mark.parametrize("fill", [filled_by_opencv, filled_by_pillow])
def test_a_ring_and_a_pixel_are_exact(fill):
    rows, columns = np.mgrid[:40, :50]
    distance = np.hypot(rows - 20, columns - 20)
    mask_hw = (distance < 15) & (distance > 6)
    mask_hw[39, 49] = True
    polygons = centre_polygons(mask_hw)
    assert len(polygons) == 2
    assert all(len(polygon) >= 3 for polygon in polygons)
    assert (fill(polygons, 40, 50) == mask_hw).all()


def test_many_parts_become_one_polygon_with_the_same_pixels():
    specks = np.random.default_rng(0).random((60, 71)) < 0.06
    parts = edge_polygons(specks)
    assert len(parts) > 150
    (joined,) = join_parts(parts, most_px=math.inf)
    assert (filled_by_coco([joined], 60, 71) == specks).all()


def test_the_shortest_bridges_are_taken():
    """The largest part and three pixels in a row, 2, 3 and 5 apart: each is joined to the next."""
    mask_hw = np.zeros((3, 13), bool)
    mask_hw[1, [0, 1, 3, 6, 11]] = True
    polygons = centre_polygons(mask_hw)
    assert [len(join_parts(polygons, most)) for most in (1, 2, 4, 5, 9, 10)] == [
        *(4, 3, 3, 2, 2, 1)
    ]


def test_near_parts_become_one_polygon_and_far_ones_stay():
    mask_hw = np.zeros((40, 100), bool)
    mask_hw[5:30, 0:30] = mask_hw[5:30, 33:50] = mask_hw[5:30, 90:95] = True
    polygons = join_parts(centre_polygons(mask_hw), most_px=10)
    assert len(polygons) == 2
    filled_hw = filled_by_opencv(polygons, 40, 100)
    assert (filled_hw & mask_hw).sum() == mask_hw.sum()
    assert filled_hw.sum() - mask_hw.sum() == 3  # the bridge
    assert len(join_parts(centre_polygons(mask_hw), most_px=100)) == 1
    assert len(join_parts(centre_polygons(mask_hw), most_px=0)) == 3
