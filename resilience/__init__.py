"""Keep asyncio services up, and know whether they are: guards, indicators, SLOs and alerts in the process."""

__version__ = "0.1.0.dev0"
