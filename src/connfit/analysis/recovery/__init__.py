"""Recovery of known parameters: students of teachers whose weights, time constants and hidden activity are known.

After Beiran & Litwin-Kumar 2025 (Nature Neuroscience): activity can be right while parameters are not.
"""

from connfit.analysis.recovery.design import Condition, Design, quick_design
from connfit.analysis.recovery.experiment import run_condition
from connfit.analysis.recovery.neuron_regression import regress
from connfit.analysis.recovery.recover import recover
from connfit.analysis.recovery.recovery_metrics import activity, agreement
from connfit.analysis.recovery.recovery_results import ConditionResult, Recovery
from connfit.analysis.recovery.student import Student, Training, choose_recorded, make_student
from connfit.datasets.synthetic.known_settings import TeacherSettings
from connfit.datasets.synthetic.known_teacher import KnownTeacher

__all__ = [
    "Condition",
    "ConditionResult",
    "Design",
    "KnownTeacher",
    "Recovery",
    "Student",
    "TeacherSettings",
    "Training",
    "activity",
    "agreement",
    "choose_recorded",
    "make_student",
    "quick_design",
    "recover",
    "regress",
    "run_condition",
]
