"""The requests around the shares: how one server or another greets, and what it answers to the rest."""

from __future__ import annotations

import asyncio

from client_lines import EndsConnection, ProtocolError, Request, parse_configure

NOT_FOUND = (-3, "Method not found", "list")
ERRORS = {"not-found": NOT_FOUND, "not-supported": (20, "Not supported.", "list"),
          "false-error": (20, "Not supported.", "false-list")}


class Handshake:
    def __init__(self, client):
        self.client = client
        self.pool = client.pool
        self.profile = client.pool.profile
        self.plan = self.profile.handshake
        self.subscribed = False
        self.users = frozenset()
        self.agreed_mask = 0
        self.extranonce_consent = False

    def request(self, request: Request) -> None:
        """Anything but a submit."""
        handler = {"mining.configure": self._configure, "mining.subscribe": self._subscribe,
                   "mining.authorize": self._authorize}.get(request.method, self._other)
        handler(request)

    # When the first difficulty and the first job come.

    def _reached(self, moment: str) -> None:
        if self.plan.first_job_seconds and moment in self.plan.first_job:
            self.client.start(self._greet_late(moment))
        else:
            self._greet(moment)

    async def _greet_late(self, moment: str) -> None:
        await asyncio.sleep(self.plan.first_job_seconds)
        self._greet(moment)

    def _greet(self, moment: str) -> None:
        client = self.client
        if moment in self.plan.first_difficulty:
            if self.profile.difficulty.zero_first:
                client.notify("mining.set_difficulty", [0.0])
            client.send_difficulty(client.terms.difficulty)
        if moment in self.plan.first_job:
            client.start_work()

    def _ready(self) -> None:
        if self.subscribed and self.users and not self.client.working:
            self._reached("ready")

    # The three requests.

    def _configure(self, request: Request) -> None:
        asked, offered, form = parse_configure(request.params), self.pool.options.mask, self.profile.configure
        if offered == "silent":
            return
        if offered == "none":
            self._error(request, *NOT_FOUND)
            return
        if self.pool.options.pipeline_early_work and self.pool.rng.random() < 0.5:
            self.client.send_difficulty(self.client.terms.difficulty)
        if asked is None and form.without_rolling != "object":
            if form.without_rolling == "null":
                self.client.accept(request, None)
            return
        names = request.params[0] if form.unknown_names == "false" else []
        result = {name: False for name in names if isinstance(name, str)} | dict(form.members)
        if asked is not None:
            self._agree(offered if form.answer == "fixed" else asked & offered)
            result["version-rolling"] = True
            result["version-rolling.mask"] = self._agreed_text()
        self.client.accept(request, result)
        if asked is not None and form.set_version_mask_follows:
            self.client.notify("mining.set_version_mask", [self._agreed_text()])

    def _agree(self, mask: int) -> None:
        self.agreed_mask = mask
        self.client.change_terms(mask=mask or None)

    def _agreed_text(self) -> str:
        return f"{self.agreed_mask:08x}" if self.profile.configure.padded else f"{self.agreed_mask:x}"

    def _subscribe(self, request: Request) -> None:
        client = self.client
        if self.subscribed:
            self._repeated(request, self.plan.second_subscribe, self._subscription)
        if not all(isinstance(param, str) for param in request.params) or len(request.params) > 2:
            raise ProtocolError("subscribe-params")
        self.subscribed = True
        client.resume(request.params[1] if len(request.params) == 2 else None)
        early = self.pool.options.pipeline_early_work and not client.working
        before = early and self.pool.rng.random() < 0.5
        if before:
            self._reached("ready")
        client.accept(request, self.pool.hostile.subscribe_result(client, self._subscription()))
        if early and not before:
            self._reached("ready")
        client.told_subscription((request.params or [None])[0])
        self._reached("subscribed")
        self._ready()

    def _subscription(self) -> list:
        session_id, terms = self.client.session.session_id, self.client.terms
        subscriptions = {
            "two-pairs": [["mining.set_difficulty", session_id], ["mining.notify", session_id]],
            "one-pair": [["mining.notify", session_id]],
            "flat": ["mining.notify", session_id],
        }[self.profile.subscription.form]
        return [subscriptions, terms.extranonce1.hex(), terms.extranonce2_size]

    def _authorize(self, request: Request) -> None:
        if self.users:
            self._repeated(request, self.plan.second_authorize, lambda: self.plan.authorized)
        if len(request.params) != 2 or not all(isinstance(param, str) for param in request.params):
            raise ProtocolError("authorize-params")
        if not self.subscribed and self.plan.authorize_first == "refused":
            self._error(request, 20, "Not subscribed", self.pool.options.error_style)
            raise ProtocolError("authorize-before-subscribe")
        user = request.params[0]
        refused = self.pool.options.refuse_authorize
        self.pool.report.event("authorize", connection=self.client.number, user=user, accepted=not refused)
        if refused:
            self.client.working = False
            self._error(request, 24, "Unauthorized worker", self.pool.options.error_style)
            return
        self.users = frozenset((user,))
        self._reached("authorizing")
        self.client.accept(request, self.plan.authorized)
        if self.pool.options.show_message is not None:
            self.client.notify("client.show_message", [self.pool.options.show_message])
        self._reached("authorized")
        self._ready()

    def _repeated(self, request: Request, reaction: str, result) -> None:
        reason = f"second-{request.method.removeprefix('mining.')}"
        if reaction == "close":
            raise EndsConnection(reason)
        if reaction == "again":
            self.client.accept(request, result())
        elif reaction == "error":
            self._error(request, 20, "Already done", self.pool.options.error_style)
        raise ProtocolError(reason)

    # What only some servers know.

    def _other(self, request: Request) -> None:
        lines = self.profile.lines
        reaction = lines.optional.get(request.method)
        if reaction is None:
            self._react(request, lines.unknown_method)
            raise ProtocolError("unknown-method")
        self._react(request, reaction)
        if request.method == "mining.extranonce.subscribe" and reaction == "true":
            self.extranonce_consent = True

    def _react(self, request: Request, reaction: str) -> None:
        if reaction == "close":
            raise EndsConnection("unknown-method")
        if reaction == "silent-if-whole" and type(request.params[0]) is not int:
            raise EndsConnection("suggestion-not-whole")
        if reaction == "true":
            self.client.accept(request, True)
        elif reaction in ERRORS:
            self._error(request, *ERRORS[reaction])

    def _error(self, request: Request, code: int, text: str, style: str) -> None:
        text = self.pool.hostile.reject_text(text)
        self.client.send(self.client.writer.reject(request.request_id, code, text, style))
