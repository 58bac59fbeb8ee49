"""`resilience demo`: a guarded shop, the payments service that fails it, and everybody who hears of it."""
