"""Before training: what a run will need of memory and time on this machine."""
