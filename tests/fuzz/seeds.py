#!/usr/bin/env python3
"""Writes the first inputs of the fuzz targets from the recorded vectors and the default configuration.

What the fuzzers make of them stands beside; this is only needed to begin again, or after the form of an input changed.
"""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests/fuzz/corpus"
TEMPLATES = json.loads((ROOT / "tests/vectors/gbt-vectors.json").read_text())
VECTORS = json.loads((ROOT / "tests/vectors/stratum-vectors.json").read_text())


def write(target: str, name: str, data: bytes) -> None:
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def line(method: str, params: object, identity: object = None) -> str:
    return json.dumps({"id": identity, "method": method, "params": params}, separators=(",", ":"))


def answer(identity: int, result: object, error: object = None) -> str:
    return json.dumps({"id": identity, "result": result, "error": error}, separators=(",", ":"))


def coinbase(vector: dict) -> bytes:
    parts = [bytes.fromhex(text) for text in (vector["notify"][2], vector["extranonce1"], vector["notify"][3])]
    sizes = bytes([len(parts[1]), vector["extranonce2_size"]]) + len(parts[0]).to_bytes(2, "little")
    return sizes + b"".join(parts)


def session(vector: dict) -> list[str]:
    mask = {"version-rolling": True, "version-rolling.mask": vector["version_mask"] or "1fffe000"}
    rolls = vector["version_rule"] != "none"
    first = [answer(1, mask)] if rolls else []
    ids = range(2, 9) if rolls else range(1, 8)
    return [
        "v" if rolls else "",
        *first,
        answer(ids[0], [[["mining.notify", "s"]], vector["extranonce1"], vector["extranonce2_size"]]),
        line("mining.set_difficulty", [1e-9]),
        answer(ids[1], True),
        line("mining.notify", vector["notify"]),
        "$1",
        answer(ids[2], True),
        "$1",
        "$1",
        answer(ids[4], None, [21, "stale", None]),
    ]


MORE = {
    "reconnect": ["$1", "-", "+1500", "^", answer(1, [[], "a1b2c3d4", 4]), answer(2, True), "+130000"],
    "silence": ["$1", "+200000", "^", "+20000"],
    "calls": [
        line("mining.set_extranonce", ["abcd", 2]),
        line("mining.set_version_mask", ["00006000"]),
        line("client.get_version", [], 7),
        line("mining.ping", [], "a"),
        line("client.show_message", ["hello\x1b[31m"]),
        line("client.reconnect", ["", 4444, 5]),
        "~",
        "^",
    ],
    "nonsense": ["{"] * 10 + ["^", "null", "[]", '{"id":1}', line("mining.unknown", [], 9)],
    "refused": [".", "^", answer(1, None, [20, "no", None]), "^", answer(1, [[], "ab", 4]), answer(2, False)],
}

CONFIGS = {
    "pools": """[[pool]]
url = "stratum+tcp://a:1"
user = "bc1q3udk7r26qs32ltf9nmqrjaaa7tr55qmkuh5n07.rig"
priority = 3
weight = 40
expect_payout = ["1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"]
min_share = 0.5
version_rolling = false
[[pool]]
url = "socks5:h:1|ssl://b:2#xnsub"
tls_pin = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
password_file = "p"
[upstreams]
strategy = "quota"
""",
    "mistakes": """device = "auto"
log.level = ''
[cpu]
threds = 1
pin = 2
[[pool]]
user = 'x'
[[pool]]
url = 'http://me:pw@a'
proxy = 'x'
expect_payout = ['a']
[stop]
seconds = 1e400
""",
    "nodes": """[[node]]
url = "http://[::1]:18443/"
user = "miner"
password = "hunter2"
zmq = ["tcp://h:1", "unix:/z"]
[[node]]
url = "b"
cookie = "c"
[solo]
payout = ["mh5CE8Nbj38iND267s4XnvhSmhDW7yWc6Q=3", "tb1qzyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3apj6d3"]
coinbase_tag = "a"
""",
    "syntax": '[cpu\nthreads = = 1\n[[pool]\nurl = "\\u0007\n',
}


def templates() -> None:
    """The recorded templates that differ in more than numbers and are small; and rules that each decide one."""
    recorded = TEMPLATES["templates"]
    seeds = {name: recorded[name] for name in ("t01", "t07", "t08", "t09")}
    seeds |= TEMPLATES["templates_of_other_networks_for_parsing_only"]
    seeds["before-segwit-with-a-witness"] = recorded["t09"] | {"rules": ["csv"]}
    seeds["open-signet"] = recorded["t07"] | {"rules": ["!segwit", "!signet"], "signet_challenge": "51"}
    seeds["bits-and-aux"] = recorded["t07"] | {
        "vbrequired": 1 << 14,
        "vbavailable": {"a": 13, "b": 28},
        "coinbaseaux": {"flags": "2f503253482f", "more": "00"},
    }
    seeds["aux-without-room"] = recorded["t01"] | {"coinbaseaux": {"flags": 64 * "ab"}}
    seeds["full-but-for-the-coinbase"] = recorded["t07"] | {"weightlimit": 1400, "sizelimit": 500}
    for name, template in seeds.items():
        write("template", name, json.dumps(template, separators=(",", ":")).encode())


