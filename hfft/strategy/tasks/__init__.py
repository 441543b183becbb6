"""Several tasks on one backbone: how often each is learned, and how much its loss counts."""
