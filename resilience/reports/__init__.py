"""Reports on objectives: their figures, incidents, and what follows from them, in any of the formats."""

from resilience.reports.build import build
from resilience.reports.formats import FORMATS, render
from resilience.reports.model import Heat, Incident, Objective, Recommendation, Report, Service, Step
from resilience.reports.post_mortem import post_mortem

__all__ = [
    "FORMATS",
    "Heat",
    "Incident",
    "Objective",
    "Recommendation",
    "Report",
    "Service",
    "Step",
    "build",
    "post_mortem",
    "render",
]
