"""The commands of `hfft`, a file each. What needs torch imports it when it is called."""
