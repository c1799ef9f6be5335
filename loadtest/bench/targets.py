"""The figures to reach, and whether a run reached them."""

from dataclasses import dataclass

from bench import stats

MET, MISSED, UNKNOWN = "met", "missed", "not measured"


@dataclass(frozen=True)
class Target:
    """treadle's `figure` in `case`, as a ratio to the same of others (the best of several; of all,
    where it is the spread that counts), or as itself where there are none."""
    what: str
    case: str
    figure: str
    limit: float
    against: tuple = ()     # labels; empty: the figure itself
    least: bool = False     # the limit is a floor, not a ceiling
    ours: str = "treadle"
    their_figure: str = ""  # where it is another one
    unit: str = ""
    # Our median against the lowest round of each: only with a floor.
    within_spread: bool = False


@dataclass
class Verdict:
    target: Target
    state: str
    measured: object = None  # Spread of the ratio or of the figure
    against: str = ""        # the label it was compared with


def _at_both(what, case, limit, *against, ours="treadle"):
    """A ratio of CPU per request, at saturation and at the fixed rate."""
    return tuple(Target(f"{what}: CPU per request, {where}", case, figure, limit, against, ours=ours)
                 for where, figure in (("at saturation", "cpu"), ("at the fixed rate", "fixed_cpu")))


def _plaintext(case, what):
    return (*_at_both(what, case, 1.05, "bare"), *_at_both(what, case, 0.55, "go"),
            *_at_both(what, case, 0.8, "nginx"),
            Target(f"{what}: p99 at the fixed rate", case, "p99", 1.0, ("nginx",)))


TARGETS = (
    *_plaintext("plaintext-64", "plaintext, 64 connections"),
    *_plaintext("plaintext-512", "plaintext, 512 connections"),
    *_at_both("access log on, over off", "plaintext-64", 1.15, "treadle",
              ours="treadle-log"),
    Target("pipelined x16: requests/s", "pipelined-16", "rps", 0.8, ("bare",), least=True),
    *_at_both("JSON, over plaintext", "json", 1.15, "treadle /plaintext"),
    *_at_both("POST echo of 1 KB, over plaintext", "echo-1k", 1.15, "treadle /plaintext"),
    Target("POST echo of 1 MB: bytes/s", "echo-1m", "mb_s", 1.0, ("go",), least=True),
    Target("POST echo of 1 MB: bytes/s", "echo-1m", "mb_s", 0.9, ("bare",), least=True),
    *_at_both("file of 1 KB", "file-1k", 1.0, "h2o"),
    *_at_both("file of 100 KB", "file-100k", 1.0, "h2o"),
    Target("file of 10 MB: bytes/s", "file-10m", "mb_s", 1.0, ("nginx", "h2o", "go"), least=True),
    *_at_both("TLS keep-alive", "tls-64", 1.0, "nginx"),
    *_at_both("TLS handshake, full", "tls-full", 1.0, "nginx"),
    *_at_both("TLS handshake, resumed", "tls-resumed", 1.0, "nginx"),
    *_at_both("connection churn", "churn", 1.0, "h2o"),
    *_at_both("connection churn", "churn", 1.0, "nginx"),
    *_at_both("TCP echo", "tcp-echo", 1.1, "bare"),
    Target("10,000 idle connections: bytes each", "idle-10000", "pss_each", 2048, unit="bytes"),
    Target("10,000 idle TLS connections: bytes each", "idle-tls-10000", "pss_each", 1.0, ("nginx",)),
    Target("plaintext beside 10,000 idle, over alone: CPU per request", "idle-10000",
           "beside_fixed_cpu", 1.1, ("treadle",), their_figure="alone_fixed_cpu"),
    Target("plaintext beside 10,000 idle, over alone: p99", "idle-10000", "beside_p99", 1.1,
           ("treadle",), their_figure="alone_p99"),
    Target("10,000 active connections, over 64: CPU per request", "active-10000", "growth", 1.25),
    Target("plaintext beside wrapped calls, over alone: p99", "isolation", "p99", 2.0,
           ("treadle alone",), ours="treadle beside wrapped calls"),
    Target("plaintext beside unwrapped calls: p99", "isolation", "p99", 5000,
           ours="treadle beside unwrapped calls", unit="us"),
    Target("plaintext beside CPU hogs: p99", "isolation", "p99", 5000,
           ours="treadle beside hogs", unit="us"),
    *(Target(f"plaintext {what}: p99", "isolation", "p99", 1.0, (f"go {what}",),
             ours=f"treadle {what}")
      for what in ("alone", "beside wrapped calls", "beside unwrapped calls", "beside hogs")),
    Target("two workers, not pinned: requests/s, over each peer's lowest round",
           "two-workers", "rps", 1.0, ("go", "fasthttp", "nginx", "h2o", "beast"), least=True,
           within_spread=True),
)


def rounds_of(records, case, label, figure):
    """A dict from round to value of one figure, of the records of a run."""
    return {r["round"]: r["figures"].get(figure) for r in records
            if r["case"] == case and r["label"] == label and not r["errors"]}


def evaluate(target, records):
    """Whether the records of a run reach a target."""
    ours = rounds_of(records, target.case, target.ours, target.figure)
    if not target.against:
        measured, label = stats.spread(ours.values()), ""
    else:
        theirs = {label: rounds_of(records, target.case, label, target.their_figure or target.figure)
                  for label in target.against}
        label = _highest_low(theirs) if target.within_spread else \
            stats.best(theirs, highest=target.least)
        if label is None:
            return Verdict(target, UNKNOWN)
        measured = _over_lowest(ours, theirs[label]) if target.within_spread else \
            stats.ratio(ours, theirs[label])
    if measured is None:
        return Verdict(target, UNKNOWN)
    reached = measured.median >= target.limit if target.least else measured.median <= target.limit
    return Verdict(target, MET if reached else MISSED, measured, label)


def _highest_low(of_peers):
    """The name of the peer whose lowest round is the highest: the one whose spread, and with it
    everybody's, is hardest to be within or above. One bad round of a fast peer does not count as
    all peers' being reached."""
    lows = {name: s.low for name, s in
            ((name, stats.spread(rounds.values())) for name, rounds in of_peers.items()) if s}
    return max(lows, key=lows.get) if lows else None


def _over_lowest(ours, theirs):
    """Our rounds over their lowest: at least 1 means within their spread, or above it."""
    lowest = stats.spread(theirs.values())
    return stats.spread(v / lowest.low for v in ours.values() if v is not None)


def evaluate_all(records, cases):
    """Verdicts of the targets whose cases were to be measured."""
    return [evaluate(t, records) for t in TARGETS if t.case in cases]
