"""From when on a difficulty counts: servers differ, and a share is judged by its server's rule.

Pure: time is an argument.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

CHANGES_KEPT = 256


@dataclass(frozen=True)
class DifficultyRule:
    """`job`: what was in force when the job was sent. `at-once`: what is in force now, whatever the
    job. `lower-at-once`: the lower of both.
    """

    at: Literal["job", "at-once", "lower-at-once"] = "job"
    previous_seconds: float = 0.0  # an earlier value still counts for so long after its end
    tolerance: float = 0.0  # part of the difficulty that may be missing


class DifficultyLog:
    """What a session has been told, in order of time."""

    def __init__(self, rule: DifficultyRule):
        self.rule = rule
        self.changes = deque(maxlen=CHANGES_KEPT)  # (time at which the last byte was written, difficulty)

    def told(self, difficulty: float, now: float) -> None:
        self.changes.append((now, difficulty))

    def required(self, job_difficulty: float, now: float, flight_seconds: float = 0.0) -> float:
        """The difficulty that a share of such a job has to meet now.

        With `flight_seconds`: what it had to meet at the easiest moment in so many seconds up to now.
        """
        rule, required = self.rule, job_difficulty
        if rule.at != "job" or rule.previous_seconds:
            lowest = self._lowest_since(now - max(rule.previous_seconds, flight_seconds), job_difficulty)
            required = lowest if rule.at == "at-once" else min(job_difficulty, lowest)
        return required * (1 - rule.tolerance)

    def _lowest_since(self, since: float, untold: float) -> float:
        """The lowest value in force at any moment since then; `untold` if nothing was ever said."""
        lowest, ended_at = None, float("inf")
        for written_at, difficulty in reversed(self.changes):
            if ended_at < since:
                break
            lowest = difficulty if lowest is None else min(lowest, difficulty)
            ended_at = written_at
        return untold if lowest is None else lowest
