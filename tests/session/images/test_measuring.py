"""Areas and quantities, worked out by hand."""

from __future__ import annotations

from math import pi

import cv2
import numpy as np
import pytest

from tracker.errors import SettingsError
from tracker.session.images.measuring import Measured, Scale, longer_side, read_measures, total


def rectangle(width: int, height: int) -> np.ndarray:
    mask_hw = np.zeros((120, 160), bool)
    mask_hw[10 : 10 + height, 5 : 5 + width] = True
    return mask_hw


def disc(radius: int) -> np.ndarray:
    rows, columns = np.mgrid[:400, :400]
    return (rows - 200) ** 2 + (columns - 200) ** 2 <= radius**2


@pytest.fixture
def measures(tmp_path):
    def read(text: str):
        (tmp_path / "m.yaml").write_text(text)
        return read_measures(tmp_path / "m.yaml")

    return read


def test_a_scale_in_pixels(measures):
    read = measures("scale: {px_per_cm: 4}\nlabels:\n  rice: {per_cm2: {kcal: 1.5, g: 2}}\n")
    assert read.quantities == ("kcal", "g")
    rice, other = read.measure([("rice", rectangle(20, 8)), (None, rectangle(4, 4))])
    assert rice == Measured(10.0, {"kcal": 15.0, "g": 20.0})  # 160 pixels, 16 of them a cm²
    assert other == Measured(1.0, {})


@pytest.mark.parametrize(
    ("size", "mask_hw", "px_per_cm"),
    [
        ("area_cm2: 25", rectangle(50, 50), 10.0),
        ("length_cm: 8", rectangle(24, 40), 5.0),
        ("length_cm: 8", rectangle(40, 24), 5.0),
        # A disc of radius 100 pixels and 5 cm; its pixels are those within the circle.
        ("diameter_cm: 10", disc(100), 20.0),
    ],
)
def test_a_reference_object_tells_the_scale(measures, size, mask_hw, px_per_cm):
    read = measures(f"scale: {{reference: card, {size}}}\nlabels: {{rice: {{per_cm2: {{g: 1}}}}}}")
    assert read.scale.on([("card", mask_hw)]) == pytest.approx(px_per_cm, rel=2e-3)


def test_the_area_of_a_disc(measures):
    read = measures("scale: {reference: plate, diameter_cm: 26}")
    (plate,) = read.measure([("plate", disc(150))])
    assert plate.area_cm2 == pytest.approx(pi * 13**2)


def test_the_largest_reference_counts(measures):
    scale = Scale(None, "card", "length_cm", 10.0)
    assert scale.on([("card", rectangle(20, 10)), ("card", rectangle(100, 50))]) == 10.0


def test_without_the_reference_there_are_no_areas(measures):
    read = measures(
        "scale: {reference: plate, area_cm2: 500}\n"
        "labels: {rice: {per_cm2: {g: 1}}, soup: {scale: {px_per_cm: 10}, per_cm2: {g: 2}}}"
    )
    rice, soup = read.measure([("rice", rectangle(10, 10)), ("soup", rectangle(10, 10))])
    assert rice == Measured(None, {})
    assert soup == Measured(1.0, {"g": 2.0})
    assert read.missing(["rice", "soup"]) == ("plate",)
    assert read.missing(["soup"]) == ()
    assert read.missing(["rice", "plate"]) == ()


def test_totals_pass_over_what_has_no_area():
    parts = [Measured(2.0, {"g": 3.0}), Measured(None, {}), Measured(1.0, {"g": 1.0, "kcal": 5.0})]
    assert total(parts) == Measured(3.0, {"g": 4.0, "kcal": 5.0})
    assert total([Measured(None, {})]) == Measured(None, {})


def test_what_is_there_to_measure_by_is_not_in_the_sums(measures):
    square_hw = np.ones((10, 10), bool)
    objects = [("card", square_hw), ("rice", square_hw)]
    scale = "scale: {reference: card, area_cm2: 4}\n"
    once = measures(scale + "labels: {rice: {per_cm2: {g: 1}}}").measure(objects)
    assert [each.area_cm2 for each in once] == [4.0, 4.0]
    assert total(once) == Measured(4.0, {"g": 4.0})
    listed = measures(scale + "labels: {rice: {per_cm2: {g: 1}}, card: {}}").measure(objects)
    assert total(listed).area_cm2 == 8.0


def test_the_longer_side_of_a_turned_rectangle():
    mask_hw = np.zeros((200, 200), np.uint8)
    corners = cv2.boxPoints(((100, 100), (120, 40), 30)).round().astype(np.int32)
    cv2.fillPoly(mask_hw, [corners], 1)
    assert longer_side(mask_hw.astype(bool)) == pytest.approx(120, abs=2.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scale: {px_per_cm: 0}", "scale, px_per_cm: 0 must be above 0"),
        ("scale: {px_per_cm: many}", "'many' is not a number"),
        ("scale: {reference: plate}", "give px_per_cm, or reference with one of area_cm2"),
        ("scale: {reference: p, area_cm2: 3, length_cm: 3}", "give px_per_cm, or reference"),
        ("scale: {px_per_cm: 3, area_cm2: 3}", "give px_per_cm, or reference"),
        ("size: 3", "the file: unknown key 'size'; known: scale, labels"),
        ("labels: [rice]", "labels: expected a name per line"),
        ("labels: {rice: {kcal: 3}}", "rice: unknown key 'kcal'; known: per_cm2, scale"),
        ("labels: {rice: {per_cm2: {kcal: true}}}", "rice, per_cm2, kcal: True is not a number"),
        ("labels: {rice: {per_cm2: 3}}", "rice, per_cm2: expected quantities by name"),
        ("labels: {rice: 3}", "rice: expected keys per_cm2, scale"),
        ("- 3", "the file: expected keys"),
        ("{", "is not YAML"),
    ],
)
def test_what_is_written_otherwise_is_refused(measures, text, message):
    with pytest.raises(SettingsError, match=message):
        measures(text)


def test_a_missing_file(tmp_path):
    with pytest.raises(SettingsError, match=r"cannot read .*m\.yaml: No such file"):
        read_measures(tmp_path / "m.yaml")
