"""Runs as files that other programs read: tables, scripts, NWB, figures; one file in `formats` a format.

`connfit.export.export_run.export_run` writes formats by name. A new one is a module in `connfit.export.formats`, or an
entry point of the group `connfit.exports` in another package.
"""
