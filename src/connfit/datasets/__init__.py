"""Named datasets: where their files are, how they are downloaded, and how they become connectomes and recordings.

A dataset has data and dataset defaults: preprocessing, and the few options of a fit that its size or tables ask for.
`synthetic` makes brains whose parameters are known.
Importing this package reads no file and opens no connection.
"""
