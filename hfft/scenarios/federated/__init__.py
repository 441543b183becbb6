"""Owners of data who exchange weights in place of rows: how rows are divided, averages of models, what a study shows."""
