"""Models beside measured responses to stimulation: tables of experiments, scores, opponents and a verdict.

An opponent is a function that returns `Predictor`s for the pairs of a table: `wiring_predictors` from the connectome,
`recording_predictors` from the recordings. `score_run` puts all of them through the same scorer.
"""