def journals() -> dict[str, bytes]:
    """A first byte for the size of reads; `!` stands for the checksum, which the target computes."""
    cases = json.loads((ROOT / "tests/vectors/gbt-vectors.json").read_text())["cases"]
    case = min(cases, key=lambda case: len(case["block_hex"]))
    digest, block = case["header"]["hash_display"], case["block_hex"]

    def record(what: str, /, **members: object) -> str:
        return "!" + json.dumps({"record": what, "at": 1700000000, "hash": digest, **members}, separators=(",", ":"))

    solo = record("found", upstream="node", kind="solo", height=1, chain="regtest", block=block)
    coinbase = case["coinbase"]["hex_without_witness"]
    known = {"job": "1", "header": block[:160], "coinbase": coinbase, "branch": ["05" * 32]}
    pool = record("found", upstream="stratum+tcp://a:1", kind="pool", **known)
    answer = record("answer", **{"from": "node\x1b[2J", "text": "inconclusive"})
    fates = [{"fate": "accepted"}, {"fate": "orphaned"}, {"fate": "refused", "reason": "high-hash"}]
    fates.append({"fate": "given_up", "reason": "9 blocks behind"})
    settled = [record("settled", **fate) for fate in fates]
    return {
        "solo": b"\x07" + "\n".join([solo, answer, settled[0], ""]).encode(),
        "pool": b"\xff" + "\n".join([pool, *[answer] * 9, *settled]).encode(),
        "damaged": b"\x01" + "\n".join(["a note", solo[1:90], "", solo.replace(digest[:4], "ffff", 1), answer, "\0"]).encode(),
        "before-its-block": b"\x40" + "\n".join([answer, settled[2], solo, solo]).encode(),
    }


def rules(base: list[str]) -> None:
    """Inputs that only pass because of one rule each; they stay in the corpus under their names."""
    for target in ("message", "template"):
        write(target, "long-text", b'"' + 1200 * b"x" + b'"')  # once told in full
    mask = answer(1, {"version-rolling": True, "version-rolling.mask": "ffffffff"})
    wide = ["v", mask, answer(2, [[], "a1b2c3d4", 4]), answer(3, True), base[-6]]
    write("session", "mask-too-wide", "\n".join(wide).encode())
    write("message", "mask-too-wide", mask.encode())
    whole = bytes.fromhex(VECTORS[-2]["coinbase"])
    place = whole.index(bytes.fromhex("0014")) + 4
    sizes = bytes([0, 4]) + place.to_bytes(2, "little")
    write("coinbase", "extranonce2-in-a-payout", sizes + whole[:place] + whole[place + 4 :])


def frame(flags: int, body: bytes) -> bytes:
    length = bytes([len(body)]) if not flags & 2 else len(body).to_bytes(8, "big")
    return bytes([flags]) + length + body


def message(topic: bytes, body: bytes, counter: int) -> bytes:
    return frame(1, topic) + frame(1, body) + frame(0, counter.to_bytes(4, "little"))


def zmq() -> None:
    """The first byte is the length of a read."""
    zmtp = TEMPLATES["zmtp"]
    names = ["server_greeting_seen", "server_ready_seen", "message_hashblock_seen", "message_rawblock_head_seen"]
    wire = {name: bytes.fromhex(zmtp[name]) for name in [*names, "client_ping", "server_pong_seen"]}
    hello = wire["server_greeting_seen"] + wire["server_ready_seen"]
    bodies = {name: bytes.fromhex(text) for name, text in zmtp["sequence_bodies_seen"].items()}
    block = bytes(31) + b"\x01"
    inputs = {
        "hashblock": wire["message_hashblock_seen"],
        "rawblock": wire["message_rawblock_head_seen"] + bytes(281) + frame(0, bytes(4)),
        "ping": wire["client_ping"] + wire["server_pong_seen"],
        "sequence": b"".join(message(b"sequence", body, n) for n, body in enumerate(bodies.values())),
        "mempool": message(b"sequence", block + b"A" + bytes(8), 0) + message(b"sequence", block + b"C", 1),
        "both-topics": message(b"sequence", block + b"C", 7) + message(b"hashblock", block, 3),
        "gap": message(b"hashblock", block, 1) + message(b"hashblock", bytes(32), 0xFFFFFFF0),
        "gap-forwards": message(b"hashblock", block, 1) + message(b"hashblock", bytes(32), 9),
        "too-long": frame(3, b"rawblock") + frame(3, bytes(5000)) + frame(0, bytes(4)),
        "endless": b"\x02" + b"\xff" * 8,
        "frames": frame(1, b"") * 16 + frame(0, b""),
        "error": frame(4, b"\x05ERROR\x07Invalid"),
    }
    for name, data in inputs.items():
        write("zmq", name, b"\x07" + hello + data)
    write("zmq", "http", b"\x03HTTP/1.1 400 Bad Request\r\n")
    write("zmq", "no-ready", b"\x40" + wire["server_greeting_seen"] + wire["message_hashblock_seen"])
    write("zmq", "curve", b"\x40" + wire["server_greeting_seen"].replace(b"NULL\0", b"CURVE"))


def main() -> None:
    zmq()
    for vector in VECTORS:
        name = vector["name"]
        write("coinbase", name, coinbase(vector))
        lines = session(vector)
        for number, text in enumerate(lines[1:]):
            if text.startswith("{"):
                write("message", f"{name}-{number}", text.encode())
        write("session", name, "\n".join(lines).encode())
        write("line", name, b"\x07" + "\r\n".join(lines).encode())
    base = session(next(vector for vector in VECTORS if vector["name"] == "synthetic-above-target"))
    for name, steps in MORE.items():
        for options in ("", "vxd", "p", "s"):
            write("session", f"{name}-{options}", "\n".join([options, *base[1:], *steps]).encode())
        for number, text in enumerate(steps):
            write("message", f"{name}-{number}", text.encode())
    rules(base)
    templates()
    write("config", "default", (ROOT / "config/signalcore.toml").read_bytes())
    for name, data in journals().items():
        write("journal", name, data)
    for name, text in CONFIGS.items():
        write("config", name, text.encode())


if __name__ == "__main__":
    main()
