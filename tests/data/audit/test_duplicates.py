from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from scipy.fft import dctn, idctn

from rescan.data.audit import duplicates

TURNS = {
    0: lambda image: image,
    1: np.fliplr,
    2: np.flipud,
    3: lambda image: np.rot90(image, 2),
    4: lambda image: image.T,
    5: lambda image: np.rot90(image, -1),
    6: np.rot90,
    7: lambda image: np.rot90(image.T, 2),
}


def textures(count, seed=0):
    """Images of smooth noise, none like another, of varying size."""
    rng = np.random.default_rng(seed)
    shapes = rng.integers(90, 160, (count, 2))
    noise = [cv2.GaussianBlur(rng.normal(size=shape).astype(np.float32), (0, 0), 3) for shape in shapes]
    return [cv2.normalize(image, None, 10, 220, cv2.NORM_MINMAX).astype(np.uint8) for image in noise]


def thumbnails(images):
    return np.stack([duplicates.thumbnail(np.ascontiguousarray(image)) for image in images])


def test_coefficients_are_those_of_scipy():
    thumbs = thumbnails(textures(3))
    expected = [dctn(thumb.astype(float), norm="ortho")[:16, :16] for thumb in thumbs]
    np.testing.assert_allclose(duplicates.coefficients(thumbs), expected, atol=0.01)


@pytest.mark.parametrize("orientation", range(8))
def test_orientations_are_those_of_a_square(orientation):
    square = np.arange(25).reshape(1, 5, 5)
    np.testing.assert_array_equal(duplicates.oriented(square, orientation)[0], TURNS[orientation](square[0]))


@pytest.mark.parametrize("orientation", range(8))
def test_hash_of_an_orientation_is_that_of_the_turned_image(orientation):
    thumbs = thumbnails(textures(20))
    turned = duplicates.hashes(duplicates.coefficients(duplicates.oriented(thumbs, orientation)))
    derived = duplicates.hashes(duplicates.coefficients(thumbs), orientation)
    assert set(np.unique(derived)) == {-1, 1}
    assert (turned != derived).sum(axis=1).max() <= 2  # coefficients at the very median may round either way


@pytest.mark.parametrize("orientation", range(8))
def test_finds_a_copy_in_every_orientation_and_says_which(orientation):
    images = textures(12)
    pairs = duplicates.near_duplicates(thumbnails([*images, *(TURNS[orientation](image) for image in images)]))
    inverse = {5: 6, 6: 5}.get(orientation, orientation)
    np.testing.assert_array_equal(np.sort(pairs, axis=0), [[i, i + 12, inverse] for i in range(12)])


def recompressed(image, quality):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)


def test_recall_and_precision_on_changed_copies():
    images = textures(200)
    changes = [
        lambda image: cv2.convertScaleAbs(image, alpha=0.6),
        lambda image: cv2.convertScaleAbs(image, alpha=0.7, beta=60),
        lambda image: recompressed(image, 60),
        lambda image: recompressed(np.ascontiguousarray(np.fliplr(cv2.convertScaleAbs(image, alpha=1.1))), 75),
        lambda image: cv2.cvtColor(np.ascontiguousarray(np.rot90(image, 2)), cv2.COLOR_GRAY2RGB),
    ]
    copies = [changes[index % len(changes)](image) for index, image in enumerate(images)]
    found = duplicates.near_duplicates(thumbnails([*images, *copies]))
    found = {(first, second) for first, second, _ in found.tolist()}
    true = {(index, index + 200) for index in range(200)}
    assert len(found & true) >= 0.95 * len(true)
    assert len(found & true) >= 0.99 * len(found)


def flipped(thumb, count, rng):
    """A copy that looks the same, but `count` of the bits of its hash that are compared first differ, or nearly so."""
    frequencies = dctn(thumb, norm="ortho")
    few = np.arange(256)[duplicates.FEW_BITS]
    weak = few[np.argsort(np.abs(frequencies[:16, :16].ravel()[few]))[:60]]
    frequencies[np.divmod(rng.choice(weak, count, replace=False), 16)] *= -1
    return idctn(frequencies, norm="ortho")


def every_pair(thumbs):
    """What `near_duplicates` finds, by looking at every pair in every orientation: (first, second, orientation).

    And the distance and the correlation of each.
    """
    bits = [duplicates.hashes(duplicates.coefficients(thumbs), orientation) for orientation in range(8)]
    pairs = [(*pair, turn) for pair in itertools.combinations(range(len(thumbs)), 2) for turn in range(8)]
    distances = np.array([(bits[0][first] != bits[turn][second]).sum() for first, second, turn in pairs])
    turned = [[TURNS[turn](thumb).ravel() for thumb in thumbs.astype(float)] for turn in range(8)]
    count = len(thumbs)
    correlations = [np.corrcoef(turned[0], turned[turn])[:count, count:] for turn in range(8)]
    return np.array(pairs), distances, np.array([correlations[turn][first, second] for first, second, turn in pairs])


