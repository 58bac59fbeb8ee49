"""Curves of how costs grow, by subject."""
