"""One connection: the requests of the client, and what the pool sends to it."""

from __future__ import annotations

import asyncio
import dataclasses

from answers import AnswerQueue, accept, reject
from client_lines import Answer, ProtocolError, Request, parse_configure, parse_line
from hostile_lines import line, notification
from outbox import Outbox
from referee import GOOD, Ruling, Standing
from share_rules import Job, Terms, difficulty_of_hash

UNKNOWN_METHOD = (-3, "Method not found")
REPEAT_RATIO = 0.3
MAX_PROTOCOL_ERRORS = 100
MIN_EXTRANONCE2 = 2
MAX_EXTRANONCE_CHANGED = 8


class Client:
    def __init__(self, pool, number: int, reader, writer):
        self.pool = pool
        self.number = number
        self.reader = reader
        self.outbox = Outbox(writer, pool.options, pool.rng)
        self.answers = AnswerQueue(pool.options, pool.rng)
        self.session = pool.new_session()
        self.users = frozenset()
        self.subscribed = False
        self.agreed_mask = 0
        self.working = False  # the first job has been sent
        self.closed = False
        self.last_id = 0
        self.last_draft = None
        self.pings = {}
        self.tasks = set()
        self.errors = 0

    @property
    def terms(self) -> Terms:
        return self.session.terms

    async def serve(self) -> str:
        """Until the connection ends; says why it did."""
        self.start(self.outbox.run())
        try:
            while True:
                self._read(await self.reader.readuntil(b"\n"))
        except asyncio.IncompleteReadError:
            return "closed"
        except asyncio.LimitOverrunError:
            self.pool.report.protocol_error(self.number, "line-too-long")
            return "line-too-long"
        except OSError:
            return "reset"
        except ProtocolError as error:
            return error.reason
        finally:
            self.close()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.answers.close()
        for task in self.tasks:
            task.cancel()
        if not self.outbox.closed:
            self.outbox.close()

    def start(self, coroutine) -> None:
        """A task that ends with the connection."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.pool.fail(task.exception())

    # From the pool to the client.

    def send_difficulty(self, difficulty) -> None:
        self._change_terms(difficulty=difficulty)
        self.outbox.send(line(notification("mining.set_difficulty", [difficulty])))
        self.pool.report.event("difficulty", connection=self.number, difficulty=difficulty)

    def send_job(self, clean: bool, quiet: bool = False, job_id: str | None = None) -> None:
        draft = self.pool.jobs.draft()
        if job_id is not None:
            draft = dataclasses.replace(draft, job_id=job_id)
        self._send_draft(draft, clean, quiet)

    def send_next_job(self) -> None:
        """A new job, or with --repeat-job-ids sometimes the last one once more."""
        chain_moved = self.session.block != self.pool.jobs.height
        repeats = self.pool.options.repeat_job_ids and self.pool.rng.random() < REPEAT_RATIO
        if repeats and not chain_moved and self.last_draft is not None:
            self.pool.report.count("repeated_jobs")
            self._send_draft(self.last_draft, clean=False)
        else:
            self.send_job(clean=chain_moved)

    def change_extranonce(self) -> None:
        """A new extranonce1 and size, and at once the notify from which on they hold."""
        rng = self.pool.rng
        size = rng.randint(MIN_EXTRANONCE2, MAX_EXTRANONCE_CHANGED)
        extranonce1 = self.pool.new_extranonce1(rng.randint(MIN_EXTRANONCE2, MAX_EXTRANONCE_CHANGED))
        self._change_terms(extranonce1=extranonce1, extranonce2_size=size)
        self.outbox.send(line(notification("mining.set_extranonce", [extranonce1.hex(), size])))
        self.pool.report.count("extranonce_changes")
        self.send_next_job()

    def change_mask(self) -> None:
        """A part of the mask, and at once a job; only where version rolling was agreed."""
        if self.terms.mask is None:
            return
        mask = self.agreed_mask & self.pool.rng.getrandbits(32) or self.agreed_mask
        self._change_terms(mask=mask)
        self.outbox.send(line(notification("mining.set_version_mask", [f"{mask:08x}"])))
        self.pool.report.count("mask_changes")
        self.send_next_job()

    def send_pings(self) -> None:
        """Two requests with ids that are the client's own last and next."""
        if self.pings or not self.last_id:
            return
        for request_id, method in ((self.last_id, "mining.ping"), (self.last_id + 1, "client.get_version")):
            self.pings[request_id] = method
            self.outbox.send(line({"id": request_id, "method": method, "params": []}))
            self.pool.report.count("pings_sent")

    def cut(self) -> None:
        """At random: behind half a line, with what was written delivered, or without."""
        self.pool.report.count("cuts")
        how = self.pool.rng.choice(("mid-line", "close", "abort"))
        self.pool.report.event("cut", connection=self.number, how=how)
        if how == "mid-line":
            whole = line(notification("mining.notify", self.pool.jobs.draft().notify(self.terms).params(True)))
            self.outbox.cut_after(whole[:self.pool.rng.randint(1, len(whole) - 2)])
        elif how == "close":
            self.outbox.close()
        else:
            self.outbox.abort()

    def _start_work(self) -> None:
        self.send_difficulty(self.terms.difficulty)
        if self.pool.options.no_notify:
            return
        self.working = True
        self.send_job(clean=self.session.block != self.pool.jobs.height)
        self.start(self.pool.hostile.play(self))

    def _send_draft(self, draft, clean: bool, quiet: bool = False) -> None:
        job, session, report = Job(draft.notify(self.terms), self.terms), self.session, self.pool.report
        self.last_draft, session.block = draft, self.pool.jobs.height

        def written():
            session.book.written(job, clean, self.pool.now())
            report.count("jobs")
            if clean:
                report.count("clean_jobs")
            if not quiet:
                report.event("job", connection=self.number, job=draft.job_id, clean=clean, **_shown(job.terms))

        self.outbox.send(line(notification("mining.notify", job.notify.params(clean))), then=written)

    def _change_terms(self, **changes) -> None:
        self.session.terms = dataclasses.replace(self.session.terms, **changes)

    def _accept(self, request: Request, result) -> None:
        self.outbox.send(line(accept(request.request_id, result)))

    def _reject(self, request: Request, code: int, text: str) -> None:
        text = self.pool.hostile.reject_text(text)
        self.outbox.send(line(reject(request.request_id, code, text, self.pool.options.error_style)))

    # From the client to the pool.

    def _read(self, text: bytes) -> None:
        if self.pool.options.zombie:
            return
        try:
            message = parse_line(text)
            if isinstance(message, Answer):
                self._pong(message)
            else:
                self._request(message)
        except ProtocolError as error:
            self.pool.report.protocol_error(self.number, error.reason)
            self.errors += 1
            if error.reason == "line-too-long" or self.errors > MAX_PROTOCOL_ERRORS:
                raise

    def _request(self, request: Request) -> None:
        if request.request_id <= self.last_id:
            raise ProtocolError("id-not-increasing")
        self.last_id = request.request_id
        handlers = {
            "mining.configure": self._configure,
            "mining.subscribe": self._subscribe,
            "mining.authorize": self._authorize,
            "mining.submit": self._submit,
            "mining.extranonce.subscribe": lambda request: self._accept(request, True),
            "mining.suggest_difficulty": lambda request: self._accept(request, True),
            "mining.suggest_target": lambda request: self._accept(request, True),
        }
        handler = handlers.get(request.method)
        if handler is None:
            self._reject(request, *UNKNOWN_METHOD)
            raise ProtocolError("unknown-method")
        handler(request)

    def _configure(self, request: Request) -> None:
        asked, offered = parse_configure(request.params), self.pool.options.mask
        if offered == "silent":
            return
        if offered == "none":
            self._reject(request, *UNKNOWN_METHOD)
            return
        if self.pool.options.pipeline_early_work and self.pool.rng.random() < 0.5:
            self.send_difficulty(self.terms.difficulty)
        result = {name: False for name in request.params[0] if isinstance(name, str)}
        if asked is not None:
            self.agreed_mask = asked & offered
            self._change_terms(mask=self.agreed_mask or None)
            result["version-rolling"] = True
            result["version-rolling.mask"] = f"{self.agreed_mask:08x}"
        self._accept(request, result)

    def _subscribe(self, request: Request) -> None:
        if self.subscribed:
            raise ProtocolError("second-subscribe")
        if not all(isinstance(param, str) for param in request.params) or len(request.params) > 2:
            raise ProtocolError("subscribe-params")
        self.subscribed = True
        self._resume(request.params[1] if len(request.params) == 2 else None)
        early = self.pool.options.pipeline_early_work
        before = early and self.pool.rng.random() < 0.5
        if before:
            self._start_work()
        subscriptions = [["mining.set_difficulty", self.session.session_id],
                         ["mining.notify", self.session.session_id]]
        result = [subscriptions, self.terms.extranonce1.hex(), self.terms.extranonce2_size]
        self._accept(request, self.pool.hostile.subscribe_result(self, result))
        if early and not before:
            self._start_work()
        self.pool.report.event("subscribe", connection=self.number, agent=(request.params or [None])[0],
                               session=self.session.session_id, **_shown(self.terms))

    def _resume(self, session_id: str | None) -> None:
        session = self.pool.sessions.get(session_id) if self.pool.options.resume else None
        if session is None:
            self.pool.keep_session(self.session)
            return
        session.terms = dataclasses.replace(session.terms, mask=self.terms.mask)
        self.session = session
        self.pool.report.count("resumed")

    def _authorize(self, request: Request) -> None:
        if self.users:
            raise ProtocolError("second-authorize")
        if len(request.params) != 2 or not all(isinstance(param, str) for param in request.params):
            raise ProtocolError("authorize-params")
        user = request.params[0]
        refused = self.pool.options.refuse_authorize
        self.pool.report.event("authorize", connection=self.number, user=user, accepted=not refused)
        if refused:
            self.working = False
            self._reject(request, 24, "Unauthorized worker")
            return
        self.users = frozenset((user,))
        self._accept(request, True)
        if self.pool.options.show_message is not None:
            self.outbox.send(line(notification("client.show_message", [self.pool.options.show_message])))
        if self.subscribed and not self.working:
            self._start_work()

    def _submit(self, request: Request) -> None:
        self.pool.report.count("submits")
        standing = Standing(self.number, self.session, self.subscribed, self.users, self.terms.mask is not None)
        ruling = self.pool.referee.rule(request.params, standing, self.pool.now())
        verdict = ruling.verdict
        if verdict == "accepted" and self.pool.hostile.rejects(ruling.sending):
            verdict = "hostile_reject"
        self._record(verdict, ruling)
        self.answers.put(lambda: self._answer_submit(request, verdict, ruling))
        if verdict == "accepted":
            self.pool.share_accepted(self)

    def _answer_submit(self, request: Request, verdict: str, ruling: Ruling) -> None:
        if verdict in GOOD:
            message = accept(request.request_id, True)
        else:
            code, text = ruling.error(verdict)
            text = self.pool.hostile.reject_text(text)
            message = reject(request.request_id, code, text, self.pool.options.error_style)

        def written():
            self.pool.report.count("answered")
            if ruling.seen is not None:
                ruling.seen.answered_at = self.pool.now()

        self.outbox.send(line(message), then=written)

    def _record(self, verdict: str, ruling: Ruling) -> None:
        report, sending, proof = self.pool.report, ruling.sending, ruling.proof
        job = _shown(sending.job.terms) if sending else {}
        job["job_difficulty"] = job.pop("difficulty", None)
        report.share(verdict, ruling.reason, job["job_difficulty"])
        if proof is not None and proof.block:
            report.count("blocks")
        if verdict == "accepted" and self.pool.hostile.is_after(sending):
            report.count("accepted_after_hostile")
        submit = dataclasses.asdict(ruling.submit) if ruling.submit else {}
        submit["job"] = submit.pop("job_id", None)
        number = ruling.header_hash
        report.event(
            "share", connection=self.number, verdict=verdict, reason=ruling.reason, **submit,
            hash=None if number is None else f"{number:064x}",
            difficulty=None if number is None else difficulty_of_hash(number),
            block=proof is not None and proof.block, **job,
        )

    def _pong(self, answer: Answer) -> None:
        method = self.pings.pop(answer.request_id, None)
        if method is None:
            raise ProtocolError("answer-to-nothing")
        result, report = answer.result, self.pool.report
        good = result == "pong" if method == "mining.ping" else isinstance(result, str) and bool(result)
        report.count("pings_answered" if good and answer.error is None else "pings_wrong")


def _shown(terms: Terms) -> dict:
    return {
        "difficulty": terms.difficulty,
        "extranonce1": terms.extranonce1.hex(),
        "extranonce2_size": terms.extranonce2_size,
        "mask": None if terms.mask is None else f"{terms.mask:08x}",
    }
