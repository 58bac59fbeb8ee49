"""Silences and maintenance windows: what may fire without telling anybody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

from resilience.alerting.intervals import TimeIntervals
from resilience.alerting.matcher_index import MatcherIndex
from resilience.alerting.matchers import Matchers
from resilience.core.labels import clean_text, plain_text
from resilience.core.moments import LATEST, unix_seconds
from resilience.core.options import named_options
from resilience.core.ports import Matcher, Put
from resilience.core.rows import Moment, decode, encode
from resilience.core.validate import shown, text
from resilience.errors import ConfigError

__all__ = ["MaintenanceWindow", "Silence", "Silences"]

_TABLE = "alerting.silences"
_SILENCE = {
    "id": str,
    "matchers": [(str, str, str)],
    "start": Moment,
    "end": float,
    "author": str,
    "comment": str,
}
_SPARE = (
    100  # ids of silences that are gone, beyond as many as there are, before what matches is worked out anew
)
_KEPT = 5 * 86_400.0  # Alertmanager shows expired silences for 120 h too


@dataclass(frozen=True)
class Silence:
    """Mutes what matches for a while.

    Args:
        id: names it.
        matchers: which alerts; at least one matcher.
        start: Unix seconds from which it holds, up to the year 9999.
        end: Unix seconds at which it no longer holds, likewise.
        author: who made it.
        comment: why.

    Raises:
        ConfigError: it matches everything, ends before it starts, or an option is invalid.
    """

    id: str
    matchers: Matchers
    start: float
    end: float
    author: str
    comment: str

    def __post_init__(self) -> None:
        checked = {
            "start": unix_seconds("start", self.start),
            "end": unix_seconds("end", self.end),
            "author": clean_text("author", self.author),
            "comment": plain_text("comment", self.comment),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if not isinstance(self.matchers, Matchers) or not self.matchers:
            message = "matchers of a silence must name at least one label, got none: it would mute everything"
            raise ConfigError(message)
        if self.end <= self.start:
            message = f"end of a silence must be after its start {self.start:.0f} (Unix seconds), got {self.end:.0f}"
            raise ConfigError(message)

    def mutes(self, labels: Mapping[str, str], wall: float) -> bool:
        """Say whether an alert with these labels is muted at a moment of Unix time."""
        return self.start <= wall < self.end and self.matchers.match(labels)


@named_options
@dataclass(frozen=True)
class MaintenanceWindow:
    """Mutes what matches at recurring times.

    Args:
        name: names it.
        matchers: which alerts; none means all.
        intervals: when.
    """

    name: str
    matchers: Matchers
    intervals: TimeIntervals

    def __post_init__(self) -> None:
        text("name", self.name)
        if not isinstance(self.matchers, Matchers) or not isinstance(self.intervals, TimeIntervals):
            message = f"maintenance window {shown(self.name)} needs Matchers and TimeIntervals"
            raise ConfigError(message)

    def mutes(self, labels: Mapping[str, str], wall: float) -> bool:
        """Say whether an alert with these labels is muted at a moment of Unix time."""
        return self.intervals.contains(wall) and self.matchers.match(labels)


class Silences:
    """The silences that people made, and the maintenance windows of the configuration.

    Args:
        windows: maintenance windows.
    """

    table = _TABLE

    def __init__(self, windows: Sequence[MaintenanceWindow] = ()) -> None:
        self._windows = tuple(windows)
        self._silences: dict[str, Silence] = {}
        # Ids and matchers in the order in which the silences came; per alert, how many it was matched with, and which match.
        self._order: list[str] = []
        self._index = MatcherIndex()
        self._matching: dict[str, tuple[int, tuple[str, ...]]] = {}

    def replace_windows(self, windows: Sequence[MaintenanceWindow]) -> None:
        """Have other maintenance windows from now on."""
        self._windows = tuple(windows)

    def add(
        self, matchers: Matchers, *, start: float, end: float, author: str, comment: str
    ) -> tuple[Silence, Put]:
        """Make a silence, and the row to store.

        Raises:
            ConfigError: an option is invalid, or each matcher accepts the empty label, as `x=~".*"` does: like
                Alertmanager, this refuses a silence that mutes every alert without the label.
        """
        if matchers and matchers.match({}):
            message = (
                f"matchers of a silence must include one that the empty label does not match, got {matchers}"
            )
            raise ConfigError(message)
        silence = Silence(uuid4().hex, matchers, start, end, author, comment)
        self._keep(silence)
        return silence, _put(silence)

    def expire(self, silence_id: str, wall: float) -> Put:
        """End a silence now; one that has not begun is forgotten.

        Raises:
            ConfigError: there is none of that id.
        """
        silence = self._silences.get(text("silence", silence_id))
        if silence is None:
            message = f"silence must be the id of a silence, got {shown(silence_id)}"
            raise ConfigError(message)
        if wall <= silence.start:
            del self._silences[silence_id]
            return Put(_TABLE, silence_id, None)
        ended = Silence(
            silence.id,
            silence.matchers,
            silence.start,
            min(wall, silence.end),
            silence.author,
            silence.comment,
        )
        self._keep(ended)
        return _put(ended)

    def forget(self, silence_id: str) -> None:
        """Drop a silence that somebody else has removed."""
        self._silences.pop(silence_id, None)

    def prune(self, wall: float) -> list[Put]:
        """Forget what ended days ago."""
        old = [each.id for each in self._silences.values() if each.end + _KEPT < wall]
        for silence_id in old:
            del self._silences[silence_id]
        return [Put(_TABLE, silence_id, None) for silence_id in old]

    @property
    def made(self) -> int:
        """Number of silences that came so far; a change says that alerts have to be matched with more."""
        return len(self._order)

    def muting(self, fingerprint: str, labels: Mapping[str, str], wall: float) -> str | None:
        """Return the id or name of what mutes an alert now, or None."""
        for silence_id in self.match(fingerprint, labels):
            silence = self._silences.get(silence_id)
            if silence is not None and silence.start <= wall < silence.end:
                return silence_id
        for window in self._windows:
            if window.mutes(labels, wall):
                return window.name
        return None

    def all(self) -> list[Silence]:
        """Every silence that is remembered, the newest start first."""
        return sorted(self._silences.values(), key=lambda silence: -silence.start)

    def rows(self) -> Iterator[Put]:
        """Yield everything that is to be stored."""
        return map(_put, self._silences.values())

    def restore(self, rows: Iterable[bytes]) -> None:
        """Take back what was stored."""
        for row in rows:
            found = decode(row, _SILENCE)
            found["matchers"] = Matchers([Matcher(*each) for each in found["matchers"]])
            # One from before such times were refused goes on muting.
            found["end"] = min(found["end"], LATEST)
            self._keep(Silence(**found))

    def match(self, fingerprint: str, labels: Mapping[str, str]) -> tuple[str, ...]:
        """Return the ids of the silences that match an alert, whether in effect or not; remembered by fingerprint."""
        seen, found = self._matching.get(fingerprint, (0, ()))
        if seen < len(self._order):
            found += tuple(
                silence_id
                for number in self._index.find(labels, start=seen)
                if (silence_id := self._order[number]) in self._silences
            )
            self._matching[fingerprint] = len(self._order), found
        return found

    def leave(self, fingerprints: Iterable[str]) -> None:
        """Forget alerts that no longer fire."""
        for fingerprint in fingerprints:
            self._matching.pop(fingerprint, None)

    def _keep(self, silence: Silence) -> None:
        known = self._silences.get(silence.id)
        self._silences[silence.id] = silence
        if known is not None and known.matchers == silence.matchers:
            return
        if known is not None or len(self._order) > 2 * len(self._silences) + _SPARE:
            self._order, self._index = [], MatcherIndex()
            self._matching.clear()
            for each in self._silences.values():
                if each is not silence:
                    self._append(each)
        self._append(silence)

    def _append(self, silence: Silence) -> None:
        self._order.append(silence.id)
        self._index.add(silence.matchers)


def _put(silence: Silence) -> Put:
    matchers = [(each.label, each.op, each.value) for each in silence.matchers.matchers]
    fields = {**vars(silence), "matchers": matchers}
    return Put(_TABLE, silence.id, encode(fields))
