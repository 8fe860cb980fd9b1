"""How long hashing takes to go over to a standby when the pool in use is killed: hot, and cold.

    cargo build --release
    python3 tests/support/measure_failover.py --kills 20

Two strict pools as processes of their own, the miner as another. The first pool is killed again and again; the times
are from the kill to the miner's word that it hashes for the other, as seen from outside, and the miner's own figures
from losing the pool to the first hash on the other's work.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
POOL = [sys.executable, str(HERE / "strict_pool.py"), "--difficulty", "0.0006"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Pool:
    """A strict pool that can be killed and started again at its place."""

    def __init__(self) -> None:
        self.port = free_port()
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([*POOL, "--port", str(self.port)],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout is not None
        self.process.stdout.readline()  # it listens
        # A pool that nobody reads would stop at a full pipe.
        threading.Thread(target=collections.deque, args=(self.process.stdout, 0), daemon=True).start()

    def kill(self) -> float:
        now = time.time()
        self.process.kill()
        self.process.wait()
        return now


def wait_for(events, wanted) -> dict:
    for line in events:
        event = json.loads(line)
        if wanted(event):
            return event
    raise SystemExit("the miner ended")


def measure(miner: str, kills: int, standbys: int) -> None:
    first, second = Pool(), Pool()
    environment = {**os.environ, "SIGNALCORE_UPSTREAMS_RETURN_AFTER": "1", "SIGNALCORE_STATE_REMEMBER": "false",
                   "SIGNALCORE_UPSTREAMS_HOT_STANDBYS": str(standbys), "SIGNALCORE_STRATUM_RECONNECT_MAX": "1",
                   "SIGNALCORE_VALIDATION_LEVEL": "0"}  # the jobs of these pools are of no chain
    pools = [f"--pool=127.0.0.1:{pool.port}" for pool in (first, second)]
    process = subprocess.Popen([miner, "mine", *pools, "--user", "u", "--cpu-threads", "1", "--json"],
                               stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    times = []
    for _ in range(kills):
        wait_for(process.stdout, lambda e: e["event"] == "share" and e["pool"] == 0)
        if standbys:
            time.sleep(0.5)  # the standby is connected by now
        killed = first.kill()
        switched = wait_for(process.stdout, lambda e: e.get("state") == "switched" and e["pool"] == 1)
        times.append((switched["time"] - killed) * 1e3)
        first.start()
        wait_for(process.stdout, lambda e: e.get("state") == "switched" and e["pool"] == 0)
        if not standbys:
            wait_for(process.stdout, lambda e: e.get("state") == "resting")
    process.terminate()
    summary = wait_for(process.stdout, lambda e: e["event"] == "summary")
    first.kill(), second.kill()
    times.sort()
    print(f"{'hot' if standbys else 'cold'}: {kills} kills, to the switch {times[len(times) // 2]:.1f} ms median, "
          f"{times[-1]:.1f} ms worst; to hashing, by the miner, {summary['failover_ms']}; "
          f"shares: {summary['accepted']} accepted, {summary['rejected']} rejected, {summary['stale']} stale, "
          f"{summary['lost']} lost {summary['lost_by_reason']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--miner", default=str(HERE.parent.parent / "target/release/signalcore"))
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    for standbys in (1, 0):
        measure(options.miner, options.kills, standbys)


if __name__ == "__main__":
    main()
