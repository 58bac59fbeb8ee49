"""The console's routes: the page, its stream, its figures, the rules behind them, login and actions."""

from __future__ import annotations

import functools
import gzip
import hashlib
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from resilience.errors import ConfigError, MissingExtra, RateLimited
from resilience.policies import RateLimiter
from resilience.reliability import Reliability
from resilience.rules import AlertRule
from resilience_middleware.console.actions import ACTIONS
from resilience_middleware.console.charts import charts_for
from resilience_middleware.console.hub import Hub
from resilience_middleware.console.panels import PANELS
from resilience_middleware.console.session import Sessions, same_origin
from resilience_middleware.console.settings import checks_of, policies_of, probes_of
from resilience_middleware.console.stream import EventStream
from resilience_middleware.console.view import WINDOWS, View
from resilience_middleware.console.watch import Watch
from resilience_middleware.endpoint import answer, body_of, refuse
from resilience_middleware.templates import OwnRoute

__all__ = ["Console"]

_HOME: Final = "/reliability/"
_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
_STATIC: Final = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "charts.js": "text/javascript",
    "login.js": "text/javascript",
    "uplot.min.css": "text/css",
    "uplot.min.js": "text/javascript",
    "uplot.LICENSE.txt": "text/plain",
    "icon.svg": "image/svg+xml",
}
_LONGEST_FORM: Final = 4096
_LISTED: Final = 200  # of each list in `state.json`
_CHOICES: Final = 200  # services to choose from
_ACTION_KEYS: Final = ("id", "by", "comment", "duration", "path", "to")
_UNAUTHORIZED, _FORBIDDEN, _TOO_MANY, _UNAVAILABLE, _NOT_FOUND = 401, 403, 429, 503, 404


