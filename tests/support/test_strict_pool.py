"""Every verdict of the pool, reached over a real socket by a client that mines in Python."""

import contextlib
import io
import json
import unittest

from pool_options import parse_options
from scripted_client import EASY, USER, PoolProcess, ScriptedClient, mine
from share_rules import Invalid, judge, parse_submit

ERROR_FORMS = {
    "list": {"result": None, "error": [22, "Duplicate share", None]},
    "object": {"result": None, "error": {"code": 22, "message": "Duplicate share", "data": None}},
    "string": {"result": False, "error": "Duplicate share"},
    "false-null": {"result": False, "error": None},
}


def changed(params, index, value):
    return [*params[:index], value, *params[index + 1:]]


def mistaken(job, **terms):
    """A submit mined under wrong terms that is not right by chance."""
    for counter in range(100):
        params = mine(job, counter=counter, **terms)
        try:
            judge(job, parse_submit(params), True)
        except Invalid:
            return params
    raise AssertionError("the wrong terms make right shares")


class Verdicts(unittest.TestCase):
    def test_a_right_share_is_accepted_once(self):
        with PoolProcess() as pool, ScriptedClient(pool).ready() as client:
            share = mine(client.jobs[-1][0], bits=0x00006000)
            self.assertIs(client.submit(share)["result"], True)
            self.assertEqual(client.submit(share)["error"], [22, "Duplicate share", None])
            rolled = mine(client.jobs[-1][0], ntime=int(share[3], 16) + 600)
            self.assertIs(client.submit(rolled)["result"], True)
        report = pool.report
        self.assertEqual((report["accepted"], report["duplicates"], report["invalid"]), (2, 1, {}))
        self.assertEqual((report["submits"], report["lost_unanswered"]), (3, 0))
        self.assertEqual((report["jobs"], report["clean_jobs"], report["protocol_errors"]), (1, 1, {}))
        self.assertIsNotNone(report["first_share_seconds"])
        event = pool.shares()[0]
        self.assertEqual((event["verdict"], event["job_difficulty"]), ("accepted", EASY))
        self.assertEqual((event["user"], event["job"], event["extranonce2"]), tuple(share[:3]))
        self.assertEqual((event["ntime"], event["nonce"], event["version_bits"]), tuple(share[3:]))
        self.assertGreaterEqual(event["difficulty"], EASY)

    def test_each_broken_rule_has_its_reason(self):
        with PoolProcess() as pool, ScriptedClient(pool).ready() as client:
            job = client.jobs[-1][0]
            share = mine(job, counter=10)
            ntime = int(share[3], 16)
            broken = {
                "params-count": share[:4],
                "params-not-text": changed(share, 4, 17),
                "wrong-user": changed(share, 0, USER + "0"),
                "unknown-job": changed(share, 1, "no such job"),
                "extranonce2-length": changed(share, 2, "00" + share[2]),
                "extranonce2-hex": changed(share, 2, share[2].upper()),
                "ntime-length": changed(share, 3, share[3][1:]),
                "ntime-hex": changed(share, 3, "0x" + share[3][2:]),
                "ntime-too-old": changed(share, 3, f"{ntime - 1:08x}"),
                "ntime-too-new": changed(share, 3, f"{ntime + 601:08x}"),
                "nonce-length": changed(share, 4, share[4] + "\n"),
                "nonce-hex": changed(share, 4, "0000000G"),
                "version-bits-missing": share[:5],
                "version-bits-length": changed(share, 5, "0"),
                "version-bits-hex": changed(share, 5, " 0000000"),
                "version-bits-outside-mask": changed(share, 5, "20000000"),
                "low-difficulty": mine(job, above=EASY / 100, below=EASY),
            }
            for reason, params in broken.items():
                self.assertIsNot(client.submit(params)["result"], True, reason)
            self.assertIs(client.submit(share)["result"], True)
        self.assertEqual(pool.report["invalid"], {reason: 1 for reason in broken})
        self.assertEqual([event["reason"] for event in pool.shares()], [*broken, None])

    def test_a_submit_out_of_turn_is_refused(self):
        with PoolProcess() as pool, ScriptedClient(pool) as client:
            params = [USER, "1", "00000000", "00000000", "00000000"]
            self.assertEqual(client.submit(params)["error"][0], 25)
            client.subscribe()
            self.assertEqual(client.submit(params)["error"][0], 24)
        self.assertEqual(pool.report["invalid"], {"not-subscribed": 1, "unauthorized": 1})

    def test_version_bits_without_agreement_are_unexpected(self):
        for mask in ("none", "silent", "00000000"):
            with self.subTest(mask), PoolProcess("--mask", mask) as pool, ScriptedClient(pool) as client:
                if mask == "silent":
                    client.request("mining.configure", [[], {}])
                else:
                    client.configure()
                client.ready(mask=None)
                share = mine(client.jobs[-1][0], mask=None)
                client.submit([*share, "00000000"])
                self.assertIs(client.submit(share)["result"], True)
            self.assertEqual(pool.report["invalid"], {"version-bits-unexpected": 1})

    def test_bits_of_the_job_inside_the_mask_are_replaced(self):
        with PoolProcess("--job-version-bits") as pool, ScriptedClient(pool).ready() as client:
            job = client.jobs[-1][0]
            self.assertNotEqual(int(job.notify.version, 16), 0x20000000)
            self.assertIs(client.submit(mine(job))["result"], True)
            self.assertIs(client.submit(mine(job, bits=0))["result"], True)
        self.assertEqual(pool.report["accepted"], 2)

    def test_a_late_share_is_stale_or_was_in_flight(self):
        moving = ("--job-every", "50", "--clean-ratio", "1")
        for flight, verdict in (("60000", "stale_in_flight"), ("0.001", "stale")):
            with self.subTest(verdict), PoolProcess(*moving, "--flight-ms", flight) as pool, \
                    ScriptedClient(pool).ready() as client:
                share = mine(client.jobs[0][0])
                client.next_job(lambda _, clean: clean)
                self.assertEqual(client.submit(share)["error"], [21, "Stale", None])
            self.assertEqual(pool.report[verdict], 1)
            self.assertEqual(pool.report["stale"] + pool.report["stale_in_flight"], 1)

    def test_a_job_that_is_not_clean_leaves_the_older_ones_good(self):
        with PoolProcess("--job-every", "50", "--clean-ratio", "0") as pool, \
                ScriptedClient(pool).ready() as client:
            client.next_job()
            client.next_job()
            self.assertIs(client.submit(mine(client.jobs[0][0]))["result"], True)
        self.assertEqual(pool.report["clean_jobs"], 1)

    def test_a_block_counts_below_the_share_difficulty_and_after_its_time(self):
        options = ("--nbits", "easy", "--job-every", "50", "--clean-ratio", "1", "--flight-ms", "0.001")
        with PoolProcess(*options, difficulty=1) as pool, ScriptedClient(pool).ready() as client:
            share = mine(client.jobs[0][0], above=1e-9)
            client.next_job(lambda _, clean: clean)
            client.submit(share)
        self.assertEqual((pool.report["stale_blocks"], pool.report["blocks"]), (1, 1))
        with PoolProcess("--nbits", "easy", difficulty=1) as pool, ScriptedClient(pool).ready() as client:
            self.assertIs(client.submit(mine(client.jobs[0][0], above=1e-9))["result"], True)
        self.assertEqual((pool.report["accepted"], pool.report["blocks"]), (1, 1))


