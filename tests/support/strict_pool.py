"""A strict Stratum V1 pool for tests: rebuilds every share from scratch and judges it.

    python3 strict_pool.py --port 0 --difficulty 1e-4 --seed 7

Prints one JSON object a line: first `listening` with the port, then what happens, and when it
ends (SIGTERM, SIGINT, end of stdin, --seconds) a `report`. Exit code 0. See --help for the moods.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import stat
import sys

from hostile_script import HostileScript
from job_book import Session
from pool_client import Client
from pool_options import LEGAL_MASK, parse_options
from pool_report import Report
from profiles import PROFILES
from referee import Referee
from share_rules import Terms
from synthetic_jobs import JobMaker

SESSIONS_KEPT = 256
EXTRANONCE1_SIZE = 4
PING_SECONDS = 0.5
LATE_NOTIFY_SECONDS = 1.0
CLOSE_SECONDS = 0.5
CLOSE_POLL_SECONDS = 0.005


class Pool:
    def __init__(self, options, report: Report):
        self.options = options
        self.profile = PROFILES[options.profile]
        self.report = report
        self.rng = random.Random(f"{options.seed} pool")
        version_bits = options.mask if isinstance(options.mask, int) else LEGAL_MASK
        self.jobs = JobMaker(f"{options.seed} jobs", options.nbits,
                             version_bits if options.job_version_bits else 0, self.profile.jobs)
        self.referee = Referee(options.flight_ms / 1000, self.profile.shares)
        self.hostile = HostileScript(options.hostile, random.Random(f"{options.seed} hostile"),
                                     report, self.now)
        self.sessions = {}
        self.clients = {}
        self.connections = 0
        self.reconnect_sent = False
        self.stop = asyncio.Event()
        self.fault = None

    @staticmethod
    def now() -> float:
        return asyncio.get_running_loop().time()

    def fail(self, fault: BaseException) -> None:
        """Ends the pool with a traceback instead of a report."""
        self.fault = self.fault or fault
        self.stop.set()

    def new_extranonce1(self, size: int) -> bytes:
        return self.jobs.random_bytes(size)

    def new_session(self) -> Session:
        options = self.options
        extranonce1 = options.extranonce1
        if extranonce1 is None:
            extranonce1 = self.new_extranonce1(EXTRANONCE1_SIZE)
        terms = Terms(options.difficulty, extranonce1, options.extranonce2_size, None)
        session_id = self.jobs.random_bytes(8).hex()
        if self.profile.subscription.session_id == "extranonce1":
            session_id = extranonce1.hex()
        return Session(session_id, terms, self.referee.flight_seconds, self.profile.difficulty.rule)

    def keep_session(self, session: Session) -> None:
        self.sessions[session.session_id] = session
        if len(self.sessions) > SESSIONS_KEPT:
            del self.sessions[next(iter(self.sessions))]

    async def accept(self, reader, writer) -> None:
        self.connections += 1
        client = Client(self, self.connections, reader, writer)
        self.clients[client.number] = client
        self.report.connected()
        self.report.event("connect", connection=client.number)
        reason = "fault of the pool"
        try:
            reason = await client.serve()
        except Exception as fault:  # a judge that goes on in silence would be worse
            self.fail(fault)
        del self.clients[client.number]
        self.referee.seen.closed(client.number, self.now())
        self.report.event("disconnect", connection=client.number, reason=reason)

    def share_accepted(self, client: Client) -> None:
        if self.options.reconnect_to is None or self.reconnect_sent:
            return
        self.reconnect_sent = True
        self.report.count("reconnects_sent")
        host, port = self.options.reconnect_to
        client.notify("client.reconnect", [host, port, 0])

    def working_clients(self) -> list:
        return [client for client in self.clients.values() if client.working and client.outbox.open]

    # What happens by the clock.

    def tick_jobs(self) -> None:
        if self.rng.random() < self.options.clean_ratio:
            self.jobs.new_block()
        for client in self.working_clients():
            client.send_next_job()

    def tick_difficulty(self) -> None:
        for client in self.working_clients():
            base, span = self.options.difficulty, self.options.difficulty_span
            changed = client.terms.difficulty * self.rng.uniform(0.5, 2)
            client.send_difficulty(min(max(changed, base / span), base * span))
            self.report.count("difficulty_changes")
            self.follow_difficulty(client)

    def follow_difficulty(self, client: Client) -> None:
        """The job after a change of difficulty; the next one by the clock brings it in any case."""
        follower = self.profile.difficulty.followed_by
        if follower == "clean-job":
            client.send_job(clean=True)
        elif follower == "quick-job":
            client.send_job(clean=True, kind="quick")
        elif follower == "same-job":
            client.send_same_job()
        elif follower == "either" and self.rng.random() < 0.5:
            client.send_next_job()
        elif follower == "either":
            client.start(self.notify_late(client))

    async def notify_late(self, client: Client) -> None:
        await asyncio.sleep(self.rng.uniform(0, LATE_NOTIFY_SECONDS))
        client.send_next_job()

    def tick_extranonce(self) -> None:
        for client in self.working_clients():
            client.change_extranonce()

    def tick_mask(self) -> None:
        for client in self.working_clients():
            client.change_mask()

    def tick_cut(self) -> None:
        for client in self.working_clients():
            client.cut()

    def tick_ping(self) -> None:
        for client in self.working_clients():
            client.send_pings()

    def clocks(self) -> list:
        """The periods in seconds, None for what is off, and whether they vary."""
        options = self.options
        return [
            (options.job_every / 1000, self.tick_jobs, False),
            (options.difficulty_changes, self.tick_difficulty, True),
            (options.set_extranonce_every, self.tick_extranonce, True),
            (options.mask_changes, self.tick_mask, True),
            (options.cut_every, self.tick_cut, True),
            (PING_SECONDS if options.ping else None, self.tick_ping, False),
        ]

    async def every(self, seconds: float, tick, varies: bool) -> None:
        while True:
            await asyncio.sleep(seconds * (self.rng.uniform(0.5, 1.5) if varies else 1))
            try:
                tick()
            except Exception as fault:
                self.fail(fault)

    async def close(self) -> None:
        """What has been written to the clients still arrives, unless one does not read."""
        for client in list(self.clients.values()):
            client.close()
        until = self.now() + CLOSE_SECONDS
        while self.clients and self.now() < until:
            await asyncio.sleep(CLOSE_POLL_SECONDS)
        for client in list(self.clients.values()):
            client.outbox.abort()
        while self.clients:  # the loop reports each of them as lost in its next rounds
            await asyncio.sleep(CLOSE_POLL_SECONDS)


async def serve(options, report: Report) -> None:
    pool = Pool(options, report)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, pool.stop.set)
    server = await asyncio.start_server(pool.accept, "127.0.0.1", options.port,
                                        limit=pool.profile.lines.longest)
    report.event("listening", port=server.sockets[0].getsockname()[1])
    tasks = [loop.create_task(pool.every(*clock)) for clock in pool.clocks() if clock[0] is not None]
    tasks.append(loop.create_task(stop_at_end_of_stdin(pool.stop)))
    if options.seconds is not None:
        loop.call_later(options.seconds, pool.stop.set)
    await pool.stop.wait()
    for task in tasks:
        task.cancel()
    server.close()
    await pool.close()
    if pool.fault is not None:
        raise pool.fault
    report.finish()


async def stop_at_end_of_stdin(stop: asyncio.Event) -> None:
    """Only where somebody can close it: a pipe, a socket or a terminal, not /dev/null."""
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or sys.stdin.isatty()):
        return
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(4096):
        pass
    stop.set()


def main() -> None:
    options = parse_options()
    asyncio.run(serve(options, Report(options.profile)))


if __name__ == "__main__":
    main()
