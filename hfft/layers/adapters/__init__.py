"""Adapters of PEFT: their arguments, added to a model, continued, merged."""
