"""Whether a model holds the boards up: how long a clean job takes to the last port with none, and beside models that fail
in every way.

    cargo build --release -p signalcore -p signalcore-hil
    python3 tests/support/measure_models.py --seconds 40

Each is a run of its own of measure_fleet.py with fewer chains: the practice pool, virtual chains, the miner with the
strategy value and the model in front of it, asked as often as can be. The runs go around the list several times, so
that what else the machine does hits all of them. What is compared are medians of all clean jobs, as ratios to those
without a model. A program that burns a core slows the machine down for everybody: what of that is the miner's doing shows
beside "a stranger burns a core", the same without a model while the same program runs that the miner knows nothing of.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import measure_fleet

STRANGER = "a stranger burns a core"
HELLO = 'import json, sys, time; print(json.dumps({"hello": 1, "name": "m", "version": "1"}), flush=True)'
# What a model does with its questions. Answers to a question name it by its number.
MODELS = {
    "none": None,
    "never answers": HELLO + "\nfor line in sys.stdin: pass",
    "floods": HELLO + "\nwhile True: print('x' * 8000, flush=True)",
    "burns a core": HELLO + "\nwhile True: pass",
    STRANGER: None,
    "lies": HELLO + "\nfor line in sys.stdin:\n    question = json.loads(line)\n"
    "    print(json.dumps({'v': 1, 'id': question['id'], 'state_id': question['state_id'], 'decision': 'SWITCH',"
    " 'target': 'c15', 'confidence': 1, 'valid_for_ms': 300000, 'reason': 'because'}), flush=True)",
    "is killed every second": HELLO + "\nfor line in sys.stdin: time.sleep(60)",
}


def configuration(program: str | None, folder: Path) -> str:
    text = "[upstreams]\nstrategy = 'value'\n"
    if program is None:
        return text
    # Started by root, a model runs as nobody, and has to read it.
    folder.chmod(0o755)
    (folder / "model.py").write_text(program)
    python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
    command = json.dumps([python, str(folder / "model.py")])
    return text + f"[model]\nbackend = 'process'\nmode = 'advise'\nask_every = 5\ncommand = {command}\n"


def kill_each_second(marker: str, stop: threading.Event) -> None:
    """The processes that run this file."""
    while not stop.wait(1):
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit() or int(folder.name) == os.getpid():
                continue
            try:
                arguments = (folder / "cmdline").read_bytes().split(b"\0")
                if arguments[1:2] == [marker.encode()]:
                    os.kill(int(folder.name), signal.SIGKILL)
            except OSError:
                continue


def burn() -> subprocess.Popen:
    """A program as idle as a model is, that burns a core."""
    idle = lambda: os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    return subprocess.Popen([sys.executable, "-c", "while True: pass"], preexec_fn=idle)


def run(name: str, options: argparse.Namespace) -> dict:
    program, stop = MODELS[name], threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "miner.toml"
        file.write_text(configuration(program, Path(folder)))
        fleet = argparse.Namespace(miner=options.miner, hil=options.hil, boards=options.boards, chips=1, nonces=5,
                                   seconds=options.seconds, settle=3, more=["--config", str(file)])
        if name == "is killed every second":
            threading.Thread(target=kill_each_second, args=(f"{folder}/model.py", stop), daemon=True).start()
        stranger = burn() if name == STRANGER else None
        try:
            return measure_fleet.run(fleet, folder)
        finally:
            stop.set()
            if stranger:
                stranger.kill()
                stranger.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--miner", default=str(measure_fleet.ROOT / "target/release/signalcore"))
    parser.add_argument("--hil", default=str(measure_fleet.ROOT / "target/release/signalcore-hil"))
    parser.add_argument("--boards", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=40, help="of each run")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: dict[str, list[dict]] = {name: [] for name in MODELS}
    for turn in range(options.rounds):
        for name, runs in found.items():
            print(f"round {turn + 1} of {options.rounds}: {name}", file=sys.stderr)
            runs.append(run(name, options))
    mean = lambda runs, port, which: sum(run["clean_job_ms"][port][which] for run in runs) / len(runs)
    rows = {name: {"first_p50_ms": mean(runs, "first", "p50"), "first_p99_ms": mean(runs, "first", "p99"),
                   "first_ratio": mean(runs, "first", "p50") / mean(found["none"], "first", "p50"),
                   "p50_ms": mean(runs, "last", "p50"), "p99_ms": mean(runs, "last", "p99"),
                   "ratio": mean(runs, "last", "p50") / mean(found["none"], "last", "p50"),
                   "jobs": sum(run["clean_job_ms"]["jobs"] for run in runs),
                   "rejected": sum(run["rejected"] for run in runs),
                   "lost": sum(run["lost"] for run in runs)} for name, runs in found.items()}
    if options.json:
        return print(json.dumps(rows))
    print(f"{'':24}{'first port, median ms':>24}{'99 %':>8}{'ratio':>8}{'last port, median ms':>23}{'99 %':>8}{'ratio':>8}"
          f"{'jobs':>7}{'rejected':>10}{'lost':>6}")
    for name, row in rows.items():
        print(f"{name:24}{row['first_p50_ms']:24.2f}{row['first_p99_ms']:8.2f}{row['first_ratio']:8.3f}"
              f"{row['p50_ms']:23.2f}{row['p99_ms']:8.2f}{row['ratio']:8.3f}"
              f"{row['jobs']:7}{row['rejected']:10}{row['lost']:6}")


if __name__ == "__main__":
    sys.exit(main())
