"""Adaptation to another domain: how far it is, and what to expect of a model there without labels."""
