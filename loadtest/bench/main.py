"""loadtest/compare: see its --help."""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace

from bench import machine, measure, proc, report, scale, targets
from bench.cases import CASES, curves
from bench.load import Generators
from bench.measure import Bench
from bench.peers import PEERS, Site
from bench.server import Failed
from bench.stats import number, two_digits

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FILES = (("1k.bin", 1024), ("100k.bin", 100 * 1024), ("10m.bin", 10 * 1024 * 1024))


def parse(arguments):
    p = argparse.ArgumentParser(
        prog="loadtest/compare",
        description="Measures treadle and its peers in turn, and reports medians, spreads and "
                    "ratios. Exit code 1: something could not be measured, 2: bad usage.")
    p.add_argument("--list", action="store_true", help="the cases and their peers")
    extent = p.add_mutually_exclusive_group()
    extent.add_argument("--quick", action="store_true",
                        help="few cases, one round of 1 s: under 2 minutes")
    extent.add_argument("--full", action="store_true",
                        help="also curves over connections, work per operation over size, and plots")
    p.add_argument("--case", action="append", metavar="NAME", help="only this one (again: these)")
    p.add_argument("--peer", action="append", metavar="NAME", help="only this one (again: these)")
    p.add_argument("--rounds", type=positive, metavar="N", help="of each case (3)")
    p.add_argument("--seconds", type=seconds, metavar="S", help="of each figure (1; wrk takes whole ones)")
    p.add_argument("--rate", type=positive, metavar="N",
                   help="the fixed rate, instead of a quarter of treadle's saturation")
    p.add_argument("--no-pin", action="store_true", help="two workers, the kernel places everybody")
    p.add_argument("--out", metavar="DIR", help="for REPORT.md and report.json (build/compare; loadtest/reports, which is "
                        "committed, with --full of all cases and peers)")
    p.add_argument("--add", action="store_true",
                   help="with --case or --peer: keep the cases that stand in DIR's report and are "
                        "not measured now")
    p.add_argument("--programs", metavar="DIR", help=argparse.SUPPRESS)
    p.add_argument("--generators", metavar="DIR", help=argparse.SUPPRESS)
    options = p.parse_args(arguments)
    names = [c.name for c in all_cases(True)] + [scale.NAME]
    for name in options.case or ():
        if name not in names:
            p.error(f"no case {name} (see --list)")
    for name in options.peer or ():
        if name not in PEERS:
            p.error(f"no peer {name}; there are {', '.join(PEERS)}")
    if options.add and not (options.case or options.peer):
        p.error("--add needs --case or --peer: without them everything is measured anew")
    options.out = os.path.abspath(options.out or default_out(options))
    return options


def default_out(options):
    """Only a whole run takes the place of the committed report, whose plots it draws anew."""
    whole = options.full and not (options.case or options.peer)
    return os.path.join(TOP, "loadtest", "reports") if whole else os.path.join(TOP, "build", "compare")


def positive(text):
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"\"{text}\" is no positive whole number")
    return int(text)


def seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0.1 <= value <= 60:
        raise argparse.ArgumentTypeError(f"\"{text}\" is not from 0.1 to 60 seconds")
    return value


def all_cases(full):
    return (*CASES, *curves()) if full else CASES


def chosen(options):
    """The cases to measure, with the peers that were asked for."""
    cases = all_cases(options.full or bool(options.case))
    if options.case:
        cases = [c for c in cases if c.name in options.case]
    elif options.quick:
        cases = [c for c in cases if c.quick]
    if options.no_pin:
        cases = [replace(c, pinned=False, workers=2) for c in cases]
    if options.peer:
        cases = [replace(c, entries=tuple(e for e in c.entries if e.peer in options.peer))
                 for c in cases]
    return [c for c in cases if c.entries]


