"""What everything else stands on: protocols, time, verdicts, windows, events, durations."""
