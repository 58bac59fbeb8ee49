"""The console: one page that shows how a service is, live, and lets people act."""

from resilience.errors import MissingExtra

try:
    import jinja2  # noqa: F401  before the modules that need it, each of which would fail by itself
except ImportError as _error:
    raise MissingExtra("jinja2", "console") from _error
