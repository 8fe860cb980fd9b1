#!/usr/bin/env python3
"""A model to start from: one JSON object a line in, one a line out. Standard library only.

    signalcore model ask --backend process --command python3 --command /path/to/advisor.py

The first line says hello. Each question is a ModelInput with an id; the answer carries the same id, v and state_id. This
one follows the baseline, except that it leaves an upstream early whose rejects of the last ten minutes are far above those
of a candidate that is worth nearly as much.
"""

import json
import sys

# A candidate may be worth so much less than the best one.
NEARLY = 0.005


def rejects(candidate):
    """Share of rejected shares within ten minutes, with the doubt of small numbers."""
    return (candidate["rejects_10m"] + 0.5) / (candidate["shares_10m"] + 100)


def decide(question):
    """Decision, target, confidence and reason for a question."""
    candidates = {candidate["id"]: candidate for candidate in question["candidates"]}
    running = candidates[question["running"]["candidate"]]
    best = max(candidate["value"] for candidate in candidates.values())
    near = [c for c in candidates.values() if c["allowed"] and not c["alarm"] and c["value"] >= best - NEARLY]
    steadiest = min(near, key=rejects, default=running)
    if steadiest is running or rejects(running) < 4 * rejects(steadiest):
        return "PROCEED", None, 1.0, "the baseline is fine"
    return "SWITCH", steadiest["id"], 0.8, f"rejects of {running['id']} are four times those of {steadiest['id']}"


def main():
    print(json.dumps({"hello": 1, "name": "advisor", "version": "1"}), flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        decision, target, confidence, reason = decide(question)
        answer = {
            "v": 1,
            "id": question["id"],
            "state_id": question["state_id"],
            "decision": decision,
            "target": target,
            "confidence": confidence,
            "valid_for_ms": 60000,
            "reason": reason,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
