"""What the fitted brain of a run does: criticality, stability, strengths and time constants, beside controls."""

from __future__ import annotations

from connfit.brain_analysis.options import AnalysisOptions
from connfit.brain_analysis.run import analyze_fit, analyze_run, in_short

__all__ = ["AnalysisOptions", "analyze_fit", "analyze_run", "in_short"]
