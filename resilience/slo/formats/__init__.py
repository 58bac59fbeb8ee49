"""File formats of objectives: the native one, OpenSLO and Sloth."""
