"""The arithmetic against the recorded work vectors and the table of difficulties."""

import json
import math
import random
import unittest
from fractions import Fraction
from pathlib import Path

import share_rules
from share_rules import Notify, Terms, target_of_difficulty, target_of_nbits
from synthetic_jobs import JobMaker

VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "stratum-vectors.json"

TARGETS = {
    "0.00011642798928862498": "0000218cde7300000075b0244f6600019cd3df5e83cc05a81f35898a51abd7bd",
    "0.001": "000003e7fc17fffffffa2405dc00000008c9f735fffffff2d10d2f00000013c6",
    "0.5": "00000001fffe0000000000000000000000000000000000000000000000000000",
    "1": "00000000ffff0000000000000000000000000000000000000000000000000000",
    "1.5": "00000000aaaa0000000000000000000000000000000000000000000000000000",
    "512": "00000000007fff80000000000000000000000000000000000000000000000000",
    "1000": "00000000004188f5c28f5c28f5c28f5c28f5c28f5c28f5c28f5c28f5c28f5c28",
    "8192": "000000000007fff8000000000000000000000000000000000000000000000000",
    "9427.960695338843": "000000000006f37d64484e6d364eb529f09851c95839021b834d289b67347626",
    "16383.75": "0000000000040000000000000000000000000000000000000000000000000000",
    "16384": "000000000003fffc000000000000000000000000000000000000000000000000",
    "4294967296": "0000000000000000ffff00000000000000000000000000000000000000000000",
}


def notify_of(params):
    return Notify(*params[:4], tuple(params[4]), *params[5:8])


def version_of(vector):
    """The header's version under the rule of the server that the vector was recorded from."""
    job, rule = int(vector["notify"][5], 16), vector["version_rule"]
    if rule == "none":
        return job
    bits = int(vector["version_bits"], 16)
    if rule == "replace":
        return share_rules.replaced_version(job, bits, int(vector["version_mask"], 16))
    return job | bits if rule == "or" else job ^ bits


class Vectors(unittest.TestCase):
    def setUp(self):
        self.vectors = json.loads(VECTORS.read_text())

    def test_every_vector_is_rebuilt_to_its_hash(self):
        self.assertEqual(len(self.vectors), 29)
        for vector in self.vectors:
            with self.subTest(vector["name"]):
                notify = notify_of(vector["notify"])
                coinbase = share_rules.coinbase(
                    notify, bytes.fromhex(vector["extranonce1"]), bytes.fromhex(vector["extranonce2"]))
                root = share_rules.merkle_root(coinbase, notify.branches)
                version = version_of(vector)
                header = share_rules.header(
                    notify, root, version, int(vector["ntime"], 16), int(vector["nonce"], 16))
                number = share_rules.hash_number(header)
                self.assertEqual(coinbase.hex(), vector["coinbase"].lower())
                self.assertEqual(share_rules.sha256d(coinbase).hex(), vector["coinbase_hash"])
                self.assertEqual(root.hex(), vector["merkle_root"])
                self.assertEqual(f"{version:08x}", vector["header_version"])
                self.assertEqual(header.hex(), vector["header"])
                self.assertEqual(f"{number:064x}", vector["hash"])
                self.assertTrue(math.isclose(
                    share_rules.difficulty_of_hash(number), vector["share_difficulty"], rel_tol=1e-12))
                target = target_of_difficulty(vector["job_difficulty"])
                self.assertEqual(f"{target:064x}", vector["job_target"])
                self.assertEqual(number <= target, vector["meets_job_difficulty"])
                network = target_of_nbits(int(notify.nbits, 16))
                self.assertEqual(number <= network, vector["meets_network_target"])

    def test_a_changed_nibble_of_the_nonce_is_no_share(self):
        vector = next(v for v in self.vectors if v["name"] == "bitaxe-gamma-mainnet")
        terms = Terms(vector["job_difficulty"], bytes.fromhex(vector["extranonce1"]), 4, 0x1FFFE000)
        job = share_rules.Job(notify_of(vector["notify"]), terms)
        proof = share_rules.judge(job, share_rules.parse_submit(vector["submit"]), True)
        self.assertEqual(f"{proof.header_hash:064x}", vector["hash"])
        self.assertFalse(proof.block)
        submit = [*vector["submit"][:4], "7552034d", vector["submit"][5]]
        with self.assertRaises(share_rules.Invalid) as caught:
            share_rules.judge(job, share_rules.parse_submit(submit), True)
        self.assertEqual(caught.exception.reason, "low-difficulty")


