"""Which jobs a client knows, since when they are stale, and which shares were seen before.

Pure: time is an argument. A book belongs to a session and so survives a resumed connection.
"""

from __future__ import annotations

from dataclasses import dataclass

from difficulty_rules import DifficultyLog, DifficultyRule
from share_rules import Job, Terms

# More than a flood of 1000 jobs a second leaves behind in the time a miner keeps a job.
JOBS_KEPT = 8192
SHARES_KEPT = 100_000


@dataclass(frozen=True)
class Sending:
    """One notify that was written completely."""

    job: Job
    epoch: int  # number of jobs written so far that ended all before them, itself included
    written_at: float


class JobBook:
    """The jobs of one session in the order in which their last byte was written."""

    def __init__(self, flight_seconds: float):
        self.flight_seconds = flight_seconds
        self.epoch = 0
        self.end_times = {}
        self.sendings = {}
        self.replaced = {}

    def written(self, job: Job, ends_others: bool, now: float) -> None:
        if ends_others:
            self.epoch += 1
            self.end_times[self.epoch] = now
            self.end_times.pop(self.epoch - JOBS_KEPT, None)
        job_id = job.notify.job_id
        earlier = self.sendings.pop(job_id, None)
        self.replaced.pop(job_id, None)
        if earlier is not None:
            self.replaced[job_id] = earlier
        self.sendings[job_id] = Sending(job, self.epoch, now)
        if len(self.sendings) > JOBS_KEPT:
            oldest = next(iter(self.sendings))
            del self.sendings[oldest]
            self.replaced.pop(oldest, None)

    def candidates(self, job_id: str, now: float) -> list:
        """The sendings a share with this job id may stand for, newest first.

        The same id sent again replaces the job; what was in flight then still means the old one.
        """
        newest = self.sendings.get(job_id)
        if newest is None:
            return []
        earlier = self.replaced.get(job_id)
        if earlier is None or now - newest.written_at > self.flight_seconds:
            return [newest]
        return [newest, earlier]

    def stale_seconds(self, sending: Sending, now: float) -> float | None:
        """How long ago the job that ended this one was written; None while it is good."""
        if sending.epoch == self.epoch:
            return None
        return now - self.end_times.get(sending.epoch + 1, 0.0)


class Session:
    """What `--resume` gives back to a client that returns with its session id."""

    def __init__(self, session_id: str, terms: Terms, flight_seconds: float,
                 rule: DifficultyRule = DifficultyRule()):
        self.session_id = session_id
        self.terms = terms  # as of the last line put into the outbox
        self.book = JobBook(flight_seconds)
        self.difficulties = DifficultyLog(rule)
        self.block = None  # the block height of the last job sent


class SeenShare:
    """A share that was judged good, and what became of its answer."""

    def __init__(self, connection: int):
        self.connection = connection
        self.answered_at = None
        self.closed_at = None

    def may_return(self, connection: int, flight_seconds: float) -> bool:
        """Sending it again is right only on a new connection and if the answer was lost."""
        if connection == self.connection or self.closed_at is None:
            return False
        return self.answered_at is None or self.closed_at - self.answered_at <= flight_seconds


class SeenShares:
    """The last shares by what tells them apart, over all connections."""

    def __init__(self):
        self.shares = {}

    def find(self, key) -> SeenShare | None:
        return self.shares.get(key)

    def add(self, key, connection: int) -> SeenShare:
        share = self.shares[key] = SeenShare(connection)
        if len(self.shares) > SHARES_KEPT:
            del self.shares[next(iter(self.shares))]
        return share

    def closed(self, connection: int, now: float) -> None:
        for share in self.shares.values():
            if share.connection == connection:
                share.closed_at = now
