"""HTTP endpoints of a service: their shared entrance, and the limits on callers that are slow, large or strange."""
