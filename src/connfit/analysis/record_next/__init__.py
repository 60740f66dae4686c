"""What to record or to stimulate next: where fits of several seeds, equally good on the recordings, disagree.

`ensemble` loads the fits, `ensemble_activity` runs them over the recordings, `information` says what recording a neuron
would tell of all others, `pulse_responses` what a stimulation would, `ranking` puts it together.
"""

from connfit.analysis.record_next.ensemble import Ensemble
from connfit.analysis.record_next.ranking import RecordNextOptions, record_next
from connfit.analysis.record_next.record_next_results import RecordNext

__all__ = ["Ensemble", "RecordNext", "RecordNextOptions", "record_next"]
