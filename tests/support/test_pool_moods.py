"""What the pool can do besides judging: pieces of lines, cuts, early work, hostile lines."""

import json
import unittest

from client_lines import ProtocolError, parse_configure, parse_line
from hostile_lines import HOSTILE_NAMES
from scripted_client import EASY, PATIENCE_SECONDS, USER, PoolProcess, ScriptedClient, mine

# Attacks that leave no way to go on on the same connection.
EXTRANONCES = ("odd-extranonce1", "extranonce2-size-99")
ENDING = ("line-of-100mb", "slow-drip", "plain-text-goodbye", *EXTRANONCES)


def accept_one(client, counter=0):
    return client.submit(mine(client.jobs[-1][0], counter=counter))["result"] is True


class Transport(unittest.TestCase):
    def test_single_bytes_arrive_as_pieces_and_make_whole_jobs(self):
        with PoolProcess("--single-bytes") as pool, ScriptedClient(pool).ready() as client:
            self.assertTrue(accept_one(client))
            self.assertGreater(client.reads, 5 * len(client.lines))
        self.assertEqual((pool.report["accepted"], pool.report["invalid"]), (1, {}))

    def test_coalesced_lines_arrive_together(self):
        options = ("--coalesce", "--job-every", "5", "--clean-ratio", "0")
        with PoolProcess(*options) as pool, ScriptedClient(pool).ready() as client:
            client.until(lambda: len(client.jobs) > 20)
            self.assertLess(client.reads, len(client.lines))
            self.assertTrue(accept_one(client))
        self.assertEqual(pool.report["invalid"], {})

    def test_cuts_come_with_and_without_half_a_line_and_a_new_connection_works(self):
        with PoolProcess("--cut-every", "0.05", "--seed", "3") as pool:
            while {event.get("how") for event in list(pool.events)} < {None, "mid-line", "close", "abort"}:
                with ScriptedClient(pool) as client:
                    with self.assertRaises(ConnectionError):
                        client.ready()
                        client.until(lambda: False)
        self.assertGreaterEqual(pool.report["cuts"], 3)
        self.assertGreaterEqual(pool.report["connections"], pool.report["cuts"])

    def test_a_zombie_answers_nothing_and_no_notify_sends_no_job(self):
        with PoolProcess("--zombie") as pool, ScriptedClient(pool, patience=0.3) as client:
            with self.assertRaises(TimeoutError):
                client.configure()
        self.assertEqual((pool.report["connections"], pool.report["submits"]), (1, 0))
        with PoolProcess("--no-notify", "--job-every", "10") as pool, ScriptedClient(pool) as client:
            client.subscribe()
            client.call("mining.authorize", [USER, "x"])
            client.call("mining.extranonce.subscribe", [])
        self.assertEqual(pool.report["jobs"], 0)

    def test_it_ends_with_a_report_after_its_seconds_and_on_a_signal(self):
        with PoolProcess("--seconds", "0.2") as pool:
            pool.process.wait(PATIENCE_SECONDS)
        self.assertEqual(pool.report["connections"], 0)
        with PoolProcess() as pool, ScriptedClient(pool).ready():
            pool.process.terminate()
            pool.process.wait(PATIENCE_SECONDS)
        self.assertEqual(pool.report["connections"], 1)


class Order(unittest.TestCase):
    def test_early_work_comes_before_subscribes_answer_or_before_authorizes(self):
        places = set()
        for seed in range(8):
            with PoolProcess("--pipeline-early-work", "--seed", str(seed)) as pool, \
                    ScriptedClient(pool) as client:
                client.subscribe()
                before = bool(client.jobs)
                client.until(lambda: client.jobs)
                places.add(before)
                self.assertIs(client.call("mining.authorize", [USER, "x"])["result"], True)
                self.assertTrue(accept_one(client))
            self.assertEqual(pool.report["invalid"], {})
        self.assertEqual(places, {True, False})

    def test_answers_in_random_order_are_all_given(self):
        options = ("--answer-order", "random", "--answer-delay-ms", "20")
        with PoolProcess(*options) as pool, ScriptedClient(pool).ready() as client:
            shares = [mine(client.jobs[0][0], counter=i) for i in range(30)]
            ids = [client.request("mining.submit", share) for share in shares]
            client.until(lambda: set(ids) <= set(client.answers))
            self.assertNotEqual([i for i in client.answers if i in ids], ids)
        self.assertEqual((pool.report["accepted"], pool.report["lost_unanswered"]), (30, 0))

    def test_a_refused_client_gets_no_work(self):
        with PoolProcess("--refuse-authorize", "--job-every", "10") as pool, ScriptedClient(pool) as client:
            client.subscribe()
            self.assertEqual(client.call("mining.authorize", [USER, "x"])["error"][0], 24)
            client.call("mining.extranonce.subscribe", [])
        self.assertEqual(pool.report["jobs"], 0)

    def test_pings_with_the_clients_own_ids_are_answered(self):
        with PoolProcess("--ping") as pool, ScriptedClient(pool).ready() as client:
            client.until(lambda: b"client.get_version" in b"".join(client.lines))
            self.assertTrue(accept_one(client))
        report = pool.report
        self.assertEqual((report["pings_sent"], report["pings_answered"], report["pings_wrong"]), (2, 2, 0))

    def test_messages_and_a_reconnect_after_the_first_share(self):
        options = ("--show-message", "h\u00e9llo", "--reconnect-to", "127.0.0.1:4")
        with PoolProcess(*options) as pool, ScriptedClient(pool).ready() as client:
            accept_one(client)
            accept_one(client, counter=1)
            client.call("mining.extranonce.subscribe", [])
            messages = [json.loads(line) for line in client.lines]
            sent = [(m["method"], m["params"]) for m in messages if m.get("method", "").startswith("client.")]
        self.assertEqual(sent, [("client.show_message", ["h\u00e9llo"]),
                                ("client.reconnect", ["127.0.0.1", 4, 0])])
        self.assertEqual(pool.report["reconnects_sent"], 1)


