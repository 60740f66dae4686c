"""The learning rules that connfit has names for; what the two dials mean is in `windowed`."""

from __future__ import annotations

from connfit.training.learners import IMMEDIATE_WINDOW, RULES, WHOLE, LearningRule

for _rule in (
    LearningRule.windowed(
        name="hybrid", label="hybrid", phrase="the hybrid rule", place=1, credit="network", carry="trace",
        does="credit exact inside each window, traces of single neurons across windows", by_window=True,
        colour="#D55E00",
    ),
    LearningRule.windowed(
        name="d-rtrl", label="D-RTRL", place=2, credit="neuron", carry="trace",
        does="credit through each neuron's own state alone, by one trace per connection", colour="#009E73",
    ),
    LearningRule.windowed(
        name="tbptt", label="truncated BPTT", place=3, credit="network", carry="none",
        does="credit exact inside each window, none from before it", by_window=True, colour="#0072B2",
    ),
    LearningRule.windowed(
        name="pp-prop", label="pp-prop", place=4, credit="neuron", carry="factorised",
        does="credit by two traces per neuron in place of one per connection", colour="#CC79A7",
    ),
    LearningRule.windowed(
        name="immediate", label="immediate", phrase="the rule without credit through time", place=5, credit="neuron",
        carry="none", does="no credit through time; parameters move after every step, at the run's own rate",
        window=IMMEDIATE_WINDOW, colour="#8C6D1F",
    ),
    LearningRule.windowed(
        name="bptt", label="BPTT", place=6, credit="network", carry="none",
        does="credit exact through the whole recording",
        window=WHOLE, in_studies=False, colour="#000000",
    ),
):  # fmt: skip
    RULES.register(_rule)
