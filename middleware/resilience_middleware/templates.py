"""Route templates: the label of a request is `/users/{id}`, never `/users/17`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Final, NamedTuple

from starlette.routing import BaseRoute, Route, compile_path

from resilience.core.validate import text

__all__ = ["UNMATCHED", "OwnRoute", "RouteTemplates", "below", "flat"]

UNMATCHED: Final = "_UNMATCHED"
"""The one label of all requests that no route took."""

_STRANGERS: Final = 1_000
_PATHS: Final = 4_096
_LONG_PATH: Final = 256  # characters; strangers' longer paths are matched every time, and not remembered
_FLAT: Final = re.compile(r"{([^:{}]+):[^{}]*}")


class OwnRoute(Route):
    """A route of this library: neither recorded nor guarded, wherever it is mounted."""


class _Place(NamedTuple):
    """One way to a route: what the router leaves in the scope, the full template, and what paths it takes."""

    keys: tuple[object, ...]
    template: str
    pattern: re.Pattern[str]
    leaf: bool


def _routed(app: object) -> object:
    """The application with routes that `app` is or wraps, or None."""
    seen = 0
    while app is not None and not hasattr(app, "routes") and seen < _STRANGERS:
        app = getattr(app, "app", None)
        seen += 1
    # Other frameworks (Litestar) have routes of their own kind.
    routes = getattr(app, "routes", None)
    return app if isinstance(routes, list) and all(isinstance(each, BaseRoute) for each in routes) else None


def flat(template: str) -> str:
    """Return a template as labels have it: `/orders/{id}` of `/orders/{id:int}`."""
    return _FLAT.sub(r"{\1}", template)


def _place(prefix: str, path: str, *keys: object, leaf: bool = True) -> _Place:
    full = prefix + path
    return _Place(keys, flat(full), compile_path(full)[0], leaf)


def _walk(routes: Sequence[BaseRoute], prefix: str) -> Iterator[_Place]:
    """Yield all routes below `routes` in the order in which the router tries them."""
    for route in routes:
        included = getattr(route, "effective_route_contexts", None)
        if included is not None:
            # FastAPI's include_router(): the routes know nothing of the prefix, their contexts do.
            for context in included():
                shown = context.starlette_route or context
                yield from _one(shown, prefix, context, getattr(context, "endpoint", None))
        else:
            yield from _one(route, prefix, route, getattr(route, "endpoint", None))


def _one(route: Any, prefix: str, *keys: object) -> Iterator[_Place]:
    path = getattr(route, "path", None)
    inner = _routed(getattr(route, "app", None)) if getattr(route, "endpoint", None) is None else None
    if inner is not None:
        # A Mount has a path; a Host has none.
        yield from _walk(inner.routes, prefix + (path or ""))  # type: ignore[attr-defined]  # _routed() saw it
    elif path is not None:
        if getattr(route, "endpoint", None) is None:
            yield _place(prefix, f"{path}/{{path:path}}", *keys, route.app, leaf=False)
        else:
            yield _place(prefix, path, *keys)


class RouteTemplates:
    """Finds the template that a request was routed by, from what the router left in the scope.

    Starlette leaves `scope["route"]` (from 1.7 on; of a Mount's routes the leaf alone) and `scope["endpoint"]`,
    FastAPI its effective route context. A map from these objects to full templates is made once, and made
    again when an object appears that is not in it; no request is matched a second time, except where
    one object serves several templates, and where the router left nothing: no route took the request, or middleware
    copied the scope. Of other frameworks, Litestar leaves a template.

    Args:
        app: the application; what wraps one with `routes` (`.app` after `.app`) counts as that.
        patterns: templates for applications without routes, tried in order: `/users/{id}`, `/files/{rest:path}`.

    Raises:
        ConfigError: a pattern is not text.
    """

    def __init__(self, app: object, patterns: Sequence[str] = ()) -> None:
        self._app = _routed(app)
        self._root = f"resilience.root {id(app)}"
        self._patterns = [_place("", text("patterns", pattern)) for pattern in patterns]
        self._single: dict[int, str] = {}
        self._several: dict[int, list[_Place]] = {}
        self._kept: list[object] = []  # what the ids above belong to
        self._strangers = 0
        self._order: list[_Place] = []
        self._paths: dict[str, str] = {}
        self._learned = False
        self._shape: list[int] = []
        self.own: tuple[str, ...] = ()  # what `below` makes of the templates of this library's own routes

    def of(self, scope: Mapping[str, Any]) -> str:
        """Return the template of a request that has been routed.

        Args:
            scope: as the router left it.

        Returns:
            the full template from the application's root, or `UNMATCHED`.
        """
        route = scope.get("route")
        if "fastapi" not in scope:
            template = self._single.get(id(route))
            if template is not None:
                return template
        return self._resolve(route, scope)

    def sole(self, scope: Mapping[str, Any]) -> int | None:
        """Return the id of the object in the scope that says the template by itself, without a look at the path; None without one."""
        route = scope.get("route")
        if "fastapi" in scope:
            context = (scope["fastapi"] or {}).get("effective_route_context")
            if context is None or not (route is None or route is context.original_route):
                return None
            route = context
        return id(route) if id(route) in self._single else None

    def _resolve(self, route: object, scope: Mapping[str, Any]) -> str:
        """What `of` means, for all that routers do."""
        fastapi = scope.get("fastapi")
        if fastapi and (context := fastapi.get("effective_route_context")) is not None:
            if route is None or route is context.original_route:
                route = context
        elif route is None or hasattr(route, "routes"):
            # FastAPI sets none for plain routes, and under a Mount that is all that is known.
            route = scope.get("endpoint")
        if route is None:
            # Middleware inside this one may have handed the router a copy of the scope.
            written = scope.get("path_template")  # Litestar's
            return flat(written) if isinstance(written, str) else self.match(scope)
        template = self._single.get(id(route))
        return template if template is not None else self._look(route, scope)

    def match(self, scope: Mapping[str, Any]) -> str:
        """Return the template of a request that has not been routed yet; remembered for the newest paths.

        Args:
            scope: as the server made it.
        """
        path = self.path(scope)
        template = self._paths.get(path)
        if template is None:
            if not self._learned:
                self._learn()
            template = self._first(self._order or self._patterns, path)
            if len(path) <= _LONG_PATH:
                if len(self._paths) >= _PATHS:
                    self._paths.clear()
                self._paths[path] = template
        return template

    def arrived(self, scope: MutableMapping[str, Any]) -> str:
        """Return the path of a request below the application, before it is routed.

        An application that is mounted in another keeps its own root in the scope, because its own mounts make the root longer.
        """
        root: str = scope.get("root_path", "")
        if "app_root_path" in scope:
            scope[self._root] = root
        return _path_below(scope["path"], root)

    def path(self, scope: Mapping[str, Any]) -> str:
        """Return the path of a request below the application, at any time."""
        path: str = scope["path"]
        root = scope.get("root_path")
        if not root:
            return path
        # A Mount makes `root_path` longer, and leaves what it was in `app_root_path`.
        return _path_below(path, scope.get(self._root, scope.get("app_root_path", root)))

    def refresh(self) -> bool:
        """Learn the routes anew, where some came or went since the last time this was asked.

        Returns:
            whether they did.
        """
        shape = [] if self._app is None else list(_shape(self._app.routes))  # type: ignore[attr-defined]  # _routed() saw it
        if self._learned and shape == self._shape:
            return False
        self._shape = shape
        self._single.clear()
        self._several.clear()
        self._learn()
        return True

    def known(self) -> list[str]:
        """Return all templates there are now, in the order in which they are tried."""
        self._learn()
        return list(dict.fromkeys(place.template for place in self._order or self._patterns))

    def bearing(self, attribute: str) -> list[str]:
        """Return the templates of routes whose endpoint has an attribute."""
        self._learn()
        return [place.template for place in self._order if any(hasattr(key, attribute) for key in place.keys)]

    def _look(self, key: object, scope: Mapping[str, Any]) -> str:
        places = self._several.get(id(key))
        if places is None and self._strangers < _STRANGERS:
            self._learn()
            self._strangers += 1
            if id(key) not in self._single and id(key) not in self._several:
                # Not among the application's routes: remembered, so that it costs one walk only.
                self._kept.append(key)
                self._several[id(key)] = []
            return self._resolve(key, scope)
        # Routers outside the application leave what they routed by, and its own router may have had a copy of the scope.
        return self._first(places, self.path(scope)) if places else self.match(scope)

    def _learn(self) -> None:
        if self._app is None:
            self._learned = True
            return
        found: dict[int, list[_Place]] = {}
        order = list(_walk(self._app.routes, ""))  # type: ignore[attr-defined]  # _routed() saw it
        for place in order:
            for key in place.keys:
                if key is not None:
                    found.setdefault(id(key), []).append(place)
                    self._kept.append(key)
        for key, places in found.items():
            if len({place.template for place in places}) == 1:
                self._single[key] = places[0].template
            else:
                self._single.pop(key, None)
                self._several[key] = places
        self._order = order
        self.own = tuple(
            below(place.template) for place in order if any(isinstance(key, OwnRoute) for key in place.keys)
        )
        self._paths.clear()
        self._learned = True

    @staticmethod
    def _first(places: Sequence[_Place], path: str) -> str:
        for place in places:
            if place.pattern.match(path):
                return place.template
        return UNMATCHED


def _shape(routes: Sequence[BaseRoute]) -> Iterator[int]:
    """What tells one state of an application's routes from another, at a fraction of the price of learning them."""
    for route in routes:
        yield id(route)
        included = getattr(route, "effective_route_contexts", None)
        inner = None if hasattr(route, "endpoint") else _routed(getattr(route, "app", None))
        if included is not None:
            yield from map(id, included())
        elif inner is not None:
            yield from _shape(inner.routes)  # type: ignore[attr-defined]  # _routed() saw it


def below(template: str) -> str:
    """Return what `exclude` takes for a template: one with parameters is all that is below its first one."""
    fixed, parameter, _ = template.partition("{")
    return f"{fixed}*" if parameter else template


def _path_below(path: str, root: str) -> str:
    below_root = path[len(root) :]
    return below_root if root and path.startswith(root) and below_root.startswith("/") else path
