"""The kinds of input, the half that needs torch: how rows are read, decoded, augmented and batched. One file each."""
