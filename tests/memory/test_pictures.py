import numpy as np

from tracker.memory.pictures import GAP, HEIGHT, MARK, draw_matches, mark_object
from tracker.memory.retrieval import match_patches


def test_the_object_is_tinted_and_the_rest_is_not(disc):
    image, mask = disc(80, 60, colour=(20, 200, 20))
    before = image.copy()
    picture = mark_object(image, mask)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(picture[~mask], image[~mask])
    assert picture[60, 80, 0] > 120
    assert image[60, 80, 0] == 20
    assert tuple(picture[60, 50]) == MARK  # the outline


def test_lines_join_the_matched_patches(disc, extractor):
    (reference, mask), (query, _) = disc(80, 60), disc(140, 110)
    features = extractor.extract(reference)
    matches = match_patches(features, mask, extractor.extract(query))
    picture = draw_matches(reference, mask, query, matches)
    width = HEIGHT * 240 // 180
    assert picture.shape == (HEIGHT, 2 * width + GAP, 3)
    crossing = (picture[:, width : width + GAP] != 255).any(axis=(1, 2))
    drawn = matches.inside_n & matches.mutual_n & (matches.distances_n < 0.8)
    assert crossing.any() == drawn.any()
    assert drawn.any()


def test_images_of_any_size_fit_together(disc, extractor):
    small, mask = disc(10, 10, radius=5, size=(20, 30))
    large, _ = disc(300, 200, size=(700, 500))
    matches = match_patches(extractor.extract(small), mask, extractor.extract(large))
    picture = draw_matches(small, mask, large, matches)
    assert picture.shape == (HEIGHT, 720 + GAP + 343, 3)
