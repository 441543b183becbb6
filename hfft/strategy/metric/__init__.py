"""Methods that learn the distances between features instead of the logits; the head is fitted on the features afterwards."""
