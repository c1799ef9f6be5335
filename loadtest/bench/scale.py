"""Whether an operation is as much work beside a million others as beside a hundred: treadle-scale,
by the clock and under callgrind."""

import os
import subprocess
import tempfile

from bench import stats
from bench.server import Failed, pinned
from instructions import callgrind

NAME = "scale"  # as a case of --case
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
COUNTED_MOST = 100_000  # valgrind does not take the stacks of a million goroutines
LIMIT = 120             # seconds of one process
BYTES_EACH = 8_000      # of a bystander, page tables included: a parked goroutine's, the largest
GROUPS = (
    ("goroutines", "goroutines", ("spawn", "wake", "handover", "yield")),
    ("timers", "timers", ("timer", "deadline", "fire")),
    ("connections", "connections", ("connection",)),
)


class Scale:
    """Runs treadle-scale and keeps what it says: a record for each case and n."""

    def __init__(self, program, rounds, cpu, say):
        self.program, self.rounds, self.cpu, self.say = program, rounds, cpu, say
        self.records, self.problems = [], []

    def all(self):
        for line in self._run(self.program, "--list").splitlines():
            name, most, what = line.split(" ", 2)
            for n in SIZES:
                if n <= int(most):
                    self._one(name, n, what)

    def _one(self, name, n, what):
        record = {"case": name, "n": n, "what": what, "ns": [], "instructions": None}
        self.records.append(record)
        try:
            if n * BYTES_EACH > available() * 0.9:
                raise Failed(f"needs {n * BYTES_EACH / 1e9:.0f} GB of free memory")
            record["ns"] = times(self._run(self.program, name, n, self.rounds))
            if n <= COUNTED_MOST:
                record["instructions"] = self._counted(name, n)
        except Failed as e:
            self.problems.append(f"{NAME}, {name} beside {n:,}: {e}")
        self.say(f"  {NAME} {name} {n}: ns={stats.with_spread(stats.spread(record['ns']))} "
                 f"instructions={stats.number(record['instructions'])}")

    def _counted(self, name, n):
        """Instructions of an operation: twice as many operations minus as many, as
        instructions/count.h has it."""
        with tempfile.TemporaryDirectory(prefix="treadle-scale-") as folder:
            out = os.path.join(folder, "out")
            said = self._run("valgrind", "-q", "--tool=callgrind", "--collect-atstart=no",
                             f"--callgrind-out-file={out}", self.program, name, n, "count")
            operations = int(said.split("operations=")[1].split()[0])
            return (callgrind.total(out + ".2") - callgrind.total(out + ".1")) / operations

    def _run(self, *command):
        try:
            done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=LIMIT, check=False,
                                  preexec_fn=pinned(self.cpu))
        except OSError as e:
            raise Failed(f"cannot run {command[0]}: {e.strerror}") from e
        except subprocess.TimeoutExpired as e:
            raise Failed(f"took more than {LIMIT} s") from e
        if done.returncode != 0:
            raise Failed(f"ended with {done.returncode}: {done.stderr[-300:].strip()}")
        return done.stdout


def times(said):
    """The nanoseconds of each round that treadle-scale printed."""
    found = [float(line.removeprefix("ns=")) for line in said.splitlines() if line.startswith("ns=")]
    if not found:
        raise Failed(f"printed no time: {said[-100:]!r}")
    return found


def available():
    with open("/proc/meminfo", encoding="ascii") as f:
        for line in f:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


def lines(records, names):
    """A dict from case to its records, smallest n first, of those that were measured."""
    found = {}
    for name in names:
        mine = sorted((r for r in records if r["case"] == name and r["ns"]), key=lambda r: r["n"])
        if mine:
            found[name] = mine
    return found


def section(records):
    """The report's section: a row for each case, a column for each n."""
    sizes = sorted({r["n"] for r in records})
    rows = ["| operation | " + " | ".join(f"n = {n:,}" for n in sizes) + " |",
            "|---" * (len(sizes) + 1) + "|"]
    for mine in lines(records, dict.fromkeys(r["case"] for r in records)).values():
        cells = {r["n"]: cell(r) for r in mine}
        rows.append(f"| {mine[0]['what']} | " + " | ".join(cells.get(n, "-") for n in sizes) + " |")
    return "\n".join(["## Work over size\n", EXPLANATION, *rows]) + "\n"


def cell(record):
    counted = record["instructions"]
    text = f"{stats.with_spread(stats.spread(record['ns']))} ns"
    return f"**{counted:,.0f}**; {text}" if counted is not None else text


EXPLANATION = f"""In bold the instructions of an operation in user space, by callgrind, which repeat to the digit; beside them CPU nanoseconds, the
kernel's included (of connections also the client's send and receive), as median and spread of the rounds. The first say how much work there is; the second grow besides with what no longer
fits the caches: a million goroutines take 5 GB. One P. Instructions are counted up to n = {COUNTED_MOST:,}, since
valgrind does not take a million stacks. Connections end at 10,000: the limit here is 20,000 descriptors.
"""
