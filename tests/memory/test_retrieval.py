import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from tracker.memory.retrieval import (
    cell_coverage,
    inside_cells,
    match_patches,
    search,
    sparse_similarity,
)
from tracker.memory.store import ReferenceMemory
from tracker.types import ImageFeatures


def features(rows, columns, seed, width=12):
    rng = np.random.default_rng(seed)
    patches = rng.normal(size=(rows, columns, width)).astype(np.float32)
    patches /= np.linalg.norm(patches, axis=2, keepdims=True)
    return ImageFeatures(patches[0, 0], patches)


def test_the_formula_by_hand():
    distances = np.array([0.2, 0.4, 0.9, 0.8], np.float32)  # two are below the threshold of 0.8
    assert sparse_similarity(distances) == pytest.approx(0.5 * (1 - 0.3))
    assert sparse_similarity(np.zeros(3, np.float32)) == 1.0
    assert sparse_similarity(np.full(3, 1.5, np.float32)) == 0.0
    assert sparse_similarity(np.zeros(0, np.float32)) == 0.0
    assert sparse_similarity(np.full(3, 1.5, np.float32), threshold=2.0) == 0.0  # clipped


def test_the_reference_implementation_gives_the_same_numbers():
    reference, query = features(9, 11, 1), features(8, 13, 2)
    mask = np.zeros((90, 110), bool)
    mask[20:70, 30:80] = True
    found = match_patches(reference, mask, query)

    inside = np.zeros((9, 11), bool)
    inside[2:7, 3:8] = True
    search_tree = NearestNeighbors(n_neighbors=1).fit(query.patches_hwc.reshape(-1, 12))
    parts = []
    for cells in (inside, ~inside):
        distances, _ = search_tree.kneighbors(reference.patches_hwc[cells])
        close = distances[distances < 0.8]
        parts.append(len(close) / len(distances) * (1 - close.mean()) if len(close) else 0.0)
    assert found.foreground == pytest.approx(parts[0], abs=1e-5)
    assert found.background == pytest.approx(parts[1], abs=1e-5)
    assert found.similarity == pytest.approx(0.7 * parts[0] + 0.3 * parts[1], abs=1e-5)
    assert 0 < parts[0] < 1


def test_matches_name_the_right_cells():
    reference = features(5, 6, 3)
    shifted = ImageFeatures(reference.global_c, np.roll(reference.patches_hwc, (1, 2), axis=(0, 1)))
    mask = np.zeros((50, 60), bool)
    mask[10:30, 20:40] = True
    found = match_patches(reference, mask, shifted)
    expected = (found.reference_cells_n2 + np.array([1, 2])) % (5, 6)
    np.testing.assert_array_equal(found.query_cells_n2, expected)
    assert found.mutual_n.all()
    assert (found.distances_n == 0).all()
    assert found.inside_n.reshape(5, 6)[1:3, 2:4].all()
    assert found.inside_n.sum() == 4


def test_coverage_is_the_share_of_a_cell():
    mask = np.zeros((40, 60), bool)
    mask[:10, :15] = True  # cells of 20 x 20: a half times three quarters
    coverage = cell_coverage(mask, (2, 3))
    assert coverage[0, 0] == pytest.approx(0.375)
    assert coverage.sum() == pytest.approx(0.375)


def test_a_patch_is_inside_when_most_of_it_is():
    mask = np.zeros((40, 60), bool)
    mask[:20, :30] = True
    np.testing.assert_array_equal(inside_cells(mask, (2, 3)), [[1, 1, 0], [0, 0, 0]])


def test_a_tiny_object_takes_its_best_covered_patch():
    mask = np.zeros((40, 60), bool)
    mask[19:21, 45:48] = True
    mask[25, 45] = True
    np.testing.assert_array_equal(inside_cells(mask, (2, 3)), [[0, 0, 0], [0, 0, 1]])
    assert not inside_cells(np.zeros((40, 60), bool), (2, 3)).any()


@pytest.fixture
def memory(tmp_path, extractor, disc):
    memory = ReferenceMemory.open(tmp_path, extractor, create=True)
    memory.add(*disc(80, 60), "red")
    memory.add(*disc(120, 100, colour=(30, 60, 220)), "blue")
    memory.add(*disc(150, 80, colour=(240, 240, 30), ground=200), "yellow")
    return memory


def test_search_finds_the_image_itself_first(memory, extractor):
    for entry in memory.list():
        reference = memory.get(entry.id)
        best, *others = search(memory, extractor.extract(reference.image_hwc))
        assert best.reference_id == entry.id
        assert best.global_similarity == pytest.approx(1, abs=1e-5)
        assert best.similarity > 0.99
        assert len(others) == 2
        assert others[0].similarity >= others[1].similarity


def test_search_keeps_to_k_and_to_the_labels(memory, extractor, disc):
    query = extractor.extract(disc(80, 60)[0])
    assert [match.label for match in search(memory, query, k=1)] == ["red"]
    assert {match.label for match in search(memory, query, labels=["blue", "yellow"])} == {
        "blue",
        "yellow",
    }
    assert search(memory, query, k=1, labels=["blue"])[0].label == "blue"
    assert search(memory, query, labels=["green"]) == []


def test_an_empty_memory_finds_nothing(tmp_path, extractor, disc):
    memory = ReferenceMemory.open(tmp_path / "empty", extractor, create=True)
    assert search(memory, extractor.extract(disc(80, 60)[0])) == []
