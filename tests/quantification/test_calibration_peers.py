"""Every way of fitting against statsmodels, to 1e-9: coefficients, covariance, bands, scatter, lack of fit."""

import numpy as np
import pytest
import statsmodels.api as sm

from napari_mpi_track.quantification.calibration import fit_calibration

WEIGHTS = ("auto", "none", "replicates", "1/x", "1/x2")
LEVELS = np.repeat([0.0, 2e3, 1e4, 5e4, 1e5, 2.5e5], 4)
PLACES = np.array([0.0, 1e3, 6e4, 2.5e5, 4e5])


def samples(seed):
    mu = 3.0 + 1e-3 * LEVELS
    return mu + np.hypot(1.0, 0.03 * mu) * np.random.default_rng(seed).standard_normal(LEVELS.size)


def peer_of(fit, y):
    """Return statsmodels' fit of the same samples, weighted by the inverse of the variance that ours states."""
    design = LEVELS[:, None] if fit.through_origin else sm.add_constant(LEVELS)
    variance = np.broadcast_to(fit.variance_model.variance(LEVELS, y - fit.residuals), LEVELS.shape)
    return sm.WLS(y, design, weights=1.0 / variance).fit()


@pytest.mark.parametrize("through_origin", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_lines_covariances_and_bands_are_those_of_statsmodels(weights, seed, through_origin):
    y = samples(seed)
    ours = fit_calibration(LEVELS, y, kind="in-cells", weights=weights, through_origin=through_origin)
    theirs = peer_of(ours, y)
    close = {"rtol": 1e-9}
    part = slice(1, None) if through_origin else slice(None)
    np.testing.assert_allclose([ours.intercept, ours.slope][part], theirs.params, **close)
    covariance = theirs.cov_params()
    if weights == "replicates":
        # The scatter is the replicates' own, not that of the residuals about the line.
        within = np.sum([(g - g.mean()) ** 2 for g in y.reshape(6, 4)]) / 18
        assert ours.degrees_of_freedom == 18
        assert ours.variance_model.sd**2 == pytest.approx(within, rel=1e-9)
        covariance = theirs.normalized_cov_params
    np.testing.assert_allclose(np.array(ours.covariance)[part, part], covariance, **close)
    places = PLACES[:, None] if through_origin else sm.add_constant(PLACES)
    variance = np.einsum("ij,jk,ik->i", places, covariance, places)
    np.testing.assert_allclose(ours.line_variance_at(PLACES), variance, **close)
    if weights != "replicates":
        se = theirs.get_prediction(places).se_mean
        np.testing.assert_allclose(np.sqrt(ours.line_variance_at(PLACES)), se, rtol=1e-9, atol=1e-15)
    assert ours.r_squared == pytest.approx(theirs.rsquared, rel=1e-9)


@pytest.mark.parametrize("through_origin", [False, True])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_lack_of_fit_is_statsmodels_comparison_of_two_models(weights, through_origin):
    y = samples(3) + 2e-10 * LEVELS**2
    ours = fit_calibration(LEVELS, y, kind="in-cells", weights=weights, through_origin=through_origin)
    line = peer_of(ours, y)
    groups = np.equal.outer(LEVELS, np.unique(LEVELS)).astype(float)
    f_ratio, p_value, _ = sm.WLS(y, groups, weights=line.model.weights).fit().compare_f_test(line)
    assert ours.lack_of_fit.f_ratio == pytest.approx(f_ratio, rel=1e-9)
    assert ours.lack_of_fit.p_value == pytest.approx(p_value, rel=1e-8)


@pytest.mark.parametrize("shift", [0.0, 1e6, 1e9])
def test_standards_far_from_zero_keep_nine_digits(shift):
    # The line of NIST's Norris family is as good far out, where normal equations lose their digits.
    x = shift + np.repeat([1.0, 2.0, 3.0, 5.0, 8.0], 2)
    y = 7.0 + 0.25 * (x - shift) + np.array([0.1, -0.1, 0.2, -0.2, 0.05, -0.05, 0.3, -0.3, 0.02, -0.02])
    fit = fit_calibration(x, y, kind="in-cells", weights="none")
    # Pairs lie evenly about a line of slope 0.25, so that is the fit.
    assert fit.slope == pytest.approx(0.25, rel=1e-9)
    near = fit_calibration(x - shift, y, kind="in-cells", weights="none")
    assert fit.slope_se == pytest.approx(near.slope_se, rel=1e-9)
    assert fit.residual_sd == pytest.approx(near.residual_sd, rel=1e-7)
