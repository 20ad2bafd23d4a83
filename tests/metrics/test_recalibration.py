"""Calibration against scikit-learn and SciPy, resampled patients, and the truth of simulated forecasts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import binom
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from rescan.metrics import recalibration
from rescan.metrics.intervals import wilson
from rescan.metrics.recalibration import Forecast, bin_numbers, brier, calibration_error, intercept, masses, slope


def forecast_of(probability, present, unit=None, run=None) -> Forecast:
    number = np.arange(len(probability))
    unit = number if unit is None else np.asarray(unit)
    run = np.zeros(len(number), int) if run is None else np.asarray(run)
    return Forecast(np.asarray(probability, float), np.asarray(present, bool), unit, run)


def draw(rng, n, *, too_sure=1.0, too_high=0.0, images=1) -> Forecast:
    """Forecasts whose logit is `too_sure` × (true logit) + `too_high`, of patients with equal images' outcomes."""
    truth = rng.normal(-0.5, 1.5, n)
    present = rng.random(n) < expit(truth)
    return forecast_of(*(np.repeat(of, images) for of in (expit(too_sure * truth + too_high), present, np.arange(n))))


def test_slope_equals_scikit_learn_and_intercept_a_root() -> None:
    forecast = draw(np.random.default_rng(0), 800, too_sure=1.6, too_high=0.4)
    logits = np.log(forecast.probability / (1 - forecast.probability))
    regression = LogisticRegression(C=1e10, tol=1e-10, max_iter=1000).fit(logits[:, None], forecast.present)
    assert slope(forecast).value == pytest.approx(regression.coef_[0, 0], rel=1e-4)
    root = brentq(lambda shift: (forecast.present - expit(logits + shift)).sum(), -5, 5)
    assert intercept(forecast).value == pytest.approx(root, abs=1e-6)


def test_bins_and_brier_score_equal_scikit_learn() -> None:
    forecast = draw(np.random.default_rng(1), 1000)
    observed, predicted = calibration_curve(forecast.present, forecast.probability, n_bins=10, strategy="quantile")
    found = masses(forecast, bin_numbers(forecast))
    assert [mass.rows for mass in found] == [100] * 10
    assert [mass.observed.value for mass in found] == pytest.approx(observed)
    assert [mass.predicted for mass in found] == pytest.approx(predicted)
    assert brier(forecast).value == pytest.approx(brier_score_loss(forecast.present, forecast.probability))


def test_intervals_are_those_of_resampled_patients() -> None:
    rng = np.random.default_rng(2)
    one = draw(rng, 300, too_sure=1.5)
    noise = rng.normal(0, 0.7, (2, 300))
    unit, run = np.tile(np.arange(300), 2), np.repeat([0, 1], 300)
    forecast = forecast_of(expit(one.log_odds + noise).ravel(), np.tile(one.present, 2), unit, run)
    replicates = []
    for _ in range(200):
        drawn = rng.integers(300, size=300)
        rows = np.concatenate([drawn, drawn + 300])
        own = Forecast(*(column[rows] for column in forecast[:2]), np.tile(np.arange(300), 2), run)
        replicates.append([slope(own).value, intercept(own).value, brier(own).value])
    for found, deviation in zip((slope, intercept, brier), np.std(replicates, axis=0)):
        value, low, high = found(forecast)
        assert low < value < high
        assert (high - low) / 2 / 1.96 == pytest.approx(deviation, rel=0.2), found.__name__


@given(some.lists(some.tuples(some.integers(0, 20), some.booleans()), min_size=4, max_size=60), some.integers(2, 3))
def test_seeds_that_agree_are_no_more_patients(rows: list[tuple[int, bool]], runs: int) -> None:
    probability, present = np.array([row[0] / 20 for row in rows]), np.array([row[1] for row in rows])
    one = forecast_of(probability, present)
    unit, run = np.tile(one.unit, runs), np.repeat(np.arange(runs), len(rows))
    several = forecast_of(np.tile(probability, runs), np.tile(present, runs), unit, run)
    for of in (brier, slope, intercept):
        assert of(several) == pytest.approx(of(one), rel=1e-3, abs=1e-5, nan_ok=True)
    bins = bin_numbers(one)
    assert bin_numbers(several).tolist() == np.tile(bins, runs).tolist()
    assert calibration_error(several, np.tile(bins, runs)) == pytest.approx(calibration_error(one, bins), abs=1e-3)


