"""One connection: the requests of the client, and what the pool sends to it."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from typing import Callable

from answers import AnswerQueue
from client_lines import Answer, EndsConnection, ProtocolError, Request, parse_line
from envelope import Writer, line
from handshake import Handshake
from hostile_lines import GOODBYE
from outbox import Outbox
from referee import GOOD, Ruling, Standing
from share_rules import Job, Terms, difficulty_of_hash

REPEAT_RATIO = 0.3
MAX_PROTOCOL_ERRORS = 100
ANY_EXTRANONCES = tuple(itertools.product(range(2, 9), repeat=2))


class Client:
    def __init__(self, pool, number: int, reader, writer):
        self.pool = pool
        self.number = number
        self.reader = reader
        self.outbox = Outbox(writer, pool.options, pool.rng)
        self.answers = AnswerQueue(pool.options, pool.rng)
        self.session = pool.new_session()
        self.writer = Writer(pool.profile.envelope)
        self.handshake = Handshake(self)
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
        session = self.session
        self.change_terms(difficulty=difficulty)
        self.notify("mining.set_difficulty", [self.writer.difficulty(difficulty)],
                    then=lambda: session.difficulties.told(difficulty, self.pool.now()))
        self.pool.report.event("difficulty", connection=self.number, difficulty=difficulty)

    def send_job(self, clean: bool, quiet: bool = False, job_id: str | None = None, kind: str = "usual") -> None:
        draft = self.pool.jobs.draft(kind)
        if job_id is not None:
            draft = dataclasses.replace(draft, job_id=job_id)
        self._send_draft(draft, clean, quiet)

    def send_next_job(self) -> None:
        """A new job, or with --repeat-job-ids sometimes the last one once more."""
        chain_moved = self._chain_moved()
        repeats = self.pool.options.repeat_job_ids and self.pool.rng.random() < REPEAT_RATIO
        if repeats and not chain_moved and self.last_draft is not None:
            self.pool.report.count("repeated_jobs")
            self._send_draft(self.last_draft, clean=False)
        else:
            empty = chain_moved and self.pool.profile.jobs.empty_after_block
            self.send_job(clean=chain_moved, kind="empty" if empty else "usual")

    def send_same_job(self) -> None:
        """The last job under its old id, unless there is a new block to work on."""
        if self._chain_moved():
            self.send_next_job()
        else:
            self.pool.report.count("repeated_jobs")
            self._send_draft(self.last_draft, clean=False)

    def _chain_moved(self) -> bool:
        return self.session.block != self.pool.jobs.height

    def change_extranonce(self) -> None:
        """A new extranonce1 and size, and at once the notify from which on they hold."""
        form = self.pool.profile.subscription
        if form.without_consent == "reconnect" and not self.handshake.extranonce_consent:
            self.notify("client.reconnect", [])
            return
        sizes = form.changed_sizes or ANY_EXTRANONCES
        extranonce1_size, size = self.pool.rng.choice(sizes)
        extranonce1 = self.pool.new_extranonce1(extranonce1_size)
        self.change_terms(extranonce1=extranonce1, extranonce2_size=size)
        self.notify("mining.set_extranonce", [extranonce1.hex(), size])
        self.pool.report.count("extranonce_changes")
        if form.changed_job == "same-id":
            self.send_same_job()
        else:
            self.send_next_job()

    def change_mask(self) -> None:
        """A part of the mask, and at once a job; only where version rolling was agreed."""
        if self.terms.mask is None:
            return
        agreed = self.handshake.agreed_mask
        mask = agreed & self.pool.rng.getrandbits(32) or agreed
        self.change_terms(mask=mask)
        self.notify("mining.set_version_mask", [f"{mask:08x}"])
        self.pool.report.count("mask_changes")
        self.send_next_job()

    def send_pings(self) -> None:
        """Two requests with ids that are the client's own last and next, or one with the profile's id."""
        if self.pings or not self.last_id:
            return
        fixed = self.pool.profile.lines.ping_id
        pings = ((self.last_id, "mining.ping"), (self.last_id + 1, "client.get_version"))
        for request_id, method in pings if fixed is None else ((fixed, "mining.ping"),):
            self.pings[request_id] = method
            self.outbox.send(line({"id": request_id, "method": method, "params": []}))
            self.pool.report.count("pings_sent")

    def cut(self) -> None:
        """At random: behind half a line, with what was written delivered, or without."""
        self.pool.report.count("cuts")
        how = self.pool.rng.choice(("mid-line", "close", "abort"))
        self.pool.report.event("cut", connection=self.number, how=how)
        if how == "mid-line":
            params = self.pool.jobs.draft().notify(self.terms).params(True)
            whole = self.writer.notification("mining.notify", params)
            self.outbox.cut_after(whole[:self.pool.rng.randint(1, len(whole) - 2)])
        elif how == "close":
            self.outbox.close()
        else:
            self.outbox.abort()

    def start_work(self) -> None:
        """The first job; some servers greet with it twice."""
        if self.pool.options.no_notify:
            return
        self.send_job(clean=self._chain_moved())
        if not self.working:
            self.working = True
            self.start(self.pool.hostile.play(self))

    def _send_draft(self, draft, clean: bool, quiet: bool = False) -> None:
        profile, session, report = self.pool.profile, self.session, self.pool.report
        if profile.difficulty.before_every_job:
            self.send_difficulty(self.terms.difficulty)
        job = Job(draft.notify(self.terms), self.terms)
        clean = clean or profile.jobs.always_clean
        ends_others = {"clean-job": clean, "block": self._chain_moved(), "never": False}[profile.shares.stale_after]
        self.last_draft, session.block = draft, self.pool.jobs.height

        def written():
            session.book.written(job, ends_others, self.pool.now())
            report.count("jobs")
            if clean:
                report.count("clean_jobs")
            if not quiet:
                report.event("job", connection=self.number, job=draft.job_id, clean=clean, **_shown(job.terms))

        self.notify("mining.notify", job.notify.params(clean), then=written)

    def change_terms(self, **changes) -> None:
        self.session.terms = dataclasses.replace(self.session.terms, **changes)

    def accept(self, request: Request, result) -> None:
        self.send(self.writer.accept(request.request_id, result))

    def notify(self, method: str, params: list, then: Callable | None = None) -> None:
        self.send(self.writer.notification(method, params), then)

    def send(self, text: bytes, then: Callable | None = None) -> None:
        self.outbox.send(text, then)

    # From the client to the pool.

    def _read(self, text: bytes) -> None:
        if self.pool.options.zombie:
            return
        try:
            message = self._parse(text)
            if isinstance(message, Answer):
                self._pong(message)
            else:
                self._request(message)
        except ProtocolError as error:
            self.pool.report.protocol_error(self.number, error.reason)
            self.errors += 1
            if isinstance(error, EndsConnection) or self.errors > MAX_PROTOCOL_ERRORS:
                raise

    def _parse(self, text: bytes):
        lines = self.pool.profile.lines
        try:
            message = parse_line(text, lines.longest)
            if isinstance(message, Answer) and message.request_id not in self.pings:
                raise ProtocolError("answer-to-nothing")
            return message
        except ProtocolError as error:
            if lines.bad_line == "goodbye":
                self.outbox.cut_after(GOODBYE)
            elif lines.bad_line == "parse-error":
                self.outbox.cut_after(self.writer.reject(None, -32700, "Parse error", "object"))
            if error.reason == "line-too-long" or lines.bad_line == "close":
                raise EndsConnection(error.reason) from None
            raise

    def _request(self, request: Request) -> None:
        if request.request_id <= self.last_id:
            raise ProtocolError("id-not-increasing")
        self.last_id = request.request_id
        if request.method == "mining.submit":
            self._submit(request)
        else:
            self.handshake.request(request)

    def resume(self, session_id: str | None) -> None:
        """The session of an earlier connection, if the pool resumes and knows it."""
        session = self.pool.sessions.get(session_id) if self.pool.options.resume else None
        if session is None:
            self.pool.keep_session(self.session)
            return
        session.terms = dataclasses.replace(session.terms, mask=self.terms.mask)
        self.session = session
        self.pool.report.count("resumed")

    def told_subscription(self, agent) -> None:
        self.pool.report.event("subscribe", connection=self.number, agent=agent,
                               session=self.session.session_id, **_shown(self.terms))

    def _submit(self, request: Request) -> None:
        self.pool.report.count("submits")
        standing = Standing(self.number, self.session, self.handshake.subscribed, self.handshake.users,
                            self.terms.mask is not None)
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
            text = self.writer.accept(request.request_id, True)
        else:
            refusal = self.pool.referee.error(ruling, verdict)
            style = refusal.style or self.pool.options.error_style
            words = self.pool.hostile.reject_text(refusal.text)
            text = self.writer.reject(request.request_id, refusal.code, words, style)

        def written():
            self.pool.report.count("answered")
            if ruling.seen is not None:
                ruling.seen.answered_at = self.pool.now()

        self.send(text, then=written)

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
        method = self.pings.pop(answer.request_id)
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
