"""What a fleet of ASIC chains costs the miner, and how long a clean job takes to the last of their ports.

    cargo build --release -p signalcore -p signalcore-hil
    python3 tests/support/measure_fleet.py --seconds 60

The practice pool, 64 virtual chains of four BM1370 on pseudo-terminals, and the miner without its CPU, each a
process of its own. Every nonce is real, at few zero bits, so that this computer can find them all: 20 a second from
each chain. What is measured begins when all chains have a job and have settled. A nonce is lost when a chain has
sent it and the miner has not counted it, be it that it was on its way when the miner was told to end. The time of a
clean job is from when the pool has made its line to when a chain has read the last byte of its frame; a pseudo-
terminal has no speed, so the time on a wire comes on top. The clock is one that all processes share.
"""

from __future__ import annotations

import argparse
import bisect
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
# Zero bits before the ticket mask; at this clock the driver asks for six more, so that a nonce is 256 hashes.
ZERO_BITS, MEGAHERTZ = 2, 200


class Program:
    """A process that prints JSON lines, all of them read."""

    def __init__(self, arguments: list[str], environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **(environment or {})})
        self.events: list[dict] = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def wait_for(self, wanted, patience: float):
        until = time.monotonic() + patience
        while time.monotonic() < until:
            found = wanted(self.events)
            if found:
                return found
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit(f"{self.process.args[:2]}: what was waited for has not come; last {self.events[-3:]}")

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        self.reader.join(30)

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory_mib(self, name: str) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name)) / 1024


def of(events: list[dict], name: str) -> list[dict]:
    return [event for event in list(events) if event["event"] == name]


def quantile(times: list[float], fraction: float) -> float | None:
    return sorted(times)[min(len(times) - 1, int(len(times) * fraction))] if times else None


def run(options: argparse.Namespace, folder: str) -> dict:
    prefix = f"{folder}/chain"
    boards = Program([options.hil, "virtual", "--board", "bm1370", "--chips", str(options.chips), "--json",
                      "--count", str(options.boards), "--link", prefix, "--zero-bits", str(ZERO_BITS),
                      "--nonces-per-second", str(options.nonces)])
    pool = Program([options.hil, "pool", "--listen", "127.0.0.1:0", "--json", "--difficulty", "2e-6",
                    "--shares-per-minute", "600", "--block-every", "1", "--job-every", "3"])
    address = pool.wait_for(lambda events: of(events, "listen"), 10)[0]["address"]
    boards.wait_for(lambda events: len(of(events, "port")) == options.boards, 10)
    names = [f"{prefix}-{index}" for index in range(options.boards)] if options.boards > 1 else [prefix]
    devices = [f"--device=bm1370:{name},chips={options.chips},frequency={MEGAHERTZ},zero-bits={ZERO_BITS}"
               for name in names]
    miner = Program([options.miner, "mine", "--pool", address, "--user", "fleet", "--cpu-threads", "off", "--json",
                     *options.more, *devices], {"SIGNALCORE_STATE_REMEMBER": "false"})
    try:
        hashing = lambda events: {event.get("board", 0) for event in of(events, "job")
                                  if event["hashing"] == options.chips}
        boards.wait_for(lambda events: len(hashing(events)) == options.boards, 60)
        time.sleep(options.settle)
        began, cpu = time.monotonic(), miner.cpu_seconds()
        time.sleep(options.seconds)
        ended, cpu = time.monotonic(), miner.cpu_seconds() - cpu
        memory = {"rss_mib": miner.memory_mib("VmRSS"), "most_rss_mib": miner.memory_mib("VmHWM")}
    finally:
        for program in (miner, boards, pool):
            program.end()
    summary = of(miner.events, "summary")[0]
    return {"boards": options.boards, "chips": options.chips, "seconds": ended - began,
            "cpu_percent": 100 * cpu / (ended - began), **memory,
            **nonces(boards, summary, began, ended),
            **{word: summary[word] for word in ("accepted", "rejected", "rejected_by_reason", "stale", "lost")},
            "invalid": sum(count for reason, count in rejected(pool).items() if reason != "stale"),
            "hardware_errors": sum(board["hardware_errors"] for board in summary["boards"]),
            "switch_ms": summary["switch_ms"],
            "clean_job_ms": clean_jobs(boards, pool, began, ended, options)}


def rejected(pool: Program) -> dict[str, int]:
    """As the pool counts them."""
    return of(pool.events, "report")[0]["report"]["total"]["rejected"]


