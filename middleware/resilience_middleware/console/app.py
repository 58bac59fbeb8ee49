"""The console's routes: the page, its stream, its figures, the rules behind them, login and actions."""

from __future__ import annotations

import functools
import gzip
import hashlib
from importlib.resources import files
from typing import Final
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from resilience.errors import RateLimited
from resilience.reliability import Reliability
from resilience.rules import AlertRule
from resilience_middleware.admission import client_address
from resilience_middleware.console.actions import ACTIONS
from resilience_middleware.console.charts import charts_for
from resilience_middleware.console.hub import Hub
from resilience_middleware.console.logins import FailedLogins
from resilience_middleware.console.panels import read_panels
from resilience_middleware.console.render import Renderer
from resilience_middleware.console.session import Sessions
from resilience_middleware.console.settings import checks_of, policies_of, probes_of
from resilience_middleware.console.view import WINDOWS, View
from resilience_middleware.console.watch import Watch
from resilience_middleware.endpoint import Endpoint, answer, body_of, read_body, refuse
from resilience_middleware.endpoints.door import Door
from resilience_middleware.endpoints.event_stream import EventStream
from resilience_middleware.security import Access

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
_STREAM_LASTS: Final = 3600.0  # seconds; a page that opens it again has to show its login again
_PAGES: Final = frozenset({"", "/", "/rules"})  # below the home, for people


class Console:
    """The live page of one service.

    Args:
        rel: the service.
        streams: pages that may be open at once; 20 by default.
    """

    def __init__(self, rel: Reliability, *, streams: int = 20) -> None:
        self.watch: Watch = Watch(rel)
        self.sessions: Sessions = Sessions(rel.token, rel.clock, rel.allowed_hosts)
        self._rel = rel
        self._renderer = Renderer()
        self.hub: Hub = Hub(rel, self.watch, self._renderer, most=streams)
        self._failed_logins = FailedLogins(rel.clock)

    def routes(self, prefix: str = "") -> list[Route]:
        """Return the routes.

        Args:
            prefix: put before each path: `/ops`.
        """
        home = _HOME.rstrip("/")
        door = Door(self._rel, admits=self.sessions.admits, refuses=self._refuse)
        return [
            door.route(Endpoint(home + path, access, handle, methods=(method,)), prefix)
            for method, path, access, handle in (
                ("GET", "", Access.OPEN, self._to_home),
                ("GET", "/", Access.READ, self._page),
                ("GET", "/rules", Access.READ, self._rules),
                ("GET", "/stream", Access.READ, self._stream),
                ("GET", "/state.json", Access.READ, self._state),
                ("GET", "/login", Access.OPEN, self._login_page),
                ("POST", "/login", Access.SAME_ORIGIN, self._login),
                ("POST", "/logout", Access.SAME_ORIGIN, self._logout),
                ("POST", "/actions/{action}", Access.CHANGE, self._act),
                ("GET", "/static/{name}", Access.OPEN, self._static),
            )
        ]

    def _refuse(self, endpoint: Endpoint, request: Request) -> Response:
        """Answer a request that is not admitted: people get the login, programs a problem."""
        if endpoint.access is Access.SAME_ORIGIN:
            return refuse(_FORBIDDEN, "This has to come from the console's own page.")
        if endpoint.access is Access.CHANGE:
            return refuse(_FORBIDDEN, "Actions need a login, the action header, and the console's own page.")
        if endpoint.path.removeprefix(_HOME.rstrip("/")) in _PAGES:
            return self._ask_for_token(request)
        return refuse(_UNAUTHORIZED, "Log in, or send the service's token: Authorization: Bearer.")

    # -- looking ------------------------------------------------------------------------------------------------

    async def _to_home(self, _rel: Reliability, request: Request) -> Response:
        # Relative: nobody here knows all that stands before it, mounts and proxies.
        return RedirectResponse(f"reliability/?{_view(request).address}", 307)

    async def _page(self, _rel: Reliability, request: Request) -> Response:
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

    async def _rules(self, _rel: Reliability, request: Request) -> Response:
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

    async def _state(self, _rel: Reliability, request: Request) -> Response:
        view = _view(request)
        look = (await self.hub.show(view.whole)).look._replace(most=_LISTED)
        panels = {name: data async for name, data in read_panels(look)}
        return answer({**panels, "now": look.charts.now(), "service": self._rel.service})

    async def _stream(self, _rel: Reliability, request: Request) -> Response:
        stream = await self.hub.open(_view(request))
        if stream is None:
            return refuse(_UNAVAILABLE, "Too many pages are open, or the service is about to end.")
        return EventStream(stream, self._rel, lasts=_STREAM_LASTS)

    def _services(self, view: View) -> list[str]:
        known = {slo.service for slo in self._rel.slos.slos.values()}
        known.update(each.alert.labels.get("service", "") for each in self._rel.alerts.active_alerts())
        return sorted({self._rel.service, view.service, *sorted(known)[:_CHOICES]} - {""})

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

    async def _login_page(self, _rel: Reliability, request: Request) -> Response:
        return self._ask_for_token(request, status=200)

    async def _login(self, _rel: Reliability, request: Request) -> Response:
        if not self.sessions.accepts(await _field(request, "token")):
            try:
                self._failed_logins.add(client_address(request.scope))
            except RateLimited:
                return self._ask_for_token(request, wrong="Too many tries: wait a minute.", status=_TOO_MANY)
            return self._ask_for_token(request, wrong="This is not the token.")
        response = RedirectResponse(f"./?{_view(request).query}", 303, headers=_HEADERS)
        self.sessions.begin(request, response, _cookie_path(request))
        return response

    async def _logout(self, _rel: Reliability, request: Request) -> Response:
        response = RedirectResponse("./", 303, headers=_HEADERS)
        self.sessions.end(response, _cookie_path(request))
        return response

    # -- acting -------------------------------------------------------------------------------------------------

    async def _act(self, _rel: Reliability, request: Request) -> Response:
        action = ACTIONS.get(request.path_params["action"])
        if action is None:
            return refuse(_NOT_FOUND, "There is no such action.")
        done = action(self.watch, await body_of(request, _ACTION_KEYS))
        self.hub.poke()
        return answer({"done": done})

    # -- files --------------------------------------------------------------------------------------------------

    async def _static(self, _rel: Reliability, request: Request) -> Response:
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
    return quote(request.scope["path"].rpartition("/")[0], safe="/~:@!$&'()*+,=") + "/"


async def _field(request: Request, name: str) -> str:
    content = await read_body(request, _LONGEST_FORM)
    return parse_qs(content.decode("latin-1"), keep_blank_values=True).get(name, [""])[0]


@functools.cache
def _file(name: str) -> tuple[bytes, bytes, str]:
    """A file as it is, packed, and its tag."""
    content = files("resilience_middleware.console").joinpath("static", name).read_bytes()
    return content, gzip.compress(content, mtime=0), f'"{hashlib.sha256(content).hexdigest()[:16]}"'
