"""The commands of `hfft`, one file each. Torch is imported only when a command that needs it runs."""
