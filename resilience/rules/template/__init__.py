"""Annotations and labels as templates, which expand to what Prometheus makes of them."""

from resilience.rules.template.expand import Query, Template, TemplateData

__all__ = ["Query", "Template", "TemplateData"]
