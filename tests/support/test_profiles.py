"""The profiles: their words are known, their rules do what they say, and each can be mined for."""

import contextlib
import dataclasses
import io
import json
import typing
import unittest

import share_rules
from difficulty_rules import DifficultyLog, DifficultyRule
from envelope import Writer
from pool_options import parse_options
from profiles import PROFILES
from scripted_client import USER, PoolProcess, ScriptedClient, mine
from server_profile import Envelope, Jobs
from share_rules import Invalid, ShareRules, Submit, Terms, judge
from synthetic_jobs import JobMaker

SUGGEST = "mining.suggest_difficulty"


def strange_words(value, kind) -> list:
    """What stands in a profile and is none of the words its field knows."""
    if dataclasses.is_dataclass(kind):
        kinds = typing.get_type_hints(kind)
        return [word for field in dataclasses.fields(kind)
                for word in strange_words(getattr(value, field.name), kinds[field.name])]
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return [] if value in parts else [value]
    if origin is tuple and parts[-1] is Ellipsis:
        return [word for each in value for word in strange_words(each, parts[0])]
    if kind == typing.Mapping[str, parts[-1] if parts else None]:
        return [word for each in value.values() for word in strange_words(each, parts[-1])]
    return []


class Table(unittest.TestCase):
    def test_every_word_of_every_profile_is_known(self):
        for name, profile in PROFILES.items():
            with self.subTest(name):
                self.assertEqual(strange_words(profile, type(profile)), [])
        broken = dataclasses.replace(PROFILES["strict"], jobs=Jobs(ids=("roman",)))
        self.assertEqual(strange_words(broken, type(broken)), ["roman"])

    def test_a_profile_sets_the_defaults_of_options_and_an_option_wins(self):
        options = parse_options(["--profile", "sv2-translator"])
        self.assertEqual((len(options.extranonce1), options.extranonce2_size, options.seed), (24, 8, 1))
        options = parse_options(["--profile", "sv2-translator", "--extranonce2-size", "4", "--seed", "7"])
        self.assertEqual((options.error_style, options.extranonce2_size, options.seed), ("true", 4, 7))
        with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
            parse_options(["--profile", "no-such-server"])

    def test_each_names_only_options_that_there_are(self):
        known = set(vars(parse_options([])))
        for name, profile in PROFILES.items():
            with self.subTest(name):
                self.assertEqual(set(profile.options) - known, set())


class Difficulty(unittest.TestCase):
    def required(self, rule, job, now, flight=0.0):
        """After 8 at second 0, 2 at second 10 and 4 at second 100."""
        log = DifficultyLog(rule)
        for written_at, difficulty in ((0, 8), (10, 2), (100, 4)):
            log.told(difficulty, written_at)
        return log.required(job, now, flight)

    def test_each_rule_looks_at_the_job_or_at_the_moment(self):
        for rule, job, expected in (("job", 8, 8), ("job", 2, 2), ("at-once", 8, 4), ("at-once", 2, 4),
                                    ("lower-at-once", 8, 4), ("lower-at-once", 2, 2)):
            with self.subTest((rule, job)):
                self.assertEqual(self.required(DifficultyRule(rule), job, 200), expected)

    def test_a_previous_value_counts_for_its_time_and_a_share_in_flight_for_its_own(self):
        grace = DifficultyRule("at-once", previous_seconds=60)
        self.assertEqual([self.required(grace, 8, now) for now in (101, 159, 161)], [2, 2, 4])
        kept = DifficultyRule("job", previous_seconds=60)
        self.assertEqual([self.required(kept, 4, now) for now in (159, 161)], [2, 4])
        self.assertEqual(self.required(DifficultyRule("at-once"), 8, 100.05, flight=0.1), 2)
        self.assertEqual(self.required(DifficultyRule("job"), 8, 100.05, flight=0.1), 8)

    def test_tolerance_takes_a_part_off_and_silence_leaves_the_jobs_own(self):
        self.assertEqual(DifficultyLog(DifficultyRule("at-once", tolerance=0.25)).required(8, 0), 6)


class Rules(unittest.TestCase):
    def test_the_version_conventions_differ_where_the_job_has_bits_inside_the_mask(self):
        job, mask = 0x20006000, 0x1FFFE000
        versions = {"or": 0x2000E000, "xor": 0x2000A000, "replace": 0x2000C000, "xor-or-whole": 0x2000A000}
        for rule, version in versions.items():
            with self.subTest(rule):
                self.assertEqual(share_rules.rolled_version(rule, job, 0x0000C000, mask), version)
        self.assertEqual(share_rules.rolled_version("xor-or-whole", job, 0x2000C000, mask), 0x2000C000)

    def test_an_unchecked_ntime_and_unagreed_bits_pass_only_where_a_server_lets_them(self):
        notify = JobMaker("rules", 0x17023A04, 0).draft().notify(Terms(1e-300, b"", 4, None))
        job = share_rules.Job(notify, Terms(1e-300, b"", 4, None))
        late = Submit(USER, notify.job_id, "00000000", f"{int(notify.ntime, 16) + 100_000:08x}", "00000000", None)
        judge(job, late, False, ShareRules(ntime_from_job=False, ntime_seconds=None))
        rolled = dataclasses.replace(late, ntime=notify.ntime, version_bits="00002000")
        judge(job, rolled, False, ShareRules(unagreed_bits="ignored"))
        for submit in (late, rolled):
            with self.assertRaises(Invalid):
                judge(job, submit, False)


