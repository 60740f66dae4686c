"""Readers of recordings, one file a format; each returns a `connfit.recordings.Recording`."""
