"""How long it takes from a new block to the first hash on it, with a real node: by number of transactions.

    cargo build --release
    bash tests/bitcoind.sh
    python3 tests/support/measure_tips.py --blocks 100 --transactions 0 1000 3000

A regtest node makes empty blocks on command, so that its mempool stays as full as it was made; the miner hears of them
over ZMQ and fetches templates through a proxy that changes nothing but bits and target at their end: on regtest each
second hash would be a block. What the proxy takes is within the figures.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import http.client
import json
import os
import re
import socket
import statistics
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

PAYOUT = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
ANYBODY = b"\x51"  # OP_TRUE
SCRIPT = b"\x00\x20" + hashlib.sha256(ANYBODY).digest()
HARD = {b'"bits":"207fffff"': b'"bits":"1d00ffff"',
        b'"target":"7fffff' + b"0" * 58: b'"target":"00000000ffff' + b"0" * 52}
TAIL = 4096


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def bitcoind() -> str:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return os.environ.get("BITCOIND") or str(cache / "signalcore/bitcoind-0.2.0/bitcoind")


class Node:
    """A regtest node in a folder of its own."""

    def __init__(self, folder: str) -> None:
        self.rpc, self.zmq, self.folder = free_port(), free_port(), folder
        zmq = f"tcp://127.0.0.1:{self.zmq}"
        self.process = subprocess.Popen([
            bitcoind(), "-regtest", f"-datadir={folder}", "-server", "-listen=0", "-dnsseed=0", "-fixedseeds=0",
            "-printtoconsole=0", f"-rpcport={self.rpc}", f"-zmqpubhashblock={zmq}", f"-zmqpubsequence={zmq}"])
        while True:
            try:
                self.call("getblockcount")
                return
            except (OSError, ValueError):
                time.sleep(0.1)

    @property
    def cookie(self) -> Path:
        return Path(self.folder) / "regtest/.cookie"

    def call(self, method: str, *params: object) -> object:
        connection = http.client.HTTPConnection("127.0.0.1", self.rpc, timeout=60)
        login = base64.b64encode(self.cookie.read_bytes()).decode()
        body = json.dumps({"id": 1, "method": method, "params": params})
        connection.request("POST", "/", body, {"Authorization": f"Basic {login}"})
        reply = json.loads(connection.getresponse().read())
        if reply["error"]:
            raise ValueError(reply["error"])
        return reply["result"]


def transaction(txid: str, place: int, outputs: list[int]) -> bytes:
    """Spends a coin that anybody can spend into others."""
    spent = bytes.fromhex(txid)[::-1] + struct.pack("<I", place) + b"\x00" + b"\xff" * 4
    count = bytes([len(outputs)]) if len(outputs) < 0xfd else b"\xfd" + struct.pack("<H", len(outputs))
    paid = b"".join(struct.pack("<q", value) + bytes([len(SCRIPT)]) + SCRIPT for value in outputs)
    witness = b"\x01\x01" + ANYBODY
    return struct.pack("<I", 2) + b"\x00\x01\x01" + spent + count + paid + witness + bytes(4)


def fill(node: Node, count: int) -> None:
    """Puts so many transactions into the mempool, of five outputs each: some 300 bytes, of which 3,500 fill a block."""
    descriptor = node.call("getdescriptorinfo", f"raw({SCRIPT.hex()})")["descriptor"]
    coins = -(-count // 500)
    hashes = node.call("generatetodescriptor", 100 + coins, descriptor)
    splits = []
    for number in range(coins):
        parts = min(500, count - 500 * number)
        coin = node.call("getblock", hashes[number], 2)["tx"][0]
        value = (round(coin["vout"][0]["value"] * 1e8) - 1_000_000) // parts
        splits.append((node.call("sendrawtransaction", transaction(coin["txid"], 0, [value] * parts).hex()), value, parts))
    node.call("generatetodescriptor", 1, descriptor)
    for split, value, parts in splits:
        for place in range(parts):
            node.call("sendrawtransaction", transaction(split, place, [(value - 20_000) // 5] * 5).hex())


def message(stream) -> tuple[bytes, bytes]:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = stream.readline()
        if not byte:
            raise EOFError
        head += byte
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    return head, int(length[1]) if length else 0


def serve(client: socket.socket, port: int) -> None:
    """One connection of the miner, and one of ours to the node for it."""
    try:
        with client, socket.create_connection(("127.0.0.1", port)) as node:
            for one in (client, node):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reading, answers = client.makefile("rb"), node.makefile("rb")
            while True:
                head, length = message(reading)
                body = reading.read(length)
                node.sendall(head + body)
                head, left = message(answers)
                is_template = b"getblocktemplate" in body
                client.sendall(head)
                while left > TAIL:
                    part = answers.read1(left - TAIL)
                    client.sendall(part)
                    left -= len(part)
                tail = answers.read(left)
                for easy, hard in HARD.items() if is_template else ():
                    tail = tail.replace(easy, hard)
                client.sendall(tail)
    except (OSError, EOFError):
        pass


def proxy(port: int) -> int:
    server = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            threading.Thread(target=serve, args=(server.accept()[0], port), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return server.getsockname()[1]


def quantiles(values: list[float]) -> str:
    values = sorted(values)
    at = lambda part: values[min(len(values) - 1, int(part * len(values)))]  # noqa: E731
    return f"{statistics.median(values):8.2f} {at(0.99):8.2f}"


def measure(miner: str, transactions: int, blocks: int, threads: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        node = Node(folder)
        try:
            if transactions:
                fill(node, transactions)
            else:
                node.call("generatetodescriptor", 1, node.call("getdescriptorinfo", "raw(51)")["descriptor"])
            while len(node.call("getblocktemplate", {"rules": ["segwit"]})["transactions"]) != transactions:
                time.sleep(0.2)
            run(miner, node, transactions, blocks, threads)
        finally:
            node.process.kill()
            node.process.wait()


def run(miner: str, node: Node, transactions: int, blocks: int, threads: str) -> None:
    command = [miner, "mine", "--json", "--solo", f"http://127.0.0.1:{proxy(node.rpc)}", "--rpc-cookie",
               str(node.cookie), "--zmq", f"tcp://127.0.0.1:{node.zmq}", "--payout", PAYOUT]
    if threads:
        command += ["--cpu-threads", threads]
    environment = os.environ | {"SIGNALCORE_STATE_JOURNAL": node.folder + "/blocks", "SIGNALCORE_STATE_REMEMBER": "false",
                                "SIGNALCORE_SOLO_CHECK_PROPOSAL": "false"}  # the bits are changed on the way
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    events: list[dict] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: events.extend(map(json.loads, process.stdout)))
    reader.start()
    time.sleep(3)
    for _ in range(blocks):
        node.call("generateblock", "raw(51)", [])
        time.sleep(0.25)
    process.terminate()
    reader.join()
    tips = [event for event in events if event["event"] == "template" and event["clean"] and event["notice_ms"]]
    if {event["transactions"] for event in tips} != {transactions}:
        raise SystemExit("the mempool did not stay as it was, or nothing was mined:\n" + "\n".join(map(str, events[:20])))
    switches = events[-1]["switch_ms"]
    sources = events[-1]["solo"]["nodes"][0]["sources"]
    figures = " ".join(quantiles([event[name] for event in tips])
                       for name in ("notice_ms", "fetch_ms", "decode_ms", "build_ms"))
    own = quantiles([event["decode_ms"] + event["build_ms"] for event in tips])
    first = ", ".join(f"{name} {source['first']}" for name, source in sources.items())
    print(f"{transactions:6} {len(tips):5} {switches['p50']:8.2f} {switches['p99']:8.2f} {figures} {own}   {first}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--miner", default="target/release/signalcore")
    parser.add_argument("--blocks", type=int, default=100)
    parser.add_argument("--transactions", type=int, nargs="+", default=[0, 1000, 3000])
    parser.add_argument("--threads", default="", help="as --cpu-threads of the miner; all cores unless given")
    arguments = parser.parse_args()
    print("ms, median and 99 %: from the notice to the first hash and to the job; of that the node's answer, the check of"
          "\nthe template, the job; the last two together\n")
    pair = f"{'median':>8} {'p99':>8}"
    names = ("to first hash", "to the job", "answer", "check", "job", "ours")
    print(f"{'':12} " + " ".join(f"{name:>17}" for name in names))
    print(f"{'trans.':>6} {'tips':>5} " + " ".join([pair] * len(names)) + "   first heard by")
    for transactions in arguments.transactions:
        measure(arguments.miner, transactions, arguments.blocks, arguments.threads)


if __name__ == "__main__":
    main()
