"""What is in a user's own files: which are wiring and which recordings, what their columns are, a configuration.

`sorting` says what each file is, `connectome_files` how wiring is recognised, `usual_names` which names columns have in
the field; `checking` reads everything, and `config_text` writes the configuration. Guesses are said, never silent.
"""

from __future__ import annotations

from connfit.datasets.own_files.checking import CheckedData, check_data
from connfit.datasets.own_files.config_text import config_text
from connfit.datasets.own_files.user_answers import Answers, Question

__all__ = ["Answers", "CheckedData", "Question", "check_data", "config_text"]
