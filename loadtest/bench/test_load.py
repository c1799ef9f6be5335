"""The generators against a server of a few lines that does wrong what they must notice."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from bench.load import wrk_errors

HERE = os.path.dirname(os.path.abspath(__file__))
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Canned:
    """Answers each request of up to 64 KB with the same bytes, after `pause(n)` seconds, n its number."""

    def __init__(self, answer, pause=lambda n: 0):
        self.answer, self.pause, self.count = answer, pause, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        with s:
            try:
                while s.recv(65536):
                    self.count += 1
                    time.sleep(self.pause(self.count))
                    s.sendall(self.answer)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


class Generators(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="treadle-load-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        build = os.path.join(os.path.dirname(HERE), "load", "build.sh")
        subprocess.run(["bash", build, cls.folder], check=True, timeout=300)

    def ask(self, server, *flags, program="rate"):
        return subprocess.run([os.path.join(self.folder, program), "--port", str(server.port), *flags],
                              capture_output=True, text=True, timeout=30, check=False)

    def measured(self, server, *flags, program="rate"):
        done = self.ask(server, *flags, program=program)
        return json.loads(done.stdout or self.fail(done.stderr))

    def test_a_stall_is_charged_with_all_that_was_due_meanwhile(self):
        # One connection, 200 requests a second for 2 s, of which one takes 0.5 s: a client that
        # waits before it asks again sees one slow request of 400 and a p99 of next to nothing.
        stalled = []

        def pause(n):
            if n > 100 and not stalled:
                stalled.append(n)
                return 0.5
            return 0

        with Canned(GOOD, pause) as server:
            got = self.measured(server, "--rate", "200", "--seconds", "2", "--connections", "1",
                                "--warmup", "0")
        self.assertEqual(got["errors"], 0)
        self.assertGreater(got["done"], 300)
        self.assertGreater(got["p99_us"], 400_000)
        self.assertGreater(got["p90_us"], 200_000)
        self.assertNotIn("slice_p99_us", got)  # 20 requests in a tenth of a second have no p99

    def test_one_stall_does_not_show_in_the_median_tenth_of_a_second(self):
        stalled = []

        def pause(n):
            if n > 800 and not stalled:
                stalled.append(n)
                return 0.08
            return 0

        # Little more than a tenth of a second must hold, 200: a server that falls behind, beside other
        # tests, is late all the time.
        with Canned(GOOD, pause) as server:
            got = self.measured(server, "--rate", "2200", "--seconds", "1", "--connections", "1",
                                "--warmup", "0")
        self.assertEqual(got["errors"], 0)
        self.assertGreater(got["p99_us"], 50_000)
        self.assertLess(got["slice_p99_us"], got["p99_us"] / 2)

    def test_the_rate_is_kept(self):
        with Canned(GOOD) as server:
            got = self.measured(server, "--rate", "500", "--seconds", "1")
        self.assertAlmostEqual(got["done"], 500, delta=80)  # a Poisson process: +-3.5 sigma
        self.assertLess(got["p50_us"], 100_000)

    def test_what_is_never_answered_counts(self):
        with Canned(GOOD, lambda n: 30 if n > 3 else 0) as server:
            got = self.measured(server, "--rate", "50", "--seconds", "0.5", "--connections", "2",
                                "--warmup", "0")
        self.assertEqual(got["unanswered"], 2)
        self.assertGreater(got["unsent"], 5)
        self.assertEqual(got["errors"], got["unanswered"] + got["unsent"])
        self.assertGreater(got["p50_us"], 3e6)

    def test_wrong_answers_are_named(self):
        for answer, name in (
                (b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello", "404 Not Found"),
                (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell", "4 bytes instead of 5"),
                (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!", "more bytes"),
                (b"HTTP/1.1 200 OK\r\n\r\nhello", "without Content-Length")):
            with Canned(answer) as server:
                done = self.ask(server, "--seconds", "0.2", "--length", "5", "--connections", "2")
                self.assertEqual(done.returncode, 1)
                self.assertIn(name, done.stderr)

    def test_churn_wants_the_whole_response(self):
        with Canned(GOOD[:-1]) as server:
            # The stand-in keeps the connection, so that nothing but time ends it.
            got = self.measured(server, "--seconds", "0.2", "--warmup", "0", "--length", "5",
                                program="churn")
        self.assertEqual((got["done"], got["unanswered"]), (0, 64))

    def test_raw_bytes_must_come_back(self):
        with Canned(b"e" * 32) as server:
            self.assertEqual(self.measured(server, "--raw", "32", "--seconds", "0.2")["errors"], 0)
        with Canned(b"e" * 31 + b"f") as server:
            self.assertIn("other bytes", self.ask(server, "--raw", "32", "--seconds", "0.2").stderr)

    def test_bad_flags_are_named(self):
        with Canned(GOOD) as server:
            for flags, name in ((("--connection", "3"), "--connection"), (("--rate", "x"), "\"x\""),
                                (("--spin", "3"), "--spin takes no value"), (("--rate",), "--rate")):
                done = self.ask(server, *flags)
                self.assertEqual(done.returncode, 2)
                self.assertIn(name, done.stderr)


class OfWrk(unittest.TestCase):
    GOT = {"connect": 0, "read": 0, "write": 0, "status": 0, "timeout": 0, "done": 1000,
           "bytes": 150_000}

    def test_its_bytes_must_fit_its_responses(self):
        self.assertEqual(wrk_errors(self.GOT, 150, 64)[0], 0)
        self.assertEqual(wrk_errors({**self.GOT, "bytes": 155_000}, 150, 64)[0], 0)  # under way
        self.assertIn("150,000 bytes", wrk_errors(self.GOT, 149 + 20, 64)[1])

    def test_its_errors_are_ours(self):
        self.assertEqual(wrk_errors({**self.GOT, "status": 3}, 150, 64), (3, "wrk: 3 status errors"))
        self.assertEqual(wrk_errors({**self.GOT, "done": 0}, 150, 64)[0], 1)


if __name__ == "__main__":
    unittest.main()