@pytest.mark.parametrize("seed", range(4))
def test_finds_what_a_look_at_every_pair_finds(seed, monkeypatch):
    monkeypatch.setattr(duplicates, "BLOCK", 16)
    rng = np.random.default_rng(seed)
    thumbs = thumbnails(textures(6, seed)).astype(float)
    thumbs[5] += thumbs[5].T  # one that matches in two orientations
    noisy = [thumb + rng.normal(0, noise, thumb.shape) for thumb in thumbs for noise in range(0, 16, 3)]
    changed = [flipped(thumb, count, rng) for thumb in thumbs for count in range(8, 26, 2)]
    copies = [TURNS[int(rng.integers(8))](thumb) for thumb in (*noisy, *changed)]
    thumbs = np.concatenate([thumbs, copies]).astype(np.float16)
    pairs, distances, correlations = every_pair(thumbs)
    near, alike = distances <= 16, correlations >= 0.95
    # Each threshold decides about some, and some are just on either side of the first.
    assert min((near & alike).sum(), (near & ~alike).sum(), (~near & alike).sum()) > 5
    assert min((alike & (distances > low) & (distances <= low + 4)).sum() for low in (12, 16)) > 5
    found = duplicates.near_duplicates(thumbs)
    np.testing.assert_array_equal(found[np.lexsort(found.T[::-1])], pairs[near & alike])


def test_blocks_do_not_change_what_is_found(monkeypatch):
    images = textures(15)
    thumbs = thumbnails([*images, *map(np.fliplr, images)])
    whole = duplicates.near_duplicates(thumbs)
    monkeypatch.setattr(duplicates, "BLOCK", 4)
    parts = duplicates.near_duplicates(thumbs)
    assert len(whole) == 15
    np.testing.assert_array_equal(np.unique(parts, axis=0), np.unique(whole, axis=0))


def test_a_hit_that_does_not_correlate_is_no_duplicate(monkeypatch):
    monkeypatch.setattr(duplicates, "MAX_DISTANCE", 256)
    assert len(duplicates.near_duplicates(thumbnails(textures(6)))) == 0


def test_constant_images_match_nothing():
    blank = [np.full((40, 40), value, np.uint8) for value in (0, 0, 200)]
    assert len(duplicates.near_duplicates(thumbnails(blank))) == 0


def test_components_chain_relations_and_count_from_the_first_sample():
    patients = duplicates.same(["a", "", "b", "a", "", "b"])
    np.testing.assert_array_equal(patients, [[0, 3], [2, 5]])
    np.testing.assert_array_equal(duplicates.components(6, patients), [0, 1, 2, 0, 3, 2])
    np.testing.assert_array_equal(
        duplicates.components(6, patients, np.array([[3, 4, 1], [4, 5, 0]])), [0, 1, 0, 0, 0, 0]
    )
    np.testing.assert_array_equal(duplicates.components(2), [0, 1])


def test_volumes_that_all_look_alike_are_copies_only_if_much_nearer_than_usual():
    """Registered brains of different patients: by a fixed correlation most of them would be one another's copies."""
    rng = np.random.default_rng(0)
    anatomy = cv2.GaussianBlur(textures(1)[0], (0, 0), 3).astype(np.float32)
    own = [cv2.GaussianBlur(rng.normal(0, 30, anatomy.shape).astype(np.float32), (0, 0), 2) for _ in range(30)]
    patients = thumbnails([np.clip(anatomy + noise, 0, 255).astype(np.uint8) for noise in own])
    copy = np.clip(0.8 * (anatomy + own[4]) + rng.normal(0, 1, anatomy.shape), 0, 255).astype(np.uint8)
    thumbs = np.concatenate([patients, thumbnails([copy])])
    pearson = np.corrcoef(thumbs.reshape(31, -1).astype(float))[np.triu_indices(31, 1)]
    least = duplicates.least_correlation(thumbs)
    assert least == pytest.approx(1 - 0.1 * (1 - np.median(pearson)), abs=1e-5)
    assert len(duplicates.near_duplicates(thumbs)) > 50
    assert duplicates.near_duplicates(thumbs, least)[:, :2].tolist() == [[4, 30]]


def test_the_usual_threshold_holds_where_volumes_differ_or_are_few():
    assert duplicates.least_correlation(thumbnails(textures(40))) == duplicates.MIN_CORRELATION
    same = thumbnails([textures(1)[0]] * 2)
    assert duplicates.least_correlation(same) == duplicates.least_correlation(same[:0]) == duplicates.MIN_CORRELATION
