"""Methods that regularise weights, features or outputs."""
