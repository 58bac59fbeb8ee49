"""Life of a running service: its background tasks, its reloads, and its state over restarts."""
