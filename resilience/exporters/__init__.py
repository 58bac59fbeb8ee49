"""Ways out for the signals: one file for each system."""
