"""Baselines that a fit is compared with; each is a `connfit.evaluation.forecasts.Forecaster`."""
