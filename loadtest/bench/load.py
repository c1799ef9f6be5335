"""The load generators: wrk for closed loops, our own programs for the rest."""

import json
import os
import selectors
import subprocess
import time

from bench import proc
from bench.server import Failed, kill_tree, pinned

HERE = os.path.dirname(os.path.abspath(__file__))


class Generators:
    """Where the programs are, and on which CPU they run (None: anywhere)."""

    def __init__(self, folder, cpu=None, threads=1):
        self.folder, self.cpu, self.threads = folder, cpu, threads

    def wrk(self, server, path, connections, seconds, size, post=None, depth=1, vary=False):
        """A closed loop; returns requests, seconds, CPU nanoseconds of the server, and errors.
        `size` is what a whole response measures: wrk counts but the sum of the bytes it read, and
        that must fit its number of responses."""
        threads = min(self.threads, connections)
        command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s",
                   "-s", os.path.join(HERE, "wrk.lua"),
                   f"{'https' if server.tls else 'http'}://127.0.0.1:{server.port}{path}"]
        environment = dict(os.environ, BENCH_DEPTH=str(depth))
        if post is not None:
            environment["BENCH_POST"] = str(post)
        if vary:
            environment["BENCH_VARY"] = "1"
        meter = proc.CpuMeter(server.process.pid)
        text = run(command, seconds + 15, self.cpu, environment)
        used = meter.elapsed()
        lines = [line for line in text.splitlines() if line.startswith("{")]
        if not lines:
            raise Failed(f"wrk measured nothing on {server.name}: {text[-300:]}")
        got = json.loads(lines[-1])
        got["cpu_ns"] = used
        got["errors"], got["error"] = wrk_errors(got, size, connections * depth)
        return got

    def own(self, program, server, *flags):
        """One of our programs, gated: the server has nothing to do when its CPU time is read."""
        command = [os.path.join(self.folder, program), "--port", str(server.port), "--gate",
                   *(str(f) for f in flags)]
        with Gated(command, self.cpu) as g:
            g.expect("ready", 90)
            meter = proc.CpuMeter(server.process.pid)
            g.answer()
            got = g.result(limit_of(flags))
            got["cpu_ns"], got["waited_ns"] = meter.elapsed(), meter.waited()
        # Not sent or not answered in time is the server's slowness, no wrong answer.
        got["behind"] = got.get("unsent", 0) + got.get("unanswered", 0)
        got["errors"] -= got["behind"]
        if got["behind"] and got["errors"] <= 0:
            got["errors"] = 0
            got["behind_text"], got["error"] = got["error"], ""
        return got

    def start(self, program, server, *flags):
        """The same without a gate, beside something else."""
        return Gated([os.path.join(self.folder, program), "--port", str(server.port),
                      *(str(f) for f in flags)], self.cpu)


def limit_of(flags):
    """How long a program with these flags may take, its grace included."""
    words = [str(f) for f in flags]
    seconds = float(words[words.index("--seconds") + 1]) if "--seconds" in words else 2
    return seconds + 30


def wrk_errors(got, size, in_flight):
    """The number of errors that wrk saw and the first one's name. Responses of another size than
    `size` are found by the sum: it may be off by what was under way at the end."""
    for kind in ("connect", "read", "write", "status", "timeout"):
        if got[kind]:
            return got[kind], f"wrk: {got[kind]} {kind} errors"
    if not got["done"]:
        return 1, "wrk: no response at all"
    off = got["bytes"] - got["done"] * size
    if size and abs(off) > (in_flight + 1) * size:
        return 1, f"wrk: {got['bytes']:,} bytes are not {got['done']:,} responses of {size:,}"
    return 0, ""


def run(command, limit, cpu, environment=None):
    """Runs a program to its end and returns its standard output."""
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, env=environment,
                                   preexec_fn=pinned(cpu))
    except OSError as e:
        raise Failed(f"cannot start {command[0]}: {e.strerror}") from e
    try:
        out, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[0]} did not end within {limit:.0f} s") from None
    finally:
        kill_tree(process, gentle=False)
        process.stdout.close()
    return out.decode(errors="replace")


class Gated:
    """A generator of ours: lines come from it, and it waits for lines of ours."""

    def __init__(self, command, cpu):
        self.command, self.cpu = command, cpu
        self.process = None
        self.pending = b""

    def __enter__(self):
        try:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                            preexec_fn=pinned(self.cpu))
        except OSError as e:
            raise Failed(f"cannot start {self.command[0]}: {e.strerror}") from e
        return self

    def __exit__(self, *_):
        try:
            self.process.stdin.close()
            self.process.wait(3)
        except (OSError, subprocess.TimeoutExpired):
            pass
        kill_tree(self.process, gentle=False)
        self.process.stdout.close()
        self.process.stderr.close()

    def line(self, limit):
        until = time.monotonic() + limit
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.pending:
                if not selector.select(max(0, until - time.monotonic())):
                    raise Failed(f"{self.name()} said nothing for {limit:.0f} s")
                data = os.read(self.process.stdout.fileno(), 65536)
                if not data:
                    self.process.wait(5)
                    why = self.process.stderr.read().decode(errors="replace").strip()
                    raise Failed(f"{self.name()} ended with {self.process.returncode}: {why[-300:]}")
                self.pending += data
        line, _, self.pending = self.pending.partition(b"\n")
        return line.decode()

    def name(self):
        return os.path.basename(self.command[0])

    def expect(self, word, limit):
        line = self.line(limit)
        if line != word:
            raise Failed(f"{self.name()} said \"{line}\" instead of \"{word}\"")

    def answer(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def result(self, limit):
        return json.loads(self.line(limit))

    def stop(self, limit=15):
        """Ends one that runs beside something else, and returns what it has to say."""
        self.process.terminate()
        return self.result(limit)
