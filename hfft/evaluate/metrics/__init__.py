"""The metrics, one file each: the subclass of `evaluate.Metric` in it. Imported when a split is scored."""
