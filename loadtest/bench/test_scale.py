"""How treadle-scale is run and what the report says of it, with a stand-in for the program."""

import os
import stat
import tempfile
import unittest

from bench import main, scale

PROGRAM = """#!/bin/sh
case $1 in
  --list) echo "yield 1000000 a yield, among n"; echo "connection 1000 read and write";;
  connection) echo "no such socket" >&2; exit 1;;
  *) printf 'ns=%s\\nns=%s\\nns=%s\\n' 10 30 20;;
esac
"""


def record(n, ns, instructions=None, case="yield"):
    return {"case": case, "n": n, "what": "a yield", "ns": ns, "instructions": instructions}


class OfAProgram(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="treadle-scale-test-")
        self.addCleanup(folder.cleanup)
        program = os.path.join(folder.name, "stand-in")
        with open(program, "w", encoding="utf-8") as f:
            f.write(PROGRAM)
        os.chmod(program, stat.S_IRWXU)
        self.sizes = scale.Scale(program, 3, None, lambda _: None)
        self.sizes._counted = lambda name, n: 300.0

    def test_each_case_is_measured_up_to_the_size_it_takes(self):
        self.sizes.all()
        self.assertEqual([r["n"] for r in self.sizes.records if r["case"] == "yield" and r["ns"]],
                         [n for n in scale.SIZES if n * scale.BYTES_EACH <= scale.available() * 0.9])
        self.assertEqual([r["n"] for r in self.sizes.records if r["case"] == "connection"],
                         [100, 1000])

    def test_times_are_kept_and_large_sizes_not_counted(self):
        self.sizes.all()
        yields = {r["n"]: r for r in self.sizes.records if r["case"] == "yield"}
        self.assertEqual(yields[100]["ns"], [10, 30, 20])
        self.assertEqual(yields[scale.COUNTED_MOST]["instructions"], 300.0)
        self.assertIsNone(yields[1_000_000]["instructions"])

    def test_a_failure_is_named_and_the_rest_measured(self):
        self.sizes.all()
        named = [p for p in self.sizes.problems if "no such socket" in p]
        self.assertEqual(len(named), 2)
        self.assertIn("connection beside 100: ended with 1", named[0])


class OfTheReport(unittest.TestCase):
    def test_what_was_not_measured_is_no_point_of_a_line(self):
        lines = scale.lines([record(1000, [2]), record(100, [1]), record(10_000, [])], ("yield", "wake"))
        self.assertEqual([r["n"] for r in lines["yield"]], [100, 1000])
        self.assertNotIn("wake", lines)

    def test_a_row_shows_work_before_time(self):
        text = scale.section([record(100, [10, 30, 20], 293.0), record(1_000_000, [50])])
        self.assertIn("| a yield | **293**; 20.0 (10.0-30.0) ns | 50.0 ns |", text)


class OfAnOlderRun(unittest.TestCase):
    @staticmethod
    def run_of(sizes, problems=()):
        return {"cases": [], "records": [], "rates": {}, "others": {}, "problems": list(problems),
                "parts": [{"command": "x", "cases": [scale.NAME] if sizes else []}],
                "options": {"full": bool(sizes)}, "scale": sizes}

    def test_sizes_are_kept_where_they_are_not_measured_again(self):
        old = self.run_of([record(100, [1])], ["scale, wake beside 100: ended with 1"])
        got = main.add_to(old, self.run_of([]))
        self.assertEqual(got["scale"], old["scale"])
        self.assertEqual(got["problems"], old["problems"])
        self.assertEqual(len(got["parts"]), 2)

    def test_new_sizes_replace_them(self):
        old = self.run_of([record(100, [1])], ["scale, wake beside 100: ended with 1"])
        got = main.add_to(old, self.run_of([record(100, [2])]))
        self.assertEqual(got["scale"][0]["ns"], [2])
        self.assertEqual(got["problems"], [])


if __name__ == "__main__":
    unittest.main()