class Terms(unittest.TestCase):
    def test_each_job_keeps_the_difficulty_it_was_sent_under(self):
        options = ("--difficulty-changes", "0.05", "--job-every", "20", "--clean-ratio", "0")
        with PoolProcess(*options) as pool, ScriptedClient(pool).ready() as client:
            first = client.jobs[0][0]
            harder = client.next_job(lambda job, _: job.terms.difficulty > 1.3 * EASY)
            between = {"above": EASY, "below": harder.terms.difficulty}
            self.assertIs(client.submit(mine(first, **between))["result"], True)
            self.assertEqual(client.submit(mine(harder, **between))["error"][0], 23)
        self.assertEqual((pool.report["accepted"], pool.report["invalid"]), (1, {"low-difficulty": 1}))
        self.assertGreater(pool.report["difficulty_changes"], 0)

    def test_a_new_extranonce_holds_from_the_next_notify_on(self):
        options = ("--set-extranonce-every", "0.1", "--clean-ratio", "0")
        with PoolProcess(*options) as pool, ScriptedClient(pool).ready() as client:
            first = client.jobs[0][0]
            job = client.next_job()
            self.assertNotEqual(first.terms.extranonce1, job.terms.extranonce1)
            self.assertIs(client.submit(mine(first))["result"], True)
            self.assertIs(client.submit(mine(job))["result"], True)
            wrong = mistaken(job, extranonce1=first.terms.extranonce1)
            self.assertEqual(client.submit(wrong)["error"][0], 23)
            methods = [json.loads(line).get("method") for line in client.lines]
            changes = [i for i, method in enumerate(methods[:-1]) if method == "mining.set_extranonce"]
            self.assertTrue(changes)
            self.assertTrue(all(methods[i + 1] == "mining.notify" for i in changes))
        self.assertEqual((pool.report["accepted"], pool.report["invalid"]), (2, {"low-difficulty": 1}))

    def test_a_repeated_job_id_means_the_newest_sending(self):
        options = ("--repeat-job-ids", "--set-extranonce-every", "0.05", "--clean-ratio", "0",
                   "--flight-ms", "0.001")
        with PoolProcess(*options) as pool, ScriptedClient(pool).ready() as client:
            def repeated():
                ids = [job.notify.job_id for job, _ in client.jobs]
                return len(ids) > 1 and ids[-1] == ids[-2]

            client.until(repeated)
            old, new = client.jobs[-2][0], client.jobs[-1][0]
            self.assertIs(client.submit(mine(new))["result"], True)
            wrong = mistaken(new, extranonce1=old.terms.extranonce1,
                             extranonce2_size=old.terms.extranonce2_size)
            self.assertIsNot(client.submit(wrong)["result"], True)
        self.assertEqual(pool.report["accepted"], 1)
        self.assertGreater(pool.report["repeated_jobs"], 0)

    def test_a_new_mask_holds_from_the_next_notify_on(self):
        options = ("--mask-changes", "0.1", "--clean-ratio", "0")
        with PoolProcess(*options) as pool, ScriptedClient(pool).ready() as client:
            job = client.next_job(lambda job, _: job.terms.mask != 0x1FFFE000)
            lost_bit = 0x1FFFE000 & ~job.terms.mask
            self.assertIs(client.submit(mine(client.jobs[0][0], bits=lost_bit))["result"], True)
            self.assertIs(client.submit(mine(job, bits=job.terms.mask))["result"], True)
            client.submit(mine(job, bits=lost_bit))
        self.assertEqual(pool.report["invalid"], {"version-bits-outside-mask": 1})

    def test_sizes_of_extranonce_from_the_command_line(self):
        for extranonce1, size in (("", "0"), ("2a6502002aa65f", "8"), ("0a" * 32, "16")):
            options = ("--extranonce1", extranonce1, "--extranonce2-size", size)
            with self.subTest(options), PoolProcess(*options) as pool, \
                    ScriptedClient(pool).ready() as client:
                self.assertEqual(client.terms.extranonce1.hex(), extranonce1)
                self.assertIs(client.submit(mine(client.jobs[0][0]))["result"], True)
            self.assertEqual(pool.report["accepted"], 1)

    def test_options_out_of_range_are_refused(self):
        for options in (["--extranonce2-size", "17"], ["--difficulty", "0"], ["--difficulty", "nan"],
                        ["--mask", "ffffffff"], ["--mask", "1fffe"], ["--clean-ratio", "2"]):
            with self.subTest(options), self.assertRaises(SystemExit), \
                    contextlib.redirect_stderr(io.StringIO()):
                parse_options(options)


