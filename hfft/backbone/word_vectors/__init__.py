"""Word vectors as a backbone: read from a file or taken from a model's embedding table, with a new recurrent net on them."""
