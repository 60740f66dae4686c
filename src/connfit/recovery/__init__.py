"""Recovery of known parameters: students of teachers whose weights, time constants and hidden activity are known.

After Beiran & Litwin-Kumar 2025 (Nature Neuroscience): activity can be right while parameters are not.
"""

from connfit.recovery.design import Condition, Design, quick_design
from connfit.recovery.experiment import run_condition
from connfit.recovery.metrics import activity, agreement
from connfit.recovery.record import recover
from connfit.recovery.regression import regress
from connfit.recovery.student import Student, Training, choose_recorded, make_student
from connfit.recovery.teacher import KnownTeacher, TeacherSettings

__all__ = [
    "Condition",
    "Design",
    "KnownTeacher",
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
