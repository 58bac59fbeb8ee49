"""Life of a running service: its background tasks and its reloads."""
