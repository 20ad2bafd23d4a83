"""The distance in feature space against SciPy's, scikit-learn's and simulated images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.decomposition import PCA

from rescan.metrics import feature_distance
from rescan.metrics.feature_distance import distances, fit, limit_of, mean_by


def vectors(count: int, size: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(count, size)) * np.geomspace(5, 0.1, size) @ random.normal(size=(size, size))
    return (mixed + 3).astype(np.float32)


def test_with_all_components_it_is_the_mahalanobis_distance_of_the_covariance():
    training, new = vectors(200, 12), vectors(20, 12, 1)
    gaussian, noise = fit(training, 0)
    assert gaussian.components.shape == (12, 12)
    inverse = np.linalg.inv(np.cov(training.T.astype(float)) + noise * np.eye(12))
    expected = [mahalanobis(vector, training.mean(0, dtype=float), inverse) for vector in new]
    np.testing.assert_allclose(distances(new, gaussian, noise), expected, rtol=1e-4)


def test_with_some_components_it_is_that_of_probabilistic_principal_components(monkeypatch):
    """scikit-learn's covariance of its model, with the least variance of each direction beside."""
    monkeypatch.setattr(feature_distance, "MOST_COMPONENTS", 5)
    training, new = vectors(300, 40), vectors(20, 40, 1)
    gaussian, noise = fit(training, 0)
    assert gaussian.components.shape == (5, 40)
    model = PCA(5, svd_solver="full").fit(training.astype(float))
    least = feature_distance.LEAST_SHARE * training.astype(float).var(axis=0, ddof=1).sum()
    assert noise == pytest.approx(model.noise_variance_ + least, rel=1e-3)
    leading = model.components_.T * model.explained_variance_ @ model.components_
    inverse = np.linalg.inv(leading + noise * np.eye(40))
    expected = [mahalanobis(vector, training.mean(0, dtype=float), inverse) for vector in new]
    np.testing.assert_allclose(distances(new, gaussian, noise), expected, rtol=1e-3)


def test_it_is_the_same_each_time_and_small_in_a_file():
    training = np.random.default_rng(0).normal(size=(300, 5000)).astype(np.float32)
    first, again = fit(training, 7), fit(training, 7)
    assert first.noise == again.noise
    assert all((one == other).all() for one, other in zip(first.gaussian, again.gaussian))
    assert sum(values.nbytes for values in first.gaussian) < 1.1e6


def test_a_network_that_gives_all_images_one_vector_flags_none_but_others():
    training = np.full((10, 8), 2, np.float32)
    gaussian, noise = fit(training, 0)
    assert distances(training, gaussian, noise).tolist() == [0] * 10
    assert distances(training + 1, gaussian, noise).min() > 100


@pytest.mark.parametrize("count", [20, 60, 199, 500])
def test_the_limit_is_exceeded_by_about_one_image_in_two_hundred(count):
    """Of distances as they are found: of normal vectors (chi), over many draws."""
    random = np.random.default_rng(count)
    shares = []
    for _ in range(300):
        held_out, others = np.sqrt(random.chisquare(10, (2, max(count, 400))))
        shares.append((others > limit_of(held_out[:count])).mean())
    assert 0.003 < np.mean(shares) < 0.011


def test_the_limit_of_many_is_the_conformal_quantile():
    held_out = np.random.default_rng(0).permutation(np.arange(1.0, 400))  # 399: the 398th of them
    assert limit_of(held_out) == 398
    assert limit_of(np.array([3.0])) == 3


def test_items_are_averaged_by_sample():
    values = np.arange(12, dtype=np.float32).reshape(6, 2)
    means = mean_by(values, np.array([0, 1, 0, 2, 2, 2]))
    assert means.tolist() == [[2, 3], [2, 3], [8, 9]]
    assert means.dtype == np.float32