class ClientLines(unittest.TestCase):
    def test_what_a_strict_server_does_not_take(self):
        lines = {
            "line-too-long": b'{"id": 1, "method": "m", "params": ["' + b"x" * 1024 + b'"]}\n',
            "carriage-return": b'{"id": 1, "method": "m", "params": []}\r\n',
            "not-an-object": b' {"id": 1, "method": "m", "params": []}\n',
            "not-json": b'{"id": 1, "id": 2, "method": "m", "params": []}\n',
            "id": b'{"id": null, "method": "m", "params": []}\n',
            "method-or-params": b'{"id": 1, "method": "m"}\n',
            "neither-request-nor-answer": b'{"id": 1}\n',
        }
        for reason, line in lines.items():
            with self.subTest(reason), self.assertRaises(ProtocolError) as caught:
                parse_line(line, 1024)
            self.assertEqual(caught.exception.reason, reason)

    def test_configure_needs_a_mask_and_a_numeric_bit_count(self):
        good = {"version-rolling.mask": "1fffe000", "version-rolling.min-bit-count": 1}
        self.assertEqual(parse_configure([["version-rolling"], good]), 0x1FFFE000)
        self.assertIsNone(parse_configure([["info"], {}]))
        for bad in ({"version-rolling.mask": "1FFFE000"}, {"version-rolling.min-bit-count": "1"}):
            with self.assertRaises(ProtocolError):
                parse_configure([["version-rolling"], {**good, **bad}])

    def test_deviations_are_reported_and_do_not_end_the_connection(self):
        with PoolProcess() as pool, ScriptedClient(pool).ready() as client:
            client.socket.sendall(b"nonsense\n")
            client.send({"id": 1, "method": "mining.submit", "params": []})
            client.send({"id": 900, "result": "pong", "error": None})
            client.call("mining.get_transactions", [])
            client.request("mining.subscribe", [])
            client.request("mining.authorize", [USER, "x"])
            self.assertTrue(accept_one(client))
        self.assertEqual(pool.report["protocol_errors"], {
            "not-an-object": 1, "id-not-increasing": 1, "answer-to-nothing": 1, "unknown-method": 1,
            "second-subscribe": 1, "second-authorize": 1})


class Hostile(unittest.TestCase):
    def test_after_each_attack_good_shares_are_accepted_again(self):
        for name in HOSTILE_NAMES:
            with self.subTest(name), PoolProcess("--hostile", name) as pool:
                self.survive(pool, name)
            self.assertEqual(pool.report["hostile_sent"], 2 if name in EXTRANONCES else 1)
            self.assertTrue(any(event["event"] == "hostile" for event in pool.events))
            self.assertGreaterEqual(pool.report["accepted_after_hostile"], 1)
            self.assertEqual(pool.report["invalid"], {})
            self.assertEqual(pool.report["hostile_rejects"], int(name == "escape-codes"))

    def survive(self, pool, name):
        """Mines on, over as many connections as it takes, until a share counts after the attack."""
        if name not in ENDING:
            with ScriptedClient(pool).ready() as client:
                client.next_job()  # none comes by the clock: this one follows the attack
                self.mine_last(client)
            return
        if name in EXTRANONCES:
            with ScriptedClient(pool) as client, self.assertRaises((ValueError, AssertionError)):
                answer = client.call("mining.subscribe", ["scripted/1"])["result"]
                self.assertLessEqual(answer[2], 32)
                bytes.fromhex(answer[1])
        else:
            patience = 2 if name == "slow-drip" else PATIENCE_SECONDS
            with ScriptedClient(pool, patience).ready() as client:
                with self.assertRaises((ConnectionError, TimeoutError)):
                    client.until(lambda: False)
        with ScriptedClient(pool).ready() as client:
            if name in EXTRANONCES:  # the second time, by mining.set_extranonce
                client.next_job()
            self.mine_last(client)

    def mine_last(self, client):
        """Two shares of the last job: the first may meet a hostile reject."""
        job = client.jobs[-1][0]
        self.assertEqual(job.terms.difficulty, EASY)
        answers = [client.submit(mine(job, counter=counter)) for counter in range(2)]
        self.assertTrue(any(answer["result"] is True for answer in answers))


if __name__ == "__main__":
    unittest.main()