class Forms(unittest.TestCase):
    def test_members_order_ids_and_absent_errors(self):
        forms = {
            Envelope(): ('{"id": null, "method": "m", "params": []}', '{"id": 1, "result": true, "error": null}'),
            Envelope(members=("error", "id", "method", "params", "result"), jsonrpc=True): (
                '{"id": null, "method": "m", "params": [], "jsonrpc": "2.0"}',
                '{"error": null, "id": 1, "result": true, "jsonrpc": "2.0"}'),
            Envelope(notification_id="absent", no_error="absent"): (
                '{"method": "m", "params": []}', '{"id": 1, "result": true}'),
        }
        for form, expected in forms.items():
            with self.subTest(form):
                writer = Writer(form)
                lines = (writer.notification("m", []), writer.accept(1, True))
                self.assertEqual(tuple(line.decode().strip() for line in lines), expected)
        writer = Writer(Envelope(notification_id="number"))
        self.assertEqual([json.loads(writer.notification("m", []))["id"] for _ in range(3)], [0, 1, 2])

    def test_extranonces_in_an_output_leave_a_whole_transaction(self):
        maker = JobMaker("datum", 0x17023A04, 0, PROFILES["datum"].jobs)
        for kind in ("usual", "quick", "empty"):
            with self.subTest(kind):
                notify = maker.draft(kind).notify(Terms(1, b"\xaa" * 4, 8, None))
                coinbase = share_rules.coinbase(notify, b"\xaa" * 4, b"\xee" * 8)
                self.assertEqual(self.last_script(coinbase)[-12:], b"\xaa" * 4 + b"\xee" * 8)
                self.assertEqual(notify.job_id[0] in "QN", kind != "usual")
                self.assertEqual(notify.coinb1 != notify.coinb1.lower(), kind == "quick")

    def last_script(self, transaction):
        at = 42 + transaction[41] + 4
        outputs, at = transaction[at], at + 1
        for _ in range(outputs):
            script = transaction[at + 9:at + 9 + transaction[at + 8]]
            at += 9 + len(script)
        self.assertEqual(at + 4, len(transaction))
        return script

    def test_unpadded_numbers(self):
        maker = JobMaker("pp", 0x17023A04, 0, PROFILES["public-pool"].jobs)
        terms = Terms(1, b"", 4, None)
        self.assertEqual({maker.draft().notify(terms).version for _ in range(4)}, {"20000000", "4"})


class Servers(unittest.TestCase):
    def test_a_share_is_accepted_by_every_server(self):
        for name, profile in PROFILES.items():
            with self.subTest(name), PoolProcess("--profile", name) as pool, ScriptedClient(pool) as client:
                client.request("mining.configure", [["version-rolling"], {
                    "version-rolling.mask": "1fffe000", "version-rolling.min-bit-count": 1}])
                client.subscribe()
                self.assertIn(client.call("mining.authorize", [USER, "x"])["result"], (True, None))
                client.until(lambda: len(client.jobs) == len(profile.handshake.first_job))
                rolls = "mask" not in profile.options or isinstance(profile.options["mask"], int)
                share = mine(client.jobs[-1][0], mask=0x1FFFE000 if rolls else None)
                if profile.shares.rules.version in ("xor", "xor-or-whole"):
                    share[5] = "00000000"  # nothing was rolled, which only here is not the job's own bits
                self.assertIs(client.submit(share)["result"], True)
            report = pool.report
            self.assertEqual((report["profile"], report["accepted"], report["invalid"]), (name, 1, {}))
            self.assertEqual(report["protocol_errors"], {})

    def test_a_server_that_closes_on_what_it_does_not_know_does(self):
        broken = {"mining.ping": ([], "unknown-method"), SUGGEST: ([0.5], "suggestion-not-whole"),
                  "mining.subscribe": ([], "second-subscribe")}
        for method, (params, reason) in broken.items():
            with self.subTest(method), PoolProcess("--profile", "p2poolv2") as pool, \
                    ScriptedClient(pool).ready() as client:
                client.request(SUGGEST, [512])
                client.request(method, params)
                with self.assertRaises(ConnectionError):
                    client.until(lambda: False)
            self.assertEqual(pool.report["protocol_errors"], {reason: 1})

    def test_bad_json_is_answered_with_plain_text_or_an_error_and_the_end(self):
        for name, last in (("ckpool", b"Invalid JSON, disconnecting"), ("p2poolv2", b"-32700"), ("datum", b"")):
            with self.subTest(name), PoolProcess("--profile", name) as pool, \
                    ScriptedClient(pool).ready() as client:
                client.socket.sendall(b"nonsense\n")
                with self.assertRaises(ConnectionError):
                    client.until(lambda: False)
                self.assertIn(last, client.lines[-1])
            self.assertEqual(pool.report["protocol_errors"], {"not-an-object": 1})

    def test_a_refused_share_sent_again_is_a_duplicate_to_public_pool(self):
        with PoolProcess("--profile", "public-pool", difficulty=1e-4) as pool, \
                ScriptedClient(pool).ready() as client:
            share = mine(client.jobs[-1][0], above=1e-9, below=1e-4)
            self.assertEqual([client.submit(share)["error"][0] for _ in range(2)], [23, 22])
        self.assertEqual((pool.report["invalid"], pool.report["duplicates"]), ({"low-difficulty": 1}, 1))

    def test_who_does_not_ask_nicehash_for_extranonces_is_sent_away(self):
        options = ("--profile", "nicehash", "--set-extranonce-every", "0.05")
        for asks, method in ((True, b"mining.set_extranonce"), (False, b"client.reconnect")):
            with self.subTest(asks), PoolProcess(*options) as pool, ScriptedClient(pool) as client:
                client.configure()
                client.subscribe()
                if asks:
                    client.call("mining.extranonce.subscribe", [])
                client.call("mining.authorize", [USER, "x"])
                client.until(lambda: any(method in line for line in client.lines))


if __name__ == "__main__":
    unittest.main()
