"""Clients of other servers, one file each."""
