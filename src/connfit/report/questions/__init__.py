"""Questions that a sceptical reader asks of a fitted whole-brain model, answered from a run's files."""