@given(some.lists(some.sampled_from([0, 0.1, 0.1, 0.25, 0.5, 0.9, 1]), min_size=1, max_size=80))
def test_bins_are_neighbors_of_about_equal_mass(probabilities: list[float]) -> None:
    forecast = forecast_of(probabilities, np.zeros(len(probabilities)))
    bins = bin_numbers(forecast)
    found = masses(forecast, bins)
    assert sum(mass.rows for mass in found) == len(probabilities)
    assert all(mass.rows for mass in found)
    assert all(left.highest < right.lowest for left, right in zip(found, found[1:]))
    assert all(mass.observed.low < 1e-9 < 0.01 < mass.observed.high for mass in found)
    most = max(np.unique(probabilities, return_counts=True)[1])
    wanted = min(10, max(2, len(probabilities) // 10))
    assert max(mass.rows for mass in found) < len(probabilities) / wanted + most + 1


def test_a_bin_without_an_event_has_wilsons_interval() -> None:
    forecast = forecast_of([0.1] * 12 + [0.8] * 8, [0] * 12 + [1] * 8)
    low, high = masses(forecast, bin_numbers(forecast))
    assert low.observed[1:] == pytest.approx(wilson(0, 12))
    assert high.observed[1:] == pytest.approx(wilson(1, 8))


def test_what_is_undefined_says_why() -> None:
    spread = [0.1, 0.2, 0.3, 0.4]
    for probability, present, why in (
        (spread, [0] * 4, "none has it"),
        (spread, [1] * 4, "all have it"),
        ([0.3] * 4, [0, 1, 0, 1], "all have the same probability"),
        (spread, [0, 0, 1, 1], "one threshold tells the two apart without an error, so that no slope fits best"),
        (spread, [1, 1, 0, 0], "one threshold tells the two apart without an error, so that no slope fits best"),
        (spread, [0, 1, 0, 1], ""),
    ):
        forecast = forecast_of(probability, present)
        assert recalibration.without_slope(forecast) == why
        assert math.isnan(slope(forecast).value) == bool(why)
        assert math.isnan(intercept(forecast).value) == (len(set(present)) == 1)
        assert not math.isnan(brier(forecast).value)


def test_a_single_patient_has_values_without_intervals() -> None:
    forecast = forecast_of([0.1, 0.6, 0.4, 0.9], [0, 1, 1, 0], [0, 0, 0, 0])
    assert math.isnan(slope(forecast).low)
    assert not math.isnan(slope(forecast).value)
    assert math.isnan(calibration_error(forecast, bin_numbers(forecast)).value)
    assert brier(forecast).high - brier(forecast).low > 0.5


def test_probabilities_of_0_and_1_are_held_away_from_them() -> None:
    forecast = forecast_of([0, 0, 1, 1, 0.5, 0.5], [0, 1, 1, 0, 1, 0])
    assert all(np.isfinite(of(forecast)).all() for of in (slope, intercept, brier))
    assert abs(slope(forecast).value) < 0.1


def test_calibration_error_of_few_is_not_what_chance_makes_of_it() -> None:
    rng = np.random.default_rng(3)
    plain, ours, covered, slopes = [], [], 0, 0
    simulations = 100
    for _ in range(simulations):
        forecast = draw(rng, 100)
        bins = bin_numbers(forecast)
        plain.append(np.average([abs(mass.predicted - mass.observed.value) for mass in masses(forecast, bins)]))
        value, low, high = calibration_error(forecast, bins)
        ours.append(value)
        covered += low == 0
        slopes += slope(forecast).low <= 1 <= slope(forecast).high
        assert low <= value <= high
        assert high >= 0.02
    least = binom.ppf(0.001, simulations, 0.95)
    assert covered >= least
    assert slopes >= least
    assert np.mean(plain) > 0.08  # of a network that is perfectly calibrated
    assert np.mean(ours) < np.mean(plain) / 2
    assert np.median(ours) < 0.03


def test_calibration_error_finds_what_is_there() -> None:
    rng = np.random.default_rng(4)
    truths = rng.normal(-0.5, 1.5, 200_000)
    probability = expit(2 * truths)
    bins = np.searchsorted(np.quantile(probability, np.arange(1, 10) / 10), probability)
    right = np.abs(np.bincount(bins, expit(truths) - probability)).sum() / len(truths)
    found = [calibration_error(of, bin_numbers(of)) for of in (draw(rng, 200, too_sure=2) for _ in range(60))]
    assert np.median([of.value for of in found]) == pytest.approx(right, abs=0.02)
    assert sum(of.low <= right <= of.high for of in found) >= binom.ppf(0.001, 60, 0.93)
    large = draw(rng, 20_000, too_sure=2)
    assert calibration_error(large, bin_numbers(large)).value == pytest.approx(right, abs=0.01)