class Targets(unittest.TestCase):
    def test_the_table_of_difficulties_is_exact(self):
        for text, target in TARGETS.items():
            with self.subTest(text):
                difficulty = int(text) if text.isdigit() else float(text)
                self.assertEqual(f"{target_of_difficulty(difficulty):064x}", target)

    def test_the_target_is_the_floor_of_an_exact_fraction(self):
        rng = random.Random(1)
        for _ in range(1000):
            difficulty = 10 ** rng.uniform(-6, 15)
            exact = Fraction(share_rules.DIFFICULTY_1_TARGET) / Fraction(difficulty)
            self.assertEqual(target_of_difficulty(difficulty), math.floor(exact))

    def test_a_tiny_difficulty_is_clamped_and_an_impossible_one_refused(self):
        self.assertEqual(target_of_difficulty(1e-300), share_rules.MAX_TARGET)
        self.assertEqual(target_of_difficulty(1e300), 0)
        for difficulty in (0, -1, math.nan, math.inf):
            with self.assertRaises(ValueError):
                target_of_difficulty(difficulty)

    def test_compact_targets(self):
        self.assertEqual(target_of_nbits(0x1D00FFFF), share_rules.DIFFICULTY_1_TARGET)
        self.assertEqual(target_of_nbits(0x207FFFFF), 0x7FFFFF << 232)
        self.assertEqual(target_of_nbits(0x01003456), 0)
        self.assertEqual(target_of_nbits(0x04923456), 0)


class SyntheticJobs(unittest.TestCase):
    def test_a_coinbase_parses_to_its_last_byte_with_any_sizes_of_extranonce(self):
        maker = JobMaker("seed", 0x17023A04, 0)
        for sizes in [(size1, size2) for size1 in (0, 1, 4, 7, 32) for size2 in (0, 1, 4, 16)]:
            with self.subTest(sizes):
                extranonce1, extranonce2 = bytes(sizes[0]), b"\xee" * sizes[1]
                notify = maker.draft().notify(Terms(1, extranonce1, sizes[1], None))
                coinbase = share_rules.coinbase(notify, extranonce1, extranonce2)
                script_sig = self.parse(coinbase)
                self.assertTrue(2 <= len(script_sig) <= 100)
                self.assertEqual(script_sig[:4], b"\x03" + maker.height.to_bytes(3, "little"))
                self.assertIn(extranonce1 + extranonce2, script_sig)

    def test_the_same_seed_makes_the_same_jobs_but_for_the_time(self):
        makers = [JobMaker("seed", 0x17023A04, 0x1FFFE000) for _ in range(2)]
        terms = Terms(1, b"abcd", 4, None)
        one, two = [[m.draft().notify(terms).params(False) for _ in range(20)] for m in makers]
        self.assertEqual([p[:7] for p in one], [p[:7] for p in two])
        self.assertEqual(len({p[0] for p in one}), 20)
        self.assertTrue(any(int(p[5], 16) & 0x1FFFE000 for p in one))

    def parse(self, transaction):
        """The scriptSig of a transaction with one null input; fails if a byte is left over."""
        self.assertEqual(transaction[4:41], b"\x01" + bytes(32) + b"\xff" * 4)
        end = 42 + transaction[41]
        script_sig, at = transaction[42:end], end + 4
        outputs, at = transaction[at], at + 1
        for _ in range(outputs):
            at += 8 + 1 + transaction[at + 8]
        self.assertEqual(at + 4, len(transaction))
        return script_sig


if __name__ == "__main__":
    unittest.main()
