"""Prometheus' own test files, run against our PromQL."""
