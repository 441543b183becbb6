"""Estimates before training: the memory and time that a run will need on this machine."""
