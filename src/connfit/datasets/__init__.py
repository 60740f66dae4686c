"""Named datasets: where their files are, how they are downloaded, and how they become connectomes and recordings.

A dataset brings data, never options of a model or a fit. `synthetic` makes brains whose parameters are known.
Importing this package reads no file and opens no connection.
"""
