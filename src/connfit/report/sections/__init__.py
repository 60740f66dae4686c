"""Sections of the report, each from the files of a run that it needs."""
