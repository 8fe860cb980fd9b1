"""For the pool's own test: the pool as a child process, and a client that mines in Python."""

import json
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import share_rules
from share_rules import Job, Notify, Terms

POOL = Path(__file__).resolve().parent / "strict_pool.py"
PATIENCE_SECONDS = 20
MAX_LINE = 1 << 20
EASY = 1e-7
USER = "tester.1"
MASK = "1fffe000"


class PoolProcess:
    """`with PoolProcess("--ping") as pool:`; after the block `report` and `events` are there."""

    def __init__(self, *options, difficulty=EASY):
        # Without a word in `options` no job comes by the clock while a test lasts.
        command = [sys.executable, str(POOL), "--difficulty", str(difficulty), "--job-every", "60000", *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.events = [json.loads(self.process.stdout.readline())]
        self.port = self.events[0]["port"]
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        self.report = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.reader.join(PATIENCE_SECONDS)
        code = self.process.wait(PATIENCE_SECONDS)
        self.process.stdout.close()
        assert code == 0, f"exit code {code}"
        self.report = self.events[-1]
        assert self.report["event"] == "report"

    def shares(self):
        return [event for event in self.events if event["event"] == "share"]

    def _read(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))


class ScriptedClient:
    """Follows the pool as a client must, one line at a time, and keeps every job with its terms."""

    def __init__(self, pool, patience=PATIENCE_SECONDS):
        self.socket = socket.create_connection(("127.0.0.1", pool.port), timeout=patience)
        self.deadline = time.monotonic() + patience
        self.buffer = b""
        self.reads = 0
        self.next_id = 1
        self.terms = Terms(1, b"", 0, None)
        self.jobs = []  # (Job, clean) in order
        self.lines = []
        self.answers = {}
        self.session = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def ready(self, mask=MASK, session=None, user=USER):
        """The whole handshake up to the first job."""
        if mask is not None:
            self.configure(mask)
        self.subscribe(session)
        assert self.call("mining.authorize", [user, "x"])["result"] is True
        self.until(lambda: self.jobs)
        return self

    def configure(self, mask=MASK):
        answer = self.call("mining.configure", [["version-rolling"], {
            "version-rolling.mask": mask, "version-rolling.min-bit-count": 1}])
        if answer["error"] is None and answer["result"]["version-rolling"] is True:
            self._terms(mask=int(answer["result"]["version-rolling.mask"], 16))
        return answer

    def subscribe(self, session=None):
        params = ["scripted/1"] if session is None else ["scripted/1", session]
        answer = self.call("mining.subscribe", params)
        subscriptions, extranonce1, size = answer["result"]
        self.session = subscriptions[-1][1]
        told = {"extranonce1": bytes.fromhex(extranonce1), "extranonce2_size": size}
        self._terms(**told)
        # Work that came before the answer is made of the extranonces in the answer.
        self.jobs = [(Job(job.notify, replace(job.terms, **told)), clean) for job, clean in self.jobs]
        return answer

    def request(self, method, params):
        request_id, self.next_id = self.next_id, self.next_id + 1
        self.send({"id": request_id, "method": method, "params": params})
        return request_id

    def call(self, method, params):
        request_id = self.request(method, params)
        self.until(lambda: request_id in self.answers)
        return self.answers[request_id]

    def submit(self, params):
        return self.call("mining.submit", params)

    def next_job(self, good=lambda job, clean: True):
        """The next job from now on for which `good` holds."""
        seen = len(self.jobs)

        def found():
            return next((job for job, clean in self.jobs[seen:] if good(job, clean)), None)

        self.until(found)
        return found()

    def until(self, condition):
        while not condition():
            self.read()

    def send(self, message):
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def read(self):
        """One line; what is no message is kept in `lines` and otherwise passed over."""
        while b"\n" not in self.buffer:
            if time.monotonic() > self.deadline:
                raise TimeoutError("the pool did not do it in time")
            if len(self.buffer) > MAX_LINE:
                raise ConnectionError("endless line")
            try:
                data = self.socket.recv(65536)
            except socket.timeout as timeout:  # a class of its own before Python 3.10
                raise TimeoutError from timeout
            self.reads += 1
            if not data:
                raise ConnectionError("closed by the pool")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        self.lines.append(line)
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return
        if "method" in message:
            self._notification(message)
        else:
            self.answers[message["id"]] = message

    def _notification(self, message):
        method, params = message["method"], message["params"]
        if method == "mining.set_difficulty" and params[0] > 0:
            self._terms(difficulty=params[0])
        elif method == "mining.set_extranonce" and len(params[0]) % 2 == 0 and params[1] <= 32:
            self._terms(extranonce1=bytes.fromhex(params[0]), extranonce2_size=params[1])
        elif method == "mining.set_version_mask":
            self._terms(mask=int(params[0], 16))
        elif method == "mining.notify" and params[0] != "hostile" and len(params[0]) <= 128:
            notify = Notify(*params[:4], tuple(params[4]), *params[5:8])
            self.jobs.append((Job(notify, self.terms), params[8]))
        elif method == "mining.ping":
            self.send({"id": message["id"], "result": "pong", "error": None})
        elif method == "client.get_version":
            self.send({"id": message["id"], "result": "scripted/1", "error": None})

    def _terms(self, **changes):
        self.terms = replace(self.terms, **changes)


def mine(job, above=0.0, below=float("inf"), user=USER, bits=None, ntime=None, counter=0, **terms):
    """Params of a submit for `job` whose share difficulty lies in [above or the job's, below).

    `terms` replace the job's own, to make the mistakes that a client could make.
    """
    terms = replace(job.terms, **terms)
    extranonce2 = (counter % 256 ** terms.extranonce2_size).to_bytes(terms.extranonce2_size, "big")
    coinbase = share_rules.coinbase(job.notify, terms.extranonce1, extranonce2)
    root = share_rules.merkle_root(coinbase, job.notify.branches)
    version, mask = int(job.notify.version, 16), terms.mask
    if mask is not None:
        bits = version & mask if bits is None else bits
        version = share_rules.replaced_version(version, bits, mask)
    ntime = int(job.notify.ntime, 16) if ntime is None else ntime
    hardest = share_rules.target_of_difficulty(below) if below != float("inf") else -1
    easiest = share_rules.target_of_difficulty(above or terms.difficulty)
    head = share_rules.header(job.notify, root, version, ntime, 0)[:76]
    for nonce in range(1 << 32):
        number = share_rules.hash_number(head + nonce.to_bytes(4, "little"))
        if hardest < number <= easiest:
            break
    params = [user, job.notify.job_id, extranonce2.hex(), f"{ntime:08x}", f"{nonce:08x}"]
    return params if mask is None else [*params, f"{bits:08x}"]
