"""Instruments and their sliding windows: what the process knows about itself."""

from resilience.signals.collector import AggregatedMetrics, MetricsCollector, PerformanceMetrics
from resilience.signals.instruments import DEFAULT_BUCKETS, OVERFLOW, Counter, Gauge, Histogram, Info
from resilience.signals.registry import Family, InstrumentRegistry
from resilience.signals.retention import Resolution, Retention
from resilience.signals.signals import Signals
from resilience.signals.sli import SliRecorder
from resilience.signals.source import LiveSource
from resilience.signals.usage import UsageRecorder

__all__ = [
    "DEFAULT_BUCKETS",
    "OVERFLOW",
    "AggregatedMetrics",
    "Counter",
    "Family",
    "Gauge",
    "Histogram",
    "Info",
    "LiveSource",
    "MetricsCollector",
    "PerformanceMetrics",
    "InstrumentRegistry",
    "Resolution",
    "Retention",
    "Signals",
    "SliRecorder",
    "UsageRecorder",
]
