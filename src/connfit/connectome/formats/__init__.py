"""Formats of connectomes in files, one file a format; each becomes an edge table and, if it has one, a neuron table.

To add a format, put a module with a function of files into this folder and register a `ConnectomeFormat` there; other
packages name theirs under the entry points `connfit.connectomes`.
"""

from connfit.connectome.formats.connectome_format import FORMATS, ConnectomeFormat, WiringTables, read_connectome

__all__ = ["FORMATS", "ConnectomeFormat", "WiringTables", "read_connectome"]
