import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from tracker.models.nearest import nearest


def unit_vectors(count, width, seed):
    vectors = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize(("queries", "targets", "width"), [(300, 200, 64), (1, 50, 8), (40, 1, 16)])
def test_same_numbers_as_scikit_learn(queries, targets, width):
    query, target = unit_vectors(queries, width, 1), unit_vectors(targets, width, 2)
    distances, indices = NearestNeighbors(n_neighbors=1).fit(target).kneighbors(query)
    found = nearest(query, target)
    np.testing.assert_array_equal(found.indices_n, indices[:, 0])
    np.testing.assert_allclose(found.distances_n, distances[:, 0], atol=1e-5)


def test_mutual_is_what_two_searches_say():
    query, target = unit_vectors(120, 16, 3), unit_vectors(90, 16, 4)
    there, back = nearest(query, target), nearest(target, query)
    expected = back.indices_n[there.indices_n] == np.arange(len(query))
    np.testing.assert_array_equal(there.mutual_n, expected)
    assert 0 < expected.sum() < len(query)


def test_distances_of_near_identical_features_keep_their_digits():
    target = unit_vectors(50, 256, 5)
    query = target + np.float32(1e-6)
    exact = np.linalg.norm(query.astype(np.float64) - target, axis=1)
    np.testing.assert_allclose(nearest(query, target).distances_n, exact, rtol=1e-2)
    assert (nearest(target, target).distances_n == 0).all()


def test_no_query_finds_nothing_and_no_target_is_refused():
    some, none = unit_vectors(3, 4, 6), np.zeros((0, 4), np.float32)
    assert len(nearest(none, some).indices_n) == 0
    with pytest.raises(ValueError, match="no target"):
        nearest(some, none)
    with pytest.raises(ValueError, match=r"\(3, 4\) and \(2, 5\)"):
        nearest(some, unit_vectors(2, 5, 7))
