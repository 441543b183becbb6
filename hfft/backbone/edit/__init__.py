"""Change the structure of a pretrained model: remove, replace, insert, reshape."""