class Console:
    """The live page of one service.

    Args:
        rel: the service.
        streams: pages that may be open at once; 20 by default.

    Raises:
        MissingExtra: jinja2 is not installed.
    """

    def __init__(self, rel: Reliability, *, streams: int = 20) -> None:
        try:
            from resilience_middleware.console.render import Renderer  # noqa: PLC0415  an extra
        except ImportError as error:
            raise MissingExtra("jinja2", "console") from error
        self.watch: Watch = Watch(rel)
        self.sessions: Sessions = Sessions(rel.token, rel.clock)
        self._rel = rel
        self._renderer = Renderer()
        self.hub: Hub = Hub(rel, self.watch, self._renderer, most=streams)
        self._logins = RateLimiter(10, per=60, name="console logins", clock=rel.clock)

    def routes(self, prefix: str = "") -> list[Route]:
        """Return the routes.

        Args:
            prefix: put before each path: `/ops`.
        """
        read = self._reading
        endpoints: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
            ("GET", "", self._to_home),
            ("GET", "/", self._page),
            ("GET", "/rules", self._rules),
            ("GET", "/stream", read(self._stream)),
            ("GET", "/state.json", read(self._state)),
            ("GET", "/login", self._login_page),
            ("POST", "/login", self._login),
            ("POST", "/logout", self._logout),
            ("POST", "/actions/{action}", self._act),
            ("GET", "/static/{name}", self._static),
        ]
        home = prefix + _HOME.rstrip("/")
        return [
            OwnRoute(home + path, handle, methods=[method], include_in_schema=False)
            for method, path, handle in endpoints
        ]

    # -- looking ------------------------------------------------------------------------------------------------

    async def _to_home(self, request: Request) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        # Relative: nobody here knows all that stands before it, mounts and proxies.
        return RedirectResponse(f"{request.url.path.rpartition('/')[2]}/{query}", 307)

    async def _page(self, request: Request) -> Response:
        if not self.sessions.may_read(request):
            return self._ask_for_token(request)
        view = _view(request)
        shown = await self.hub.show(view)
        return self._html(
            request,
            "page",
            panels=shown.panels,
            charts=shown.look.charts.drawn,
            points=shown.look.charts.points(),
            markers=shown.look.charts.markers(),
            now=shown.look.charts.now(),
            worker=self.watch.worker,
            view=view,
            windows=WINDOWS,
            services=self._services(view),
            service=self._rel.service,
            may_act=self.sessions.known(request),
            can_log_in=self.sessions.possible,
        )

    async def _rules(self, request: Request) -> Response:
        if not self.sessions.may_read(request):
            return self._ask_for_token(request)
        view = _view(request)
        own = view.covers(self._rel.service)
        return self._html(
            request,
            "rules",
            service=self._rel.service,
            view=view,
            slos=[slo for slo in self._rel.slos.slos.values() if view.covers(slo.service)],
            groups=self._rel.rules.groups,
            alert_rule=AlertRule,
            charts=charts_for(view, prefix=self._rel.signals.prefix),
            policies=list(policies_of(self._rel)) if own else [],
            checks=list(checks_of(self._rel.health)) if own else [],
            probes=list(probes_of((await self.hub.show(view.whole)).look)),
        )

    async def _state(self, request: Request) -> Response:
        view = _view(request)
        look = (await self.hub.show(view.whole)).look._replace(most=_LISTED)
        panels = {name: panel(look) for name, panel in PANELS.items()}
        return answer({**panels, "now": look.charts.now(), "service": self._rel.service})

    async def _stream(self, request: Request) -> Response:
        stream = await self.hub.open(_view(request))
        if stream is None:
            return refuse(_UNAVAILABLE, "Too many pages are open, or the service is about to end.")
        return EventStream(stream)

    def _services(self, view: View) -> list[str]:
        known = {slo.service for slo in self._rel.slos.slos.values()}
        known.update(each.alert.labels.get("service", "") for each in self._rel.alerts.active_alerts())
        return sorted({self._rel.service, view.service, *sorted(known)[:_CHOICES]} - {""})

    def _reading(
        self, handle: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answered(request: Request) -> Response:
            if not self.sessions.may_read(request):
                return refuse(_UNAUTHORIZED, "Log in, or send the service's token: Authorization: Bearer.")
            try:
                return await handle(request)
            except ConfigError as error:
                return refuse(400, error.message)

        return answered

    # -- login --------------------------------------------------------------------------------------------------

    def _ask_for_token(self, request: Request, *, wrong: str = "", status: int = _UNAUTHORIZED) -> Response:
        return self._html(
            request,
            "login",
            status=status,
            service=self._rel.service,
            possible=self.sessions.possible,
            wrong=wrong,
            query=_view(request).query,
        )

    async def _login_page(self, request: Request) -> Response:
        return self._ask_for_token(request, status=200)

    async def _login(self, request: Request) -> Response:
        if not same_origin(request):
            return refuse(_FORBIDDEN, "A login has to come from the console's own page.")
        try:
            self._logins.enter(self._rel.clock.monotonic(), None)
        except RateLimited:
            return self._ask_for_token(request, wrong="Too many tries: wait a minute.", status=_TOO_MANY)
        if not self.sessions.accepts(await _field(request, "token")):
            return self._ask_for_token(request, wrong="This is not the token.")
        response = RedirectResponse(f"./?{_view(request).query}", 303, headers=_HEADERS)
        self.sessions.begin(request, response, _cookie_path(request))
        return response

    async def _logout(self, request: Request) -> Response:
        if not same_origin(request):
            return refuse(_FORBIDDEN, "A logout has to come from the console's own page.")
        response = RedirectResponse("./", 303, headers=_HEADERS)
        self.sessions.end(response, _cookie_path(request))
        return response

    # -- acting -------------------------------------------------------------------------------------------------

    async def _act(self, request: Request) -> Response:
        if not self.sessions.may_act(request):
            return refuse(_FORBIDDEN, "Actions need a login, the action header, and the console's own page.")
        action = ACTIONS.get(request.path_params["action"])
        if action is None:
            return refuse(_NOT_FOUND, "There is no such action.")
        try:
            done = action(self.watch, await body_of(request, _ACTION_KEYS))
        except ConfigError as error:
            return refuse(400, error.message)
        self.hub.poke()
        return answer({"done": done})

    # -- files --------------------------------------------------------------------------------------------------

    async def _static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _STATIC:
            return refuse(_NOT_FOUND, "There is no such file.")
        plain, packed, tag = _file(name)
        headers = {
            "cache-control": "no-cache",
            "etag": tag,
            "vary": "accept-encoding",
            "x-content-type-options": "nosniff",
        }
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        if _takes_gzip(request):
            return Response(packed, headers={**headers, "content-encoding": "gzip"}, media_type=_STATIC[name])
        return Response(plain, headers=headers, media_type=_STATIC[name])

    def _html(self, request: Request, name: str, *, status: int = 200, **data: object) -> Response:
        page = self._renderer.page(name, **data).encode()
        headers = {**_HEADERS, "vary": "accept-encoding"}
        if _takes_gzip(request):
            page, headers["content-encoding"] = gzip.compress(page, 5), "gzip"
        return Response(page, status, headers=headers, media_type="text/html")


def _takes_gzip(request: Request) -> bool:
    return "gzip" in request.headers.get("accept-encoding", "")


def _view(request: Request) -> View:
    return View.of(request.query_params)


def _cookie_path(request: Request) -> str:
    # The folder of the page: behind a prefix and a mount, too.
    return str(request.url.path).rpartition("/")[0] + "/"


async def _field(request: Request, name: str) -> str:
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > _LONGEST_FORM:
            return ""
    return parse_qs(content.decode("latin-1"), keep_blank_values=True).get(name, [""])[0]


@functools.cache
def _file(name: str) -> tuple[bytes, bytes, str]:
    """A file as it is, packed, and its tag."""
    content = files("resilience_middleware.console").joinpath("static", name).read_bytes()
    return content, gzip.compress(content, mtime=0), f'"{hashlib.sha256(content).hexdigest()[:16]}"'
