"""The verdict on a submit: rules of the share first, then whether it is new, then whether it is late."""

from __future__ import annotations

from dataclasses import dataclass

from job_book import SeenShare, SeenShares, Sending, Session
from server_profile import Reject, Shares
from share_rules import Invalid, Proof, Submit, judge, parse_submit, target_of_difficulty

GOOD = ("accepted", "resubmitted")

REJECTS = {
    "unknown-job": Reject(21, "Job not found"),
    "stale": Reject(21, "Stale"),
    "stale_in_flight": Reject(21, "Stale"),
    "stale_block": Reject(21, "Stale"),
    "duplicate": Reject(22, "Duplicate share"),
    "low-difficulty": Reject(23, "Above target"),
    "unauthorized": Reject(24, "Unauthorized worker"),
    "not-subscribed": Reject(25, "Not subscribed"),
}
OTHER_CODE = 20


@dataclass(frozen=True)
class Standing:
    """What the connection had reached when the submit arrived."""

    connection: int
    session: Session
    subscribed: bool
    users: frozenset
    negotiated: bool


@dataclass(frozen=True)
class Ruling:
    """`verdict` is accepted, resubmitted, invalid, duplicate, stale, stale_in_flight, stale_block or
    low_in_flight: too easy because of a difficulty that the client can't have known.
    """

    verdict: str
    reason: str | None = None
    submit: Submit | None = None
    sending: Sending | None = None
    proof: Proof | None = None
    header_hash: int | None = None
    seen: SeenShare | None = None


class Referee:
    def __init__(self, flight_seconds: float, shares: Shares = Shares()):
        self.flight_seconds = flight_seconds
        self.shares = shares
        self.seen = SeenShares()
        self.refused = set()  # where even a share that is refused makes its repetition a duplicate

    def error(self, ruling: Ruling, verdict: str) -> Reject:
        """What the answer to a share with this verdict says."""
        key = "low-difficulty" if verdict == "low_in_flight" else ruling.reason or verdict
        return self.shares.rejects.get(key) or REJECTS.get(key) or Reject(OTHER_CODE, key)

    def rule(self, params, standing: Standing, now: float) -> Ruling:
        try:
            submit = parse_submit(params)
        except Invalid as invalid:
            return Ruling("invalid", invalid.reason)
        candidates = standing.session.book.candidates(submit.job_id, now)
        try:
            _check_standing(submit, standing)
            sending, proof = self._first_that_holds(candidates, submit, standing, now)
        except Invalid as invalid:
            sending = candidates[0] if candidates else None
            if self.shares.duplicate_by == "texts" and self._is_refused_again(submit, standing):
                return Ruling("duplicate", None, submit, sending)
            return Ruling("invalid", invalid.reason, submit, sending, None, invalid.header_hash)
        verdict, seen = self._verdict(submit, sending, proof, standing, now)
        return Ruling(verdict, None, submit, sending, proof, proof.header_hash, seen)

    def _first_that_holds(self, candidates: list, submit: Submit, standing: Standing, now: float) -> tuple:
        """The newest sending for which the share is right; else what is wrong with the newest."""
        first_error = Invalid("unknown-job")
        difficulties = standing.session.difficulties
        for sending in candidates:
            easiest = difficulties.required(sending.job.terms.difficulty, now, self.flight_seconds)
            try:
                return sending, judge(sending.job, submit, standing.negotiated, self.shares.rules, easiest)
            except Invalid as invalid:
                if sending is candidates[0]:
                    first_error = invalid
        raise first_error

    def _is_refused_again(self, submit: Submit, standing: Standing) -> bool:
        key = (standing.session.session_id, submit)
        known = key in self.refused
        self.refused.add(key)
        return known

    def _key(self, submit: Submit, sending: Sending, proof: Proof):
        """What two shares have in common that are the same to this server."""
        if self.shares.duplicate_by == "hash":
            return proof.header_hash
        found = (sending.job.terms.extranonce1, submit.extranonce2, submit.ntime, submit.nonce)
        if self.shares.duplicate_by == "without-version":
            return found
        return (submit.job_id, *found, submit.version_bits)

    def _verdict(self, submit: Submit, sending: Sending, proof: Proof, standing: Standing, now: float) -> tuple:
        key = self._key(submit, sending, proof)
        seen = self.seen.find(key)
        returned = seen is not None and seen.may_return(standing.connection, self.flight_seconds)
        if seen is not None and not returned:
            return "duplicate", None
        seen = self.seen.add(key, standing.connection)
        required = standing.session.difficulties.required(sending.job.terms.difficulty, now)
        if proof.header_hash > target_of_difficulty(required) and not proof.block:
            return "low_in_flight", seen
        stale = standing.session.book.stale_seconds(sending, now)
        if stale is None:
            return ("resubmitted" if returned else "accepted"), seen
        if proof.block:
            return "stale_block", seen
        return ("stale_in_flight" if stale <= self.flight_seconds else "stale"), seen


def _check_standing(submit: Submit, standing: Standing) -> None:
    if not standing.subscribed:
        raise Invalid("not-subscribed")
    if not standing.users:
        raise Invalid("unauthorized")
    if submit.user not in standing.users:
        raise Invalid("wrong-user")
