"""Acquisition functions of active learning: which unlabelled rows to label next. Arrays in, row numbers out."""
