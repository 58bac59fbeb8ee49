"""Import of objectives from another tool's format, which is recognized by its version."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from resilience.core.validate import shown
from resilience.slo.formats import openslo_read, sloth
from resilience.slo.formats.document import Imported, Part, documents

__all__ = ["FORMATS", "import_slos"]

FORMATS: Mapping[str, Callable[[Sequence[Part]], Imported]] = {
    "openslo": openslo_read.read_openslo,
    "sloth": sloth.read_sloth,
}
"""Readers by name of the format."""


def import_slos(text: str, *, file: str | None = None, form: str | None = None) -> Imported:
    """Read objectives from another tool's format.

    Args:
        text: one or more documents in YAML or JSON.
        file: name of the file, for messages.
        form: name of the format, one of `FORMATS`; by default it is recognized by the version in the first document.

    Raises:
        ConfigError: the format is not recognized, or a document is invalid.

    Example:
        >>> import_slos("{version: prometheus/v1, service: shop, slos: []}").slos
        ()
    """
    parts = documents(text, file=file)
    return FORMATS[form or _recognized(parts[0])](parts)


def _recognized(document: Part) -> str:
    version = document.text("apiVersion") or document.text("version")
    for form, prefixes in {"openslo": ("openslo/",), "sloth": ("sloth.slok.dev/", "prometheus/")}.items():
        if version.startswith(prefixes):
            return form
    raise document.error(
        f"the format is not recognized: OpenSLO has apiVersion {openslo_read.VERSION}, Sloth has version"
        f" {sloth.VERSION} or apiVersion {sloth.KUBERNETES}, got {shown(version)}"
    )
