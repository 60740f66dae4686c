"""How good a fit is: forecasts, scores with intervals, ceilings, baselines and studies.

`baselines` has one file a baseline; `study` repeats a fit for ablations, null connectomes and seeds. Nothing here
draws: tables and figures belong to `connfit.report`.
"""
