"""The words in which profiles.py says how a server behaves. The defaults are the strict pool's own.

What the command line can set as well (sizes, mask, delays) stands in `options` of a profile, as its
defaults; an option that is given wins.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Mapping

from difficulty_rules import DifficultyRule
from share_rules import ShareRules

# When something is sent for the first time: before or after the answer to subscribe or authorize,
# or as soon as the client is both subscribed and authorized.
Moment = Literal["subscribed", "authorizing", "authorized", "ready"]
Repeated = Literal["silent", "again", "error", "close"]

# What a request is answered: true, nothing, one of three errors, or nothing ever again.
# `silent-if-whole` takes whole numbers only and closes on others.
Reaction = Literal["true", "silent", "not-found", "not-supported", "false-error", "close", "silent-if-whole"]

RejectStyle = Literal["list", "false-list", "two-elements", "object", "string", "false-null", "true"]


@dataclass(frozen=True)
class Handshake:
    first_difficulty: tuple[Moment, ...] = ("ready",)
    first_job: tuple[Moment, ...] = ("ready",)
    first_job_seconds: float = 0.0
    authorize_first: Literal["taken", "refused"] = "taken"
    authorized: bool | None = True  # the result that stands for yes
    second_subscribe: Repeated = "silent"
    second_authorize: Repeated = "silent"


@dataclass(frozen=True)
class Configure:
    """How a mask is offered; whether at all is the option `mask`."""

    answer: Literal["intersection", "fixed"] = "intersection"
    padded: bool = True
    without_rolling: Literal["object", "null", "silent"] = "object"
    set_version_mask_follows: bool = False
    unknown_names: Literal["false", "dropped"] = "false"
    members: Mapping[str, object] = field(default_factory=dict)  # always in the answer


@dataclass(frozen=True)
class Subscription:
    form: Literal["two-pairs", "one-pair", "flat"] = "two-pairs"
    session_id: Literal["random", "extranonce1"] = "random"
    changed_sizes: tuple[tuple[int, int], ...] = ()  # of set_extranonce; none: any from 2 to 8
    changed_job: Literal["next", "same-id"] = "next"
    without_consent: Literal["set_extranonce", "reconnect"] = "set_extranonce"


@dataclass(frozen=True)
class Envelope:
    members: tuple[str, ...] = ("id", "method", "params", "result", "error")  # in this order
    notification_id: Literal["null", "absent", "number"] = "null"
    jsonrpc: bool = False
    no_error: Literal["null", "absent"] = "null"
    whole_as_float: bool = False


@dataclass(frozen=True)
class Jobs:
    ids: tuple[Literal["hex", "hex16", "decimal", "decimal128", "spaced"], ...] = (
        "hex", "hex16", "decimal", "spaced")
    versions: tuple[int, ...] = (0x20000000,)
    padded: bool = True
    extranonce_in: Literal["script-sig", "op-return"] = "script-sig"
    always_clean: bool = False
    empty_after_block: bool = False  # the first job on a new block: no branches, an id `N...ff`


@dataclass(frozen=True)
class DifficultyChanges:
    rule: DifficultyRule = DifficultyRule()
    # What follows a change; `quick-job` is a clean one with an id `Q...`.
    followed_by: Literal["either", "nothing", "clean-job", "quick-job", "same-job"] = "either"
    before_every_job: bool = False
    zero_first: bool = False


@dataclass(frozen=True)
class Reject:
    code: int
    text: str
    style: RejectStyle | None = None  # none: the option `error_style`


@dataclass(frozen=True)
class Shares:
    rules: ShareRules = ShareRules()
    stale_after: Literal["clean-job", "block", "never"] = "clean-job"
    # What makes two shares the same; `texts` counts them before any check.
    duplicate_by: Literal["hash", "texts", "without-version"] = "hash"
    rejects: Mapping[str, Reject] = field(default_factory=dict)  # by reason; others as the strict pool's


@dataclass(frozen=True)
class Lines:
    longest: int = 1024  # with its LF
    bad_line: Literal["count", "goodbye", "close", "parse-error"] = "count"
    ping_id: int | None = None  # none: two requests with ids that the client uses itself
    unknown_method: Reaction = "not-found"
    optional: Mapping[str, Reaction] = field(default_factory=lambda: {
        "mining.extranonce.subscribe": "true",
        "mining.suggest_difficulty": "true",
        "mining.suggest_target": "true",
    })


@dataclass(frozen=True)
class Profile:
    handshake: Handshake = Handshake()
    configure: Configure = Configure()
    subscription: Subscription = Subscription()
    envelope: Envelope = Envelope()
    jobs: Jobs = Jobs()
    difficulty: DifficultyChanges = DifficultyChanges()
    shares: Shares = Shares()
    lines: Lines = Lines()
    options: Mapping[str, object] = field(default_factory=dict)
