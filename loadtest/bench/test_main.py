"""The command line of loadtest/compare, and how a run that is told to end leaves nothing behind."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest

from bench import main

HERE = os.path.dirname(os.path.abspath(__file__))
# In the place of a run: one that has a scratch folder and a child, says so and waits.
RUNS = """
import subprocess, sys, tempfile
from bench import main
from bench.server import kill_tree
main.leave_on_signals()
with tempfile.TemporaryDirectory() as folder:
    child = subprocess.Popen(["sleep", "60"])
    try:
        print(folder, child.pid, flush=True)
        child.wait(60)
    finally:
        print("leaving", flush=True)
        sys.stdin.readline()
        kill_tree(child, gentle=True)
"""


def refusal(call, *arguments):
    """The exit code and the last line of what a call says that ends the program."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            call(*arguments)
        except SystemExit as e:
            return e.code, said.getvalue().splitlines()[-1]
    return None, ""


class CommandLine(unittest.TestCase):
    def test_only_a_whole_run_replaces_the_committed_report(self):
        reports = os.path.join(os.path.dirname(HERE), "reports")
        build = os.path.join(os.path.dirname(os.path.dirname(HERE)), "build", "compare")
        self.assertEqual(main.parse(["--full"]).out, reports)
        self.assertEqual(main.parse(["--full", "--rounds", "5"]).out, reports)
        for words in ([], ["--quick"], ["--case", "churn"], ["--full", "--case", "churn"],
                      ["--full", "--peer", "treadle"], ["--case", "churn", "--add"]):
            self.assertEqual(main.parse(words).out, build, words)
        self.assertEqual(main.parse(["--full", "--out", "/tmp/x"]).out, "/tmp/x")
        self.assertEqual(main.parse(["--out", "x"]).out, os.path.abspath("x"))

    def test_what_does_not_go_together_is_refused(self):
        code, why = refusal(main.parse, ["--quick", "--full"])
        self.assertEqual(code, 2)
        self.assertIn("not allowed with", why)
        for words in (["--add"], ["--add", "--full"], ["--add", "--quick"]):
            code, why = refusal(main.parse, words)
            self.assertEqual(code, 2, words)
            self.assertIn("--add needs --case or --peer", why)
        self.assertTrue(main.parse(["--add", "--peer", "treadle"]).add)

    def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_measured(self):
        with tempfile.NamedTemporaryFile() as file:
            for out in ("/proc/nope", "/proc", file.name):
                code, why = refusal(main.ready, ["--no-pin", "--out", out])
                self.assertEqual(code, 2, out)
                self.assertIn(f"loadtest/compare: cannot write to {out}: ", why)

    def test_the_folder_is_made_and_stays_empty(self):
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "a", "b")
            options, cases = main.ready(["--no-pin", "--case", "churn", "--out", out])
            self.assertEqual((options.out, [c.name for c in cases]), (out, ["churn"]))
            self.assertEqual(os.listdir(out), [])

    def test_a_report_to_add_to_is_read_or_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "report.json")
            self.assertIsNone(main.older(folder))
            with open(file, "w", encoding="utf-8") as f:
                json.dump({"cases": []}, f)
            self.assertEqual(main.older(folder), {"cases": []})
            with open(file, "w", encoding="utf-8") as f:
                f.write("{")
            code, why = refusal(main.older, folder)
            self.assertEqual(code, 2)
            self.assertIn(f"cannot read {file}", why)


class Signals(unittest.TestCase):
    def run_until(self, *numbers, ignored=None):
        """Sends the first signals to a run, the last one once it is on its way out because of them;
        returns its exit code, its folder and its child's id."""
        run = subprocess.Popen(
            [sys.executable, "-c", RUNS], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            cwd=os.path.dirname(HERE),
            preexec_fn=(lambda: signal.signal(ignored, signal.SIG_IGN)) if ignored else None)
        with run:
            folder, child = run.stdout.readline().split()
            for number in numbers[:-1]:
                run.send_signal(number)
            self.assertEqual(run.stdout.readline(), b"leaving\n")
            run.send_signal(numbers[-1])
            run.stdin.write(b"\n")
            run.stdin.close()
            return run.wait(20), folder, int(child)

    def test_a_run_that_is_told_to_end_leaves_nothing_behind(self):
        for first, second in ((signal.SIGTERM, signal.SIGHUP), (signal.SIGHUP, signal.SIGHUP),
                              (signal.SIGHUP, signal.SIGTERM)):
            code, folder, child = self.run_until(first, second)
            self.assertEqual(code, 128 + first)
            self.assertFalse(os.path.exists(folder))
            with self.assertRaises(ProcessLookupError):
                os.kill(child, 0)

    def test_a_run_under_nohup_stays_when_its_terminal_is_closed(self):
        code, folder, _ = self.run_until(signal.SIGHUP, signal.SIGTERM, signal.SIGHUP,
                                         ignored=signal.SIGHUP)
        self.assertEqual(code, 128 + signal.SIGTERM)
        self.assertFalse(os.path.exists(folder))


if __name__ == "__main__":
    unittest.main()
