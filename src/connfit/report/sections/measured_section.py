"""The section of the report on measured responses to stimulation or silencing, beside what model and opponents say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from connfit.analysis.measured.experiments import REST, SILENCING, STIMULATION
from connfit.analysis.measured.response_scores import Estimate
from connfit.analysis.measured.scored_responses import ScoredResponses
from connfit.report import page
from connfit.report.figures.drawings import Drawing
from connfit.report.figures.measured_figures import drawn, measured_figure
from connfit.report.run_files import MEASURED
from connfit.report.sections.measured_words import distance_caption, label_of, measured_words
from connfit.report.wording import number, with_interval

CANNOT = (
    "A model that ranks responses well need not have the animal's mechanism: counting paths through the wiring ranks "
    "them, too.",
    "A pair without a detected response may have one that was too weak or seen too rarely.",
    "What peptides and monoamines carry has no synapse on its way; no model of the wiring can predict it.",
    "Stimulated, recorded and reconstructed animals are different ones: disagreement may be between animals.",
    "Intervals are over stimulated, or silenced, neurons. They say nothing of other fits of the same recording.",
)
"""What no such score can answer."""
WHAT = {
    STIMULATION: "responses",
    SILENCING: "changes of a response when silenced",
    REST: "changes from rest when silenced",
}
"""What is counted of each experiment."""
RANKED = {
    STIMULATION: "the pairs that respond to stimulation",
    SILENCING: "whose response to a stimulus changes when others are silenced",
    REST: "whose activity changes from rest when others are silenced",
}
"""What is ranked in each experiment."""


def title(measured: Mapping[str, ScoredResponses]) -> str:
    """Name the section by the experiments that were scored."""
    silenced = {scores.table.experiment != STIMULATION for scores in measured.values()}
    words = {(False,): "stimulation", (True,): "silencing", (False, True): "stimulation and silencing"}
    return f"Measured responses to {words[tuple(sorted(silenced))]}"


def measured_drawings(measured: Mapping[str, ScoredResponses]) -> Iterator[Drawing]:
    """Draw ROC curves and scores by distance of each table."""
    for at, (name, scores) in enumerate(measured.items()):
        if not drawn(scores):
            continue
        yield Drawing(
            f"measured_responses_{at}" if len(measured) > 1 else "measured_responses",
            f"{name}: how well the model and its opponents rank {RANKED[scores.table.experiment]}. Left: receiver "
            "operating characteristic, with the area under each curve. Right: that area among pairs of one distance "
            f"on the wiring, with 95 % intervals over {scores.neurons_that_vary} neurons; on top, how many of these "
            f"pairs {'respond' if scores.table.experiment == STIMULATION else 'change'}.",
            None,
            lambda scores=scores: measured_figure(scores),
            f"Measured responses, {name}" if at else "",
        )


def measured_blocks(measured: Mapping[str, ScoredResponses]) -> list[str]:
    """Write what was measured, what ranks it and what the differences show, table by table."""
    made = []
    for at, (name, scores) in enumerate(measured.items()):
        words = [page.paragraph(text) for text in measured_words(MEASURED.replace("*", name), scores)]
        tables = [*words, _overall(scores), page.folded("By distance on the wiring", _by_distance(scores))]
        made += [page.heading(name), *tables] if at == 0 else [page.folded(name, *tables)]
    return [*made, page.folded("What these scores cannot answer", page.bullets(CANNOT))] if made else []


def _overall(scores: ScoredResponses) -> str:
    header = [
        "predictor",
        "pairs",
        "AUROC",
        "within a stimulation" if scores.table.experiment == STIMULATION else "within a silenced neuron",
        "model minus this",
        "precision",
        "amplitude",
        "sign",
    ]
    cells = [
        [
            label_of(row), f"{row.pairs:,}", _written(row.auroc), _written(row.auroc_within),
            "" if row.model_minus_this is None else _written(row.model_minus_this),
            number(row.average_precision.value), number(row.amplitude_correlation.value),
            number(row.sign_agreement.value),
        ]
        for row in scores.predictors.values()
    ]  # fmt: skip
    caption = (
        f"{scores.table.responses:,} {WHAT[scores.table.experiment]} among {scores.table.pairs:,} pairs; 95 % "
        f"intervals over {scores.table.silenced or scores.table.stimulated:,} {scores.neurons_that_vary} neurons"
    )
    return page.table(header, cells, caption=caption)


def _by_distance(scores: ScoredResponses) -> str:
    names = list(dict.fromkeys(name for row in scores.predictors.values() for name in row.by_distance))
    cells = [
        [label_of(row), *(_written(row.by_distance[one].auroc) if one in row.by_distance else "" for one in names)]
        for row in scores.predictors.values()
    ]
    return page.table(["predictor", *names], cells, caption=distance_caption(scores))


def _written(of: Estimate) -> str:
    return with_interval(of.value, (of.low, of.high))
