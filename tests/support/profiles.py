"""The servers that `--profile` can play, each as a row of data. The words are explained in server_profile.py.

Sources are the servers' own sources and what users of them reported; numbers are the servers' defaults.
Shares are read more strictly than most of these servers do, never less.
"""

from __future__ import annotations

from dataclasses import replace

from difficulty_rules import DifficultyRule
from server_profile import (Configure, DifficultyChanges, Envelope, Handshake, Jobs, Lines, Profile, Reject,
                            Shares, Subscription)
from share_rules import ShareRules

STRICT = Profile()

# Answers to what only some servers know; the requests are the same everywhere.
EXTRANONCE, DIFFICULTY = "mining.extranonce.subscribe", "mining.suggest_difficulty"

# Job versions with a bit inside the mask of version rolling.
SIGNALLING = (0x30000000, 0x20004000)

# ckpool (2026): work right after subscribe; a raise counts for later jobs, a lowering at once.
CKPOOL = Profile(
    handshake=Handshake(first_difficulty=("subscribed",), first_job=("subscribed",), authorize_first="refused"),
    configure=Configure(answer="fixed", unknown_names="dropped"),
    subscription=Subscription(form="one-pair"),
    envelope=Envelope(members=("params", "id", "method", "result", "error")),
    jobs=Jobs(ids=("hex16",), versions=(0x20000000, 0x30000000)),
    difficulty=DifficultyChanges(DifficultyRule(at="lower-at-once"), followed_by="nothing"),
    shares=Shares(
        rules=ShareRules(version="or", ntime_seconds=7000),
        stale_after="block",
        rejects={
            "unknown-job": Reject(21, "Invalid JobID"),
            "duplicate": Reject(22, "Duplicate"),
            "low-difficulty": Reject(23, "Above target"),
            "unauthorized": Reject(21, "Stale"),
            "wrong-user": Reject(20, "Worker mismatch"),
            "ntime-too-old": Reject(20, "Ntime out of range"),
            "ntime-too-new": Reject(20, "Ntime out of range"),
            "version-bits-outside-mask": Reject(20, "Invalid version mask"),
        },
    ),
    lines=Lines(bad_line="goodbye", ping_id=42, unknown_method="silent",
                optional={EXTRANONCE: "not-supported", DIFFICULTY: "silent", "mining.suggest_target": "silent"}),
    options={"error_style": "false-list", "extranonce2_size": 8, "ping": True},
)

# The first job overtakes the answer to authorize; its operator offers more mask than was asked for.
CKPOOL_SOLO = replace(
    CKPOOL,
    handshake=replace(CKPOOL.handshake, first_job=("authorizing",)),
    options={**CKPOOL.options, "mask": 0x1FFFFFE0},
)

# ckpool before 2026: difficulty by job in both directions, errors as bare texts.
CKPOOL_OLD = replace(
    CKPOOL,
    difficulty=DifficultyChanges(DifficultyRule(at="job"), followed_by="nothing"),
    options={**CKPOOL.options, "error_style": "string"},
)

DATUM = Profile(
    handshake=Handshake(first_difficulty=("subscribed",), first_job=("subscribed",), second_authorize="again"),
    configure=Configure(set_version_mask_follows=True, unknown_names="dropped",
                        members={"minimum-difficulty": False}),
    envelope=Envelope(members=("error", "id", "method", "params", "result")),
    jobs=Jobs(ids=("hex16",), versions=(0x20000000, 0x30000000), extranonce_in="op-return", empty_after_block=True),
    difficulty=DifficultyChanges(followed_by="quick-job"),
    shares=Shares(
        rules=ShareRules(version="or", unagreed_bits="ignored", ntime_seconds=7200),
        stale_after="block",
        rejects={
            "unknown-job": Reject(20, "unknown-work"),
            "extranonce2-length": Reject(20, "unknown-work"),
            "stale": Reject(21, "stale-prevblk"),
            "stale_in_flight": Reject(21, "stale-prevblk"),
            "duplicate": Reject(22, "duplicate"),
            "low-difficulty": Reject(23, "high-hash"),
            "ntime-too-old": Reject(21, "time-too-old"),
            "ntime-too-new": Reject(21, "time-too-new"),
            "version-bits-outside-mask": Reject(23, "bad-version"),
        },
    ),
    lines=Lines(longest=49_152, bad_line="close",
                optional={EXTRANONCE: "not-found", DIFFICULTY: "not-found", "mining.suggest_target": "not-found"}),
    options={"extranonce2_size": 8},
)

