"""What the pool prints: one JSON object per event and line, and the counts of the whole run."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter

SHARE_COUNTS = ("accepted", "resubmitted", "duplicate", "stale", "stale_in_flight", "stale_block",
                "low_in_flight", "hostile_reject")
COUNTS = ("connections", "resumed", "cuts", "jobs", "clean_jobs", "repeated_jobs",
          "difficulty_changes", "extranonce_changes", "mask_changes", "reconnects_sent",
          "submits", "answered", "blocks", "pings_sent", "pings_answered", "pings_wrong",
          "hostile_sent", "accepted_after_hostile")


class Report:
    def __init__(self, profile: str, stream=sys.stdout):
        self.profile = profile
        self.stream = stream
        self.started = time.monotonic()
        self.counts = Counter()
        self.verdicts = Counter()
        self.invalid = Counter()
        self.protocol_errors = Counter()
        self.accepted_difficulty = 0.0
        self.first_connect = None
        self.first_share_seconds = None

    def event(self, name: str, /, **members) -> None:
        line = {"event": name, "time": round(time.monotonic() - self.started, 6), **members}
        try:
            self.stream.write(json.dumps(line) + "\n")
            self.stream.flush()
        except BrokenPipeError:
            pass  # nobody reads any more; the end of stdin or a signal stops the pool

    def count(self, name: str) -> None:
        assert name in COUNTS, name
        self.counts[name] += 1

    def connected(self) -> None:
        self.count("connections")
        if self.first_connect is None:
            self.first_connect = time.monotonic()

    def share(self, verdict: str, reason: str | None, job_difficulty: float) -> None:
        if verdict == "invalid":
            self.invalid[reason] += 1
            return
        assert verdict in SHARE_COUNTS, verdict
        self.verdicts[verdict] += 1
        if verdict == "accepted":
            self.accepted_difficulty += job_difficulty
            if self.first_share_seconds is None:
                self.first_share_seconds = round(time.monotonic() - self.first_connect, 6)

    def protocol_error(self, connection: int, reason: str) -> None:
        self.protocol_errors[reason] += 1
        self.event("protocol_error", connection=connection, reason=reason)

    def finish(self) -> None:
        names = {"duplicate": "duplicates", "stale_block": "stale_blocks",
                 "hostile_reject": "hostile_rejects"}
        verdicts = {names.get(name, name): self.verdicts[name] for name in SHARE_COUNTS}
        counts = {name: self.counts[name] for name in COUNTS}
        self.event(
            "report", profile=self.profile, **verdicts, invalid=dict(self.invalid), **counts,
            lost_unanswered=self.counts["submits"] - self.counts["answered"],
            protocol_errors=dict(self.protocol_errors),
            accepted_difficulty=self.accepted_difficulty,
            first_share_seconds=self.first_share_seconds,
        )