class Run:
    """All rounds of all cases, with what came of them."""

    def __init__(self, bench, cases, rounds, rate):
        self.bench, self.cases, self.rounds, self.rate = bench, cases, rounds, rate
        self.records, self.rates, self.problems, self.others = [], {}, [], {}
        self.curve_rate = 0  # of a curve that an earlier run has begun

    def all(self):
        for case in self.cases:
            begin, quiet = time.monotonic(), proc.Quiet()
            self._case(case)
            self.others[case.name] = round(quiet.others(), 2)
            say(f"{case.name}: {time.monotonic() - begin:.0f} s")

    def _case(self, case):
        rate = self._fixed_rate(case)
        failed = set()
        count = min(self.rounds, case.rounds) if case.rounds else self.rounds
        for n in range(count):
            turn = n % len(case.entries)
            for entry in case.entries[turn:] + case.entries[:turn]:
                if entry.name() in failed:
                    continue
                try:
                    self._one(case, entry, n + 1, rate)
                except Failed as e:
                    failed.add(entry.name())
                    self._problem(f"{case.name}, {entry.name()}: {e}")

    def _one(self, case, entry, n, rate):
        got = self.bench.run(case, entry, rate)
        self.records.append({"case": case.name, "label": entry.name(), "peer": entry.peer, "round": n,
                             "figures": got.figures, "errors": got.errors, "notes": got.notes})
        for error in got.errors:
            self._problem(f"{case.name}, {entry.name()}, round {n}: invalid: {error}")
        figures = " ".join(f"{k}={number(v)}" for k, v in got.figures.items()
                           if k in ("rps", "cpu", "fixed_cpu", "p99", "pss_each", "growth"))
        say(f"  {case.name} {n} {entry.name()}: {figures}" + "".join(f" [{x}]" for x in got.notes))

    def _fixed_rate(self, case):
        """A quarter of what treadle reaches; of the first peer where it is not among them."""
        if not (case.fixed or case.kind in ("idle", "isolation")) or case.kind == "active":
            return 0
        # One rate for the whole curve: p99 over connections must not follow the calibration.
        same = self.rate or (case.kind == "curve" and (curve_rate(self.rates) or self.curve_rate))
        if same:
            self.rates[case.name] = same
            return same
        for entry in sorted(case.entries, key=lambda e: e.name() != "treadle"):
            try:
                reached = self.bench.saturation(case, entry)
            except Failed:
                continue  # it will be named when its turn comes
            self.rates[case.name] = two_digits(reached * measure.SHARE_OF_SATURATION)
            return self.rates[case.name]
        return 0

    def _problem(self, text):
        say(f"  {text}")
        self.problems.append(" ".join(text.split()))


def curve_rate(rates):
    return next((rate for name, rate in rates.items() if name.startswith("curve-")), 0)


def say(text):
    print(text, file=sys.stderr, flush=True)


def make_site(folder, programs):
    """The files and the certificate that all servers share."""
    root = os.path.join(folder, "www")
    os.mkdir(root)
    os.chmod(folder, 0o755)  # h2o's and nginx's workers may be another user
    for name, size in FILES:
        with open(os.path.join(root, name), "wb") as f:
            f.write(os.urandom(size))
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        capture_output=True, text=True, timeout=30, check=False)
    if made.returncode != 0:
        raise Failed(f"openssl made no certificate: {made.stderr[-300:]}")
    os.chmod(key, 0o644)
    return Site(programs, root, cert, key)


def write(run, out):
    verdicts = [] if not run["cases"] else targets.evaluate_all(run["records"], run["cases"])
    run["targets"] = [{"what": v.target.what, "goal": report.goal(v.target), "state": v.state,
                       "measured": v.measured.median if v.measured else None} for v in verdicts]
    plots = ()
    if run["options"]["full"]:
        from bench import plots as drawing
        plots = drawing.draw(run, out)
    with open(os.path.join(out, "report.json"), "w", encoding="utf-8") as f:
        json.dump(run, f, indent=1)
    text = report.render(run, verdicts, plots)
    with open(os.path.join(out, "REPORT.md"), "w", encoding="utf-8") as f:
        f.write(text)
    return text


def add_to(old, run):
    """The run, with the cases of an older one that it has not measured."""
    kept = [name for name in old["cases"] if name not in run["cases"]]
    order = [c.name for c in all_cases(True)]
    run["cases"] = sorted(kept + run["cases"], key=order.index)
    run["records"] = [r for r in old["records"] if r["case"] in kept] + run["records"]
    for name in kept:
        for table in ("rates", "others"):
            if name in old[table]:
                run[table][name] = old[table][name]
    if old.get("scale") and not run["scale"]:
        run["scale"] = old["scale"]
        kept.append(scale.NAME)
    run["problems"] = [p for p in old["problems"] if p.split(",")[0] in kept] + run["problems"]
    run["parts"] = [p for p in old["parts"] if set(p["cases"]) & set(kept)] + run["parts"]
    run["options"]["full"] |= old["options"]["full"]
    return run