# public-pool with version 4 without padding; nothing of its jobs' versions is inside the mask.
PUBLIC_POOL = Profile(
    handshake=Handshake(second_subscribe="again", second_authorize="again"),
    configure=Configure(answer="fixed", unknown_names="dropped"),
    subscription=Subscription(form="one-pair", session_id="extranonce1"),
    jobs=Jobs(ids=("hex",), versions=(0x20000000, 4), padded=False),
    difficulty=DifficultyChanges(DifficultyRule(at="at-once"), followed_by="clean-job"),
    shares=Shares(
        rules=ShareRules(version="xor", ntime_from_job=False, ntime_seconds=None),
        stale_after="block",
        duplicate_by="texts",
        rejects={
            "stale": Reject(21, "Job not found"),
            "stale_in_flight": Reject(21, "Job not found"),
            "low-difficulty": Reject(23, "Difficulty too low"),
        },
    ),
    lines=Lines(longest=1 << 20, unknown_method="silent",
                optional={EXTRANONCE: "silent", DIFFICULTY: "silent", "mining.suggest_target": "silent"}),
    options={"answer_order": "random", "answer_delay_ms": 10.0},
)

# The same while its node signals for a deployment with a bit inside the mask: here XOR differs from BIP 310.
PUBLIC_POOL_SIGNALLING = replace(
    PUBLIC_POOL, jobs=replace(PUBLIC_POOL.jobs, versions=SIGNALLING))

# p2poolv2 and hydrapool: difficulty at once and without a job, hangs up on what it doesn't know.
P2POOLV2 = Profile(
    handshake=Handshake(first_difficulty=("subscribed", "authorized"), first_job=("authorized",),
                        second_subscribe="close", second_authorize="close"),
    configure=Configure(padded=False, without_rolling="silent", unknown_names="dropped"),
    envelope=Envelope(notification_id="absent"),
    jobs=Jobs(ids=("hex16",), versions=(0x20000000, 0x30000000)),
    difficulty=DifficultyChanges(DifficultyRule(at="at-once"), followed_by="nothing"),
    shares=Shares(
        rules=ShareRules(version="replace", ntime_from_job=False, ntime_seconds=None),
        stale_after="never",
        rejects={"low-difficulty": Reject(23, "", "false-null")},
    ),
    lines=Lines(longest=8192, bad_line="parse-error", unknown_method="close",
                optional={EXTRANONCE: "true", DIFFICULTY: "silent-if-whole"}),
    options={"extranonce2_size": 8},
)

# goPool: each job again with another coinbase, so a clean one follows each change of difficulty.
GOPOOL = Profile(
    handshake=Handshake(first_difficulty=("authorized",), first_job=("authorized",), first_job_seconds=0.25,
                        authorize_first="refused", second_subscribe="error", second_authorize="again"),
    configure=Configure(set_version_mask_follows=True, members={"version-rolling.min-bit-count": 1}),
    difficulty=DifficultyChanges(DifficultyRule(previous_seconds=60), followed_by="clean-job"),
    shares=Shares(rules=ShareRules(version="xor-or-whole", ntime_seconds=7000), duplicate_by="texts"),
    lines=Lines(longest=65_536),
)

# And while its node signals: inside the mask it takes the difference, as public-pool does.
GOPOOL_SIGNALLING = replace(GOPOOL, jobs=Jobs(versions=SIGNALLING))

MININGCORE = Profile(
    handshake=Handshake(first_difficulty=("subscribed",), first_job=("subscribed",)),
    envelope=Envelope(members=("jsonrpc", "method", "params", "result", "error", "id"), jsonrpc=True),
    jobs=Jobs(ids=("hex",), versions=(0x20000000, 0x30000000)),
    difficulty=DifficultyChanges(DifficultyRule("at-once", previous_seconds=60, tolerance=0.01),
                                 followed_by="same-job"),
    shares=Shares(
        rules=ShareRules(version="replace", ntime_seconds=7200),
        stale_after="block",
        duplicate_by="without-version",
        rejects={"stale": Reject(21, "job not found"), "low-difficulty": Reject(23, "low difficulty share")},
    ),
    lines=Lines(longest=65_536, unknown_method="false-error"),
    options={"error_style": "object"},
)

