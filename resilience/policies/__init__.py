"""The guards: one file for each policy."""
