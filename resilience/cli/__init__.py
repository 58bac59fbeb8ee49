"""The command `resilience`: one file per command, and those that other packages bring by an entry point."""
