"""One look at something, each in a file of its own: `resilience.probes.http`, `.tcp`, `.dns`, `.tls`, `.disk`, `.sql`, ...

A probe is a `Check`: `await probe.check()` returns a status, a line for people and figures, or raises, which counts as
unhealthy. What it looks at outside of the process it says with `outside = True`: such a probe never decides liveness.
Health checks and synthetic monitoring use the same ones.
"""

from resilience.probes.function import FunctionProbe

__all__ = ["FunctionProbe"]
