"""Signatures of criticality, their null models, and how much a recording could have shown."""
