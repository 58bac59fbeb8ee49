"""Keeps what alerting knows in the store, and in step with the other processes on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from resilience.alerting.peers import Peers
from resilience.alerting.plan import Plan
from resilience.alerting.shared import SharedRows
from resilience.alerting.state import AlertingState
from resilience.alerting.storage import Storage
from resilience.alerting.team import Team
from resilience.core.clock import Instant
from resilience.core.log import log
from resilience.core.ports import Clock, Put
from resilience.core.slices import Slicer
from resilience.errors import StoreError

__all__ = ["Keeper"]

_FEW = 64  # alerts up to which encoding is not worth slicing
_OWN = (*SharedRows.TABLES, Peers.table)
"""The tables that a process writes to which does not lead."""


class Keeper:
    """The state of this moment, and where it is kept.

    Args:
        plan: the settings; a state that is made anew follows them.
        storage: where it is kept.
        team: this process among others on the same store; None where there are none.
        history: how many events are remembered.
        begun: called when the state was made anew, since this process has begun or ceased to lead.
        adopted: called with table, key and row for what somebody did through another process.
        slicer: encodes and reads many rows in slices.
        clock: where time comes from.
    """

    def __init__(
        self,
        plan: Plan,
        storage: Storage,
        team: Team | None,
        *,
        history: int,
        begun: Callable[[], object],
        adopted: Callable[[str, str, bytes | None], object],
        slicer: Slicer,
        clock: Clock,
    ) -> None:
        self.plan: Plan = plan
        self.state: AlertingState = AlertingState(plan, history=history, slicer=slicer)
        self._storage = storage
        self._team = team
        self._history = history
        self._begun = begun
        self._adopted = adopted
        self._slicer = slicer
        self._terms = 0
        self._generation = storage.generation
        self._lost: list[Put] = []
        self._clock = clock

    @property
    def leads(self) -> bool:
        """Whether this process decides and notifies."""
        return self._team is None or self._team.leads

    @property
    def _elected(self) -> bool:
        return self._team is None or self._team.elected

    @property
    def term(self) -> int | None:
        """Number of the term in which this process leads, None if it does not."""
        return self._terms if self.leads else None

    def hold(self) -> None:
        """Keep firing what was stored, for as long as a process that is gone is waited for."""
        if self._team is not None:
            self._team.peers.inherit(self.state.held(), self._clock.time())

    @property
    def offset(self) -> float:
        """What leads from monotonic to Unix time."""
        return self._clock.time() - self._clock.monotonic()

    @property
    def now(self) -> Instant:
        """This moment."""
        return Instant(self._clock.monotonic(), self._clock.time())

    async def restore(self) -> None:
        """Take back what an earlier process stored.

        Raises:
            StoreError: the store cannot be read.
        """
        if self._team is None:
            await self.state.restore(self._storage, self.offset)
        else:
            await self._team.join()
            await self._begin(self._team)

    async def commit(self, others: Sequence[Put]) -> None:
        """Store what the state has to say, and learn what other processes have said."""
        team = self._team
        stale = team is not None and await team.renew()
        if self._storage.generation != self._generation:
            self._generation = self._storage.generation
            self._lost = self.state.all_puts(self.offset)
        if self._lost and self._elected:
            await self._write_anew()
        if team is not None and stale:
            try:
                await self._begin(team)
            except StoreError as error:
                log(__name__).error("alert_state_not_read", error=str(error))
        puts = await self._take_puts()
        if self.leads:
            await self._storage.write(puts, others)
        else:  # what was decided is the leader's to say
            await self._storage.write([put for put in puts if put.table in _OWN])
        if team is not None and team.due(self._clock.monotonic()):
            try:
                await self._synchronize(team)
            except StoreError as error:
                log(__name__).error("alert_state_not_read", error=str(error))

    async def _take_puts(self) -> list[Put]:
        state, offset = self.state, self.offset
        if max(len(state.puts), len(state.engine.firing.alerts)) <= _FEW:
            return state.take_puts(offset)
        return await self._slicer.run(lambda: state.take_puts(offset), whole=True) or []

    async def confirm(self) -> bool:
        """Return whether this process still decides and notifies, by a lease that has not expired."""
        return self._team is None or await self._team.confirm()

    async def _write_anew(self) -> None:
        """Write everything that the store has lost, unless another process has done so."""
        lost, self._lost = self._lost, []
        try:
            if await self._storage.is_empty({put.table for put in lost}):
                await self._storage.write(lost)
        except StoreError as error:
            self._lost = lost
            log(__name__).error("alert_state_not_read", error=str(error))

    async def leave(self) -> None:
        """Let another process lead at once."""
        if self._team is not None:
            await self._team.leave()

    async def _begin(self, team: Team) -> None:
        """Take everything from the store: this process has begun or ceased to lead."""
        news = team.news
        self._terms += 1
        self._begun()
        self._storage.forget()
        # What people did meanwhile goes before.
        done = [put for put in self.state.puts if put.table in SharedRows.TABLES]
        self.state.puts = []
        await self._storage.write(done)
        fresh = self._empty()
        if team.elected:
            await fresh.restore(self._storage, self.offset)
            # What the others see counts from the first decision on.
            reports = await self._storage.load(Peers.table)
            fresh.puts += team.peers.withdraw()
            fresh.puts += team.peers.take(reports, self.now)
            if team.began:
                team.peers.inherit(fresh.held(), self._clock.time())
        else:
            await fresh.look(self._storage, self.offset)
        self._follow(fresh)
        team.begin(news)

    async def _synchronize(self, team: Team) -> None:
        if not team.leads:
            fresh = self._empty()
            if await fresh.look(self._storage, self.offset, self.state):
                self._follow(fresh)
            return
        self.state.puts += team.peers.take(await self._storage.load(Peers.table), self.now)
        for table in SharedRows.TABLES:
            for key, row in await self._storage.changes(table, self.state.puts):
                self._adopted(table, key, row)

    def _empty(self) -> AlertingState:
        return AlertingState(self.plan, history=self._history, slicer=self._slicer)

    def _follow(self, fresh: AlertingState) -> None:
        """Replace the state by one that was read, and repeat what people did while it was."""
        for put in (*self._storage.unwritten, *self.state.puts):
            if put.table in SharedRows.TABLES:
                fresh.adopt(put.table, put.key, put.value, self.offset)
        fresh.puts += [put for put in self.state.puts if put.table in _OWN]
        self.state = fresh
