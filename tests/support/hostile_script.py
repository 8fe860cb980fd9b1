"""When the hostile lines are sent, and how the pool goes on afterwards.

Each script is played once in the life of the pool, shortly after a client's first good job; the
attacks on extranonces are made twice: in the first answer to subscribe and, on a later
connection, by mining.set_extranonce.
"""

from __future__ import annotations

import asyncio

from envelope import line
from hostile_lines import ESCAPES, GOODBYE, LINES, STREAMS, notification

LEAD_SECONDS = 0.3
PAUSE_SECONDS = 0.2
FLOOD_JOBS = 3000
FLOOD_JOBS_PER_SECOND = 1000
FLOOD_BURST_SECONDS = 0.01
BAD_EXTRANONCES = {"odd-extranonce1": ("abc", 4), "extranonce2-size-99": ("08000002", 99)}


class HostileScript:
    def __init__(self, name, rng, report, now):
        self.name = name
        self.rng = rng
        self.report = report
        self.now = now
        self.sent_at = None
        self.spoiled_connection = None
        self.played = name is None
        self.rejected = False

    def subscribe_result(self, client, result: list) -> list:
        """The answer to subscribe, spoiled for the first client of the two extranonce attacks."""
        if self.name not in BAD_EXTRANONCES or self.spoiled_connection is not None:
            return result
        self.spoiled_connection = client.number
        self._mark_sent(client)
        return [result[0], *BAD_EXTRANONCES[self.name]]

    async def play(self, client) -> None:
        await asyncio.sleep(LEAD_SECONDS)
        if self.played or client.closed or client.number == self.spoiled_connection:
            return
        self.played = True
        self._mark_sent(client)
        if self.name in STREAMS:
            client.outbox.stream(STREAMS[self.name]())
            return
        if self.name in LINES:
            params = client.last_draft.notify(client.terms).params(False)
            client.outbox.send(LINES[self.name](params, self.rng))
            await self._go_on(client)
            return
        await self._scenes()[self.name](client)

    def reject_text(self, text: str) -> str:
        return text + ESCAPES if self.name == "escape-codes" and self.sent_at is not None else text

    def rejects(self, sending) -> bool:
        """Whether this good share is refused, once, to show a hostile reject text."""
        if self.name != "escape-codes" or self.rejected or not self.is_after(sending):
            return False
        self.rejected = True
        return True

    def is_after(self, sending) -> bool:
        return self.sent_at is not None and sending.written_at >= self.sent_at

    def _mark_sent(self, client) -> None:
        self.sent_at = self.now()
        self.report.count("hostile_sent")
        self.report.event("hostile", connection=client.number, name=self.name)

    def _scenes(self) -> dict:
        return {
            "odd-extranonce1": self._bad_set_extranonce,
            "extranonce2-size-99": self._bad_set_extranonce,
            "difficulty-1e300": self._difficulty_1e300,
            "plain-text-goodbye": self._goodbye,
            "job-flood": self._flood,
            "escape-codes": self._escape_codes,
        }

    async def _go_on(self, client) -> None:
        await asyncio.sleep(PAUSE_SECONDS)
        client.send_job(clean=False)

    async def _bad_set_extranonce(self, client) -> None:
        params = list(BAD_EXTRANONCES[self.name])
        client.outbox.send(line(notification("mining.set_extranonce", params)))
        await asyncio.sleep(PAUSE_SECONDS)
        client.change_extranonce()

    async def _difficulty_1e300(self, client) -> None:
        before = client.terms.difficulty
        client.send_difficulty(1e300)
        await asyncio.sleep(PAUSE_SECONDS)
        client.send_difficulty(before)
        client.send_job(clean=False)

    async def _goodbye(self, client) -> None:
        client.outbox.cut_after(GOODBYE)

    async def _flood(self, client) -> None:
        start, sent = self.now(), 0
        while sent < FLOOD_JOBS:
            due = min(int((self.now() - start) * FLOOD_JOBS_PER_SECOND), FLOOD_JOBS)
            for _ in range(due - sent):
                client.send_job(clean=False, quiet=True)
            sent = due
            await asyncio.sleep(FLOOD_BURST_SECONDS)
        await self._go_on(client)

    async def _escape_codes(self, client) -> None:
        client.outbox.send(line(notification("client.show_message", [ESCAPES])))
        client.send_job(clean=False, job_id="escape" + ESCAPES)
        await self._go_on(client)