def at(event: dict, started: dict[int, float]) -> float:
    return started[event.get("board", 0)] + event["at_us"] / 1e6


def starts(boards: Program) -> dict[int, float]:
    return {event.get("board", 0): event["started"] for event in of(boards.events, "port")}


def nonces(boards: Program, summary: dict, began: float, ended: float) -> dict:
    """Found by the chains until the miner was told to end, and counted by it: as hashes, of which each nonce stands
    for as many as it was asked for zero bits. What a chain finds twice, because it was told a job again, counts
    once."""
    started = starts(boards)
    sent = [event for event in of(boards.events, "nonce") if at(event, started) < ended]
    within = sum(began <= at(event, started) for event in sent)
    found = {(event.get("board", 0), event["number"], event["nonce"], event["version"]): event["asked_bits"]
             for event in sent}
    hashes = sum(2 ** bits for bits in found.values())
    seen = sum(board["hashes"] for board in summary["boards"])
    return {"nonces_per_second": within / (ended - began), "nonces_sent": len(sent),
            "nonces_twice": len(sent) - len(found),
            "nonces_lost": max(0, round((hashes - seen) / 2 ** max(found.values(), default=0))),
            "events_not_printed": sum(event["events"] for event in of(boards.events, "lost"))}


def clean_jobs(boards: Program, pool: Program, began: float, ended: float, options: argparse.Namespace) -> dict:
    """From the pool's line to the last byte at the first, the middle and the last chain. Unit: milliseconds."""
    started, pool_started = starts(boards), of(pool.events, "listen")[0]["started"]
    heard: dict[int, list[float]] = {}
    for event in of(boards.events, "job"):
        heard.setdefault(event.get("board", 0), []).append(at(event, started))
    sent = [pool_started + event["seconds"] for event in of(pool.events, "job") if event["clean"]]
    first, middle, last, missed = [], [], [], 0
    for here, following in zip(sent, sent[1:] + [ended]):
        if not began <= here < ended - 1:
            continue
        after = [times[index] for times in heard.values() if (index := bisect.bisect(times, here)) < len(times)]
        reached = sorted((time - here) * 1e3 for time in after if time < following)
        if len(reached) < options.boards:
            missed += 1  # another clean job came before the last chain had this one
            continue
        first.append(reached[0]), middle.append(reached[len(reached) // 2]), last.append(reached[-1])
    figures = lambda times: {"p50": quantile(times, 0.5), "p99": quantile(times, 0.99), "max": quantile(times, 1)}
    return {"jobs": len(last), "overtaken": missed, "first": figures(first), "middle": figures(middle),
            "last": figures(last)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--miner", default=str(ROOT / "target/release/signalcore"))
    parser.add_argument("--hil", default=str(ROOT / "target/release/signalcore-hil"))
    parser.add_argument("--boards", type=int, default=64)
    parser.add_argument("--chips", type=int, default=4)
    parser.add_argument("--nonces", type=float, default=20, help="a second from each chain")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--settle", type=float, default=3, help="seconds before the measurement")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(namespace=argparse.Namespace(more=[]))
    with tempfile.TemporaryDirectory() as folder:
        figures = run(options, folder)
    if options.json:
        return print(json.dumps(figures))
    clean = figures["clean_job_ms"]
    print(f"{figures['boards']} chains of {figures['chips']} chips for {figures['seconds']:.0f} s\n"
          f"miner: {figures['cpu_percent']:.1f} % of a core, {figures['rss_mib']:.1f} MiB, "
          f"{figures['most_rss_mib']:.1f} MiB at most\n"
          f"nonces: {figures['nonces_per_second']:.0f} a second; in all {figures['nonces_sent']} sent, "
          f"{figures['nonces_lost']} lost, {figures['nonces_twice']} twice, {figures['hardware_errors']} wrong\n"
          f"shares: {figures['accepted']} accepted, {figures['rejected']} rejected {figures['rejected_by_reason']}, "
          f"{figures['stale']} stale before they were sent, {figures['lost']} lost, {figures['invalid']} invalid\n"
          f"clean jobs: {clean['jobs']}, {clean['overtaken']} overtaken by the next one; ms from the pool's line to "
          "the last byte, median, 99 %, worst")
    for which in ("first", "middle", "last"):
        times = clean[which]
        print(f"  {which} chain: " + ", ".join("-" if time is None else f"{time:.2f}" for time in times.values()))


if __name__ == "__main__":
    sys.exit(main())
