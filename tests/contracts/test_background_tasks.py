"""Everything that starts a task or a thread is known, and how its failure is noticed."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (ROOT / "resilience", ROOT / "middleware" / "resilience_middleware")
STARTS = {
    "Thread",
    "create_task",
    "ensure_future",
    "run_coroutine_threadsafe",
    "run_in_executor",
    "run_sync",
    "start_soon",
    "to_thread",
}

AWAITED = "a caller waits for it and gets its failure"
SUPERVISED = "runs under the supervisor, or in a group of a task that does"
REPORTED = "catches whatever it raises, and logs it"

KNOWN = {
    "resilience/alerting/delivery.py Dispatcher.offer start_soon": SUPERVISED,
    "resilience/alerting/delivery.py Dispatcher.run start_soon": SUPERVISED,
    "resilience/alerting/heartbeat.py Heart.run start_soon": SUPERVISED,
    "resilience/alerting/manager.py AlertManager.run start_soon": AWAITED,
    "resilience/core/events.py Listeners.emit ensure_future": REPORTED,
    "resilience/core/slices.py Slicer._submit Thread": AWAITED,
    "resilience/health/registry.py HealthRegistry.add_check start_soon": SUPERVISED,
    "resilience/health/registry.py HealthRegistry.check_all start_soon": AWAITED,
    "resilience/health/registry.py HealthRegistry.run start_soon": SUPERVISED,
    "resilience/notifiers/alertmanager.py AlertmanagerNotifier.send create_task": REPORTED,
    "resilience/notifiers/apprise.py AppriseNotifier.send to_thread": AWAITED,
    "resilience/policies/coalesce.py Coalesce.execute create_task": AWAITED,
    "resilience/policies/hedge.py _Race._send create_task": AWAITED,
    "resilience/policies/hedge.py _Race.settle create_task": REPORTED,
    "resilience/probes/_thread.py InThread.run Thread": AWAITED,
    "resilience/reliability.py Reliability.start create_task": "keeps the supervisor, which never fails",
    "resilience/reload.py Reloader.run create_task": SUPERVISED,
    "resilience/runtime/supervision.py Supervisor.run create_task": "is the supervisor",
    "resilience/testing/lab.py Lab._pass start_soon": AWAITED,
    "resilience_middleware/console/hub.py Hub._pause create_task": AWAITED,
    "resilience_middleware/console/hub.py Hub._rounds create_task": AWAITED,
    "resilience_middleware/console/hub.py Hub.open create_task": SUPERVISED,
    "resilience_middleware/endpoints/event_stream.py EventStream.__call__ create_task": AWAITED,
    "resilience_middleware/console/watch.py Watch.look create_task": REPORTED,
    "resilience_middleware/ahead.py Ahead._call ensure_future": AWAITED,
    "resilience_middleware/guarded.py _in_thread.run ensure_future": AWAITED,
    "resilience_middleware/guarded.py _in_thread.run run_sync": AWAITED,
    "resilience_middleware/lifespan.py Lifespan.start ensure_future": REPORTED,
    "resilience_middleware/overdue.py Overdue.__call__ create_task": REPORTED,
}


def starts(file: Path) -> Iterator[str]:
    """Yield `file function call` of each call that starts a task or a thread, and is not awaited in place."""
    shown = file.relative_to(ROOT / "middleware" if "resilience_middleware" in file.parts else ROOT)
    stack: list[str] = []

    def visit(node: ast.AST) -> Iterator[str]:
        named = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if named:
            stack.append(node.name)  # type: ignore[attr-defined]
        if isinstance(node, ast.Await) and isinstance(node.value, ast.Call):
            yield from visit_all(ast.iter_child_nodes(node.value))
            return
        if isinstance(node, ast.Call):
            call = node.func
            name = (
                call.attr
                if isinstance(call, ast.Attribute)
                else call.id
                if isinstance(call, ast.Name)
                else ""
            )
            if name in STARTS:
                yield f"{shown} {'.'.join(stack)} {name}"
        yield from visit_all(ast.iter_child_nodes(node))
        if named:
            stack.pop()

    def visit_all(nodes: Iterable[ast.AST]) -> Iterator[str]:
        for node in nodes:
            yield from visit(node)

    yield from visit(ast.parse(file.read_text()))


def test_each_place_that_starts_a_task_or_a_thread_says_how_its_failure_is_noticed() -> None:
    files = [file for source in SOURCES for file in sorted(source.rglob("*.py")) if "demo" not in file.parts]
    found = {start for file in files for start in starts(file)}
    assert len(found) > 20
    assert sorted(found - KNOWN.keys()) == [], (
        "supervise it, await it, or catch and log what it raises; then list it"
    )
    assert sorted(KNOWN.keys() - found) == [], "it is gone"


def test_the_sweep_sees_a_start_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.contracts.test_background_tasks.ROOT", tmp_path)
    file = tmp_path / "some.py"
    file.write_text(
        "class A:\n    async def b(self):\n        await to_thread(d)\n        lambda: create_task(c())\n"
    )
    assert list(starts(file)) == ["some.py A.b create_task"]
