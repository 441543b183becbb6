"""The story of a fine-tune: the parts become a Trainer, which is trained, scored and published."""