# NOMP knows no version rolling, and nothing answers a method that it doesn't know, configure included.
NOMP = Profile(
    handshake=Handshake(first_difficulty=("subscribed",), first_job=("subscribed",)),
    subscription=Subscription(form="flat"),
    jobs=Jobs(ids=("hex",)),
    difficulty=DifficultyChanges(followed_by="nothing"),
    shares=Shares(rules=ShareRules(ntime_seconds=7200), stale_after="block"),
    lines=Lines(unknown_method="silent",
                optional={EXTRANONCE: "false-error", DIFFICULTY: "silent", "mining.get_transactions": "false-error"}),
    options={"mask": "silent"},
)

# The translator says yes to every share before its upstream has judged it.
SV2_TRANSLATOR = Profile(
    handshake=Handshake(first_difficulty=("authorized",), first_job=("authorized",)),
    configure=Configure(answer="fixed", members={"version-rolling.min-bit-count": "00000000",
                                                 "minimum-difficulty": False}),
    envelope=Envelope(notification_id="absent", whole_as_float=True, no_error="absent"),
    jobs=Jobs(ids=("decimal",), versions=(0x20000000, 0x20004000)),
    difficulty=DifficultyChanges(followed_by="nothing", zero_first=True),
    shares=Shares(rules=ShareRules(version="replace"), stale_after="clean-job"),
    lines=Lines(longest=65_536, unknown_method="silent",
                optional={EXTRANONCE: "silent", DIFFICULTY: "silent"}),
    options={"error_style": "true", "extranonce1": bytes(range(24)), "extranonce2_size": 8},
)

# Other extranonces under the same job id at each change of order, or a reconnect for who didn't ask for them.
NICEHASH = Profile(
    handshake=Handshake(first_difficulty=("authorized",), first_job=("authorized",)),
    subscription=Subscription(changed_sizes=((5, 3), (9, 3)), changed_job="same-id", without_consent="reconnect"),
    jobs=Jobs(ids=("hex16",)),
    difficulty=DifficultyChanges(followed_by="nothing"),
    shares=Shares(rules=ShareRules(version="replace")),
    lines=Lines(optional={EXTRANONCE: "true", DIFFICULTY: "not-found"}),
    options={"extranonce1": bytes.fromhex("0a0b0c0d0e"), "extranonce2_size": 3, "set_extranonce_every": 0.7},
)

# p2pool: an empty extranonce1, numbered notifications, no version rolling, every job clean.
P2POOL = Profile(
    handshake=Handshake(first_job=("subscribed",), first_difficulty=(), authorized=None,
                        second_subscribe="again", second_authorize="again"),
    subscription=Subscription(form="flat"),
    envelope=Envelope(notification_id="number"),
    jobs=Jobs(ids=("decimal128",), always_clean=True),
    difficulty=DifficultyChanges(followed_by="nothing", before_every_job=True),
    shares=Shares(rejects={"unknown-job": Reject(21, "", "false-null")}),
    options={"mask": "none", "extranonce1": b"", "extranonce2_size": 8, "error_style": "two-elements"},
)

# A fork of it that rolls versions: the answer to configure is null for who asks without.
P2POOL_FORK = replace(
    P2POOL,
    handshake=replace(P2POOL.handshake, first_job=("subscribed", "authorized"), authorized=True),
    configure=Configure(without_rolling="null"),
    options={"extranonce1": b"", "extranonce2_size": 8},
)

PROFILES = {
    "strict": STRICT,
    "ckpool": CKPOOL,
    "ckpool-solo": CKPOOL_SOLO,
    "ckpool-old": CKPOOL_OLD,
    "datum": DATUM,
    "public-pool": PUBLIC_POOL,
    "public-pool-signalling": PUBLIC_POOL_SIGNALLING,
    "p2poolv2": P2POOLV2,
    "gopool": GOPOOL,
    "gopool-signalling": GOPOOL_SIGNALLING,
    "miningcore": MININGCORE,
    "nomp": NOMP,
    "sv2-translator": SV2_TRANSLATOR,
    "nicehash": NICEHASH,
    "p2pool": P2POOL,
    "p2pool-fork": P2POOL_FORK,
}