def wants_scale(options):
    return scale.NAME in options.case if options.case else options.full


def list_cases():
    for case in all_cases(True):
        print(f"{case.name:16} {case.title} ({', '.join(e.name() for e in case.entries)})"
              + (" [--full]" if case.full else ""))
    print(f"{scale.NAME:16} Work per operation beside 100 to 1,000,000 others (treadle) [--full]")


def measure_all(options, cases, old):
    """Measures and returns the run as it stands in the JSON file. `old`: the one that it will be
    added to, or None; a curve that it has begun goes on at its rate."""
    rounds = options.rounds or (1 if options.quick else 3)
    length = options.seconds or 1.0
    begin = time.monotonic()
    sizes = scale.Scale(os.path.join(TOP, "build", "release", "bin", "treadle-scale"), rounds,
                        None if options.no_pin else measure.SERVER_CPU, say)
    with tempfile.TemporaryDirectory(prefix="treadle-compare-") as folder:
        site = make_site(folder, options.programs or os.path.join(TOP, "build", "peers"))
        generators = Generators(options.generators or os.path.join(TOP, "build", "load"))
        run = Run(Bench(site, generators, length), cases, rounds, options.rate)
        run.curve_rate = curve_rate(old["rates"]) if old else 0
        run.all()
    if wants_scale(options):
        sizes.all()
    head = machine.head(TOP, " ".join(["loadtest/compare", *options.words]))
    names = [c.name for c in cases]
    measured = names + ([scale.NAME] if sizes.records else [])
    result = {
        "head": head,
        "parts": [{**{k: head[k] for k in ("command", "date", "commit")}, "cases": measured,
                   "rounds": rounds, "seconds": length}],
        "options": {"rounds": rounds, "seconds": length, "pinned": not options.no_pin,
                    "full": options.full, "took_s": round(time.monotonic() - begin)},
        "cases": names, "rates": run.rates, "others": run.others,
        "problems": run.problems + sizes.problems, "records": run.records, "scale": sizes.records,
    }
    return result


def refuse(why):
    say(f"loadtest/compare: {why}")
    sys.exit(2)


def ready(arguments):
    """The options and the cases, after all that can be refused before minutes of building and
    measuring; the folder for the report is there."""
    options = parse(arguments)
    options.words = arguments
    cases = chosen(options)
    if options.list:
        return options, cases
    if not cases and not wants_scale(options):
        refuse("none of these peers is in these cases")
    if not options.no_pin and os.sched_getaffinity(0) < {0, 1}:
        refuse("pinning needs CPUs 0 and 1; use --no-pin")
    try:
        os.makedirs(options.out, exist_ok=True)
        # Asks the file system, not the mode: root may write where the mode does not let it.
        tempfile.TemporaryFile(dir=options.out).close()
    except OSError as e:
        refuse(f"cannot write to {options.out}: {e.strerror}")
    return options, cases


def older(out):
    """The run that stands in a folder, None where there is none."""
    file = os.path.join(out, "report.json")
    try:
        with open(file, encoding="utf-8") as f:
            return json.load(f)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as e:
        return refuse(f"--add cannot read {file}: {e}")


def leave_on_signals():
    """A server or generator is stopped, and a scratch folder removed, on the way out of its block:
    signals take that way. SIGHUP comes when the terminal is closed; nohup has it ignored."""
    heeded = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]

    def leave(number, _):
        # A shell that ends repeats the terminal's SIGHUP: that must not cut the way out short.
        for n in heeded:
            signal.signal(n, signal.SIG_IGN)
        sys.exit(128 + number)

    for n in heeded:
        signal.signal(n, leave)


def main(arguments):
    options, cases = ready(arguments)
    if options.list:
        list_cases()
        return 0
    leave_on_signals()
    old = older(options.out) if options.add else None
    result = measure_all(options, cases, old)
    problems = result["problems"]
    print(write(add_to(old, result) if old else result, options.out))
    for problem in problems:
        say(f"loadtest/compare: {problem}")
    say(f"loadtest/compare: took {result['options']['took_s']} s; the report is "
        f"{os.path.join(options.out, 'REPORT.md')}")
    return 1 if problems else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Failed as e:
        say(f"loadtest/compare: {e}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