class Resume(unittest.TestCase):
    def test_a_session_keeps_its_extranonce_and_jobs_and_an_unanswered_share_may_return(self):
        with PoolProcess("--resume", "--never-answer", "1") as pool:
            with ScriptedClient(pool).ready() as client:
                job, session = client.jobs[0][0], client.session
                share = mine(job)
                client.request("mining.submit", share)
                client.call("mining.extranonce.subscribe", [])
            with ScriptedClient(pool).ready(session=session) as client:
                self.assertEqual(client.terms.extranonce1, job.terms.extranonce1)
                self.assertFalse(client.jobs[0][1])
                for params in (share, mine(job, counter=1), share):
                    client.request("mining.submit", params)
                client.call("mining.extranonce.subscribe", [])
        verdicts = [event["verdict"] for event in pool.shares()]
        self.assertEqual(verdicts, ["accepted", "resubmitted", "accepted", "duplicate"])
        self.assertEqual((pool.report["resumed"], pool.report["lost_unanswered"]), (1, 4))

    def test_without_resume_a_job_of_another_connection_is_unknown(self):
        with PoolProcess() as pool:
            with ScriptedClient(pool).ready() as client:
                share, session = mine(client.jobs[0][0]), client.session
            with ScriptedClient(pool).ready(session=session) as client:
                self.assertEqual(client.submit(share)["error"][0], 21)
        self.assertEqual(pool.report["invalid"], {"unknown-job": 1})


class Reject(unittest.TestCase):
    def test_a_reject_takes_each_form_of_the_field(self):
        for style, form in ERROR_FORMS.items():
            with self.subTest(style), PoolProcess("--error-style", style) as pool, \
                    ScriptedClient(pool).ready() as client:
                share = mine(client.jobs[0][0])
                client.submit(share)
                answer = client.submit(share)
                self.assertEqual({"result": answer["result"], "error": answer["error"]}, form)


if __name__ == "__main__":
    unittest.main()
