"""PEFT adapters: check their arguments, add them to a model, continue a published one, merge them."""
