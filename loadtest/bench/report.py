"""The Markdown report of a run."""

from bench import scale, stats, targets
from bench.cases import by_name

# figure, heading, scale, whether a ratio to the case's reference follows
SATURATED = (("rps", "requests/s", 1, True), ("busy", "CPUs", 1, False),
             ("cpu", "CPU ns per request", 1, True))
FIXED = (("fixed_cpu", "CPU ns at the fixed rate", 1, True), ("p50", "p50 us", 1, False),
         ("p99", "p99 us", 1, True), ("slice_p99", "of 0.1 s", 1, True),
         ("waited", "waited ms", 1, False))
# CPUs that others may use without a word.
DISTURBED = 0.1
COLUMNS = {
    "http": SATURATED + FIXED, "curve": SATURATED + FIXED, "churn": SATURATED + FIXED,
    "handshakes": SATURATED + FIXED, "echo": SATURATED + FIXED,
    "isolation": (("p50", "p50 us", 1, False), ("p99", "p99 us", 1, True),
                  ("slice_p99", "of 0.1 s", 1, True),
                  ("p999", "p99.9 us", 1, False), ("max", "slowest us", 1, False),
                  ("fixed_cpu", "CPU ns of all per request", 1, False)),
    "idle": (("pss_each", "bytes each", 1, True), ("tables_each", "page tables each", 1, False),
             ("alone_fixed_cpu", "CPU ns per request alone", 1, False),
             ("beside_fixed_cpu", "beside them", 1, False), ("alone_p99", "p99 us alone", 1, False),
             ("beside_p99", "beside them", 1, False),
             ("alone_slice_p99", "of 0.1 s alone", 1, False),
             ("beside_slice_p99", "beside them", 1, False),
             ("alone_waited", "waited ms alone", 1, False),
             ("beside_waited", "beside them", 1, False)),
    "active": (("rps", "requests/s", 1, True), ("cpu_64", "CPU ns per request of 64", 1, True),
               ("cpu", "of all", 1, True), ("growth", "growth", 1, False)),
}


def table(headings, rows):
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def rounds_of(part):
    n = part.get("rounds")
    return f", {n} round{'s' if n > 1 else ''} of {part['seconds']:g} s for each figure" if n else ""


def head_lines(run):
    head, options = run["head"], run["options"]
    versions = ", ".join(f"{n} {v}" for n, v in head["versions"].items())
    where = ("server on CPU 0 with one worker, load on CPU 1, unless a case says otherwise"
             if options["pinned"] else "two workers, nothing pinned")
    runs = "\n".join(f"- `{part['command']}`, {part['date']}, commit {part['commit']}"
                     + rounds_of(part) for part in run["parts"])
    return (f"{runs}\n\nKernel {head['kernel']}, {head['cpu']}, {head['cores']} cores. {versions}.\n\n"
            f"{where[0].upper()}{where[1:]}.\n")


HOW = """A figure is the median of its rounds, with the lowest and the highest in brackets. In a round all servers of
a case are measured in turn, in an order that rotates; a ratio is the median of the rounds' ratios. CPU is that of all
threads and processes of the server, by the kernel's clock, divided by the requests answered; "CPUs" is how much of one
the server used at saturation, where a load asks as fast as it is answered: below 1 the load was the limit. Latencies are
taken at one fixed rate for all, a quarter of what treadle reaches, from when a request was due. "of 0.1 s" is the p99 of the
median tenth of a second: a stall of 10 ms a second decides the whole p99, and one tenth of these. "waited ms" is for how long the
server's threads could have run in that window while others had the CPU: the kernel's threads, or, of servers that run several on one
CPU (Go), their own. Where it is large and p99 far above that of 0.1 s, p99 is the machine's. All time-outs and limits of treadle are on.
"""


def goal(target):
    sign = ">=" if target.least else "<="
    if not target.against:
        return f"{sign} {target.limit:,g} {target.unit}".strip()
    return f"{sign} {target.limit:g} of " + (
        target.against[0] if len(target.against) == 1 else
        ("each of " if target.within_spread else "the best of ") + ", ".join(target.against))


def target_table(verdicts, others):
    rows = []
    for v in verdicts:
        state = v.state if v.state == targets.MET else f"**{v.state}**"
        if v.measured and others.get(v.target.case, 0) > DISTURBED:
            state += ", disturbed"
        against = f" ({v.against})" if len(v.target.against) > 1 and v.against else ""
        rows.append((v.target.what, goal(v.target), stats.with_spread(v.measured) + against, state))
    return summary(verdicts) + "\n\n" + table(("figure", "goal", "measured", ""), rows)


def summary(verdicts):
    """How many are met, of those that could be judged."""
    met = sum(v.state == targets.MET for v in verdicts)
    unknown = sum(v.state == targets.UNKNOWN for v in verdicts)
    if unknown == len(verdicts):
        return ("None of the figures could be judged: treadle, or what it is compared with, was not "
                "measured.")
    text = f"{met} of {len(verdicts) - unknown} are met"
    return f"{text}; {unknown} could not be judged." if unknown else f"{text}."


def case_table(case, records):
    """The lines of a case: a label each, its figures, ratios to the reference beside them."""
    mine = [r for r in records if r["case"] == case.name]
    labels = list(dict.fromkeys(e.name() for e in case.entries))
    shown = [c for c in _columns(case)
             if any(c[0] in r["figures"] for r in mine)]
    reference = case.reference if any(r["label"] == case.reference for r in mine) else None
    headings = ["server"]
    for _, heading, _, with_ratio in shown:
        headings.append(heading)
        if with_ratio and reference:
            headings.append(f"/ {reference}")
    rows = []
    for label in labels:
        if not any(r["label"] == label for r in mine):
            continue
        row = [label]
        for figure, _, scale, with_ratio in shown:
            ours = targets.rounds_of(records, case.name, label, figure)
            row.append(stats.with_spread(stats.spread(ours.values()), scale))
            if with_ratio and reference:
                theirs = targets.rounds_of(records, case.name, reference, figure)
                r = stats.ratio(ours, theirs)
                row.append(f"{r.median:.2f}" if r else "-")
        rows.append(row)
    return table(headings, rows)


def _columns(case):
    columns = COLUMNS[case.kind]
    if case.name in ("echo-1m", "file-10m", "file-100k"):
        columns = (("mb_s", "MB/s", 1, True), *columns)
    return columns


def disturbed(others):
    """A warning where other programs worked while a run measured: which cases, how much."""
    cases = {name: cpus for name, cpus in others.items() if cpus > DISTURBED}
    if not cases:
        return ""
    return ("**The machine was not quiet**: other processes used, in CPUs, "
            + ", ".join(f"{cpus:.1f} during {name}" for name, cpus in cases.items())
            + ". Their latencies and requests/s mean little; ratios of CPU are rough.\n")


# What a line of a table is, where its name does not say it.
EXPLAINED = {
    "treadle-open": "treadle keeps the descriptors of files that were asked for open for the next "
                    "requests, for a second at most; treadle-open opens each file for each request, "
                    "as the bare loop, Go, and nginx as it is configured here do. h2o opens a file "
                    "once for all requests of one turn of its loop.",
}


def case_section(case, records, rates):
    lines = [f"### {case.name}\n", f"{case.title}."]
    labels = {r["label"] for r in records if r["case"] == case.name}
    lines += [text for label, text in EXPLAINED.items() if label in labels]
    if rates.get(case.name):
        lines.append(f"Fixed rate: {rates[case.name]:,}/s.")
    late = stats.spread(r["figures"].get("late_p99") for r in records
                        if r["case"] == case.name and not r["notes"])
    if late:
        lines.append(f"The load itself was late by {stats.number(late.median)} us at p99.")
    notes = []
    for r in records:
        if r["case"] == case.name:
            notes += [f"{r['label']}, round {r['round']}: {note}" for note in r["notes"]]
    text = lines[0] + "\n" + " ".join(lines[1:]) + "\n\n" + case_table(case, records)
    if notes:
        text += "\n" + "\n".join(f"- {note}" for note in notes) + "\n"
    return text


def render(run, verdicts, plots=()):
    """The whole report of a run: a dict as it stands in the JSON file."""
    records, cases = run["records"], by_name()
    parts = ["# treadle and its peers\n", head_lines(run), HOW]
    if disturbed(run["others"]):
        parts.append(disturbed(run["others"]))
    if run["problems"]:
        parts.append("## Not measured\n\n" + "\n".join(f"- {p}" for p in run["problems"]) + "\n")
    if verdicts:
        parts.append("## Figures to reach\n\n" + target_table(verdicts, run["others"]))
    for title, file in plots:
        parts.append(f"![{title}]({file})\n")
    if run.get("scale"):
        parts.append(scale.section(run["scale"]))
    if run["cases"]:
        parts.append("## Cases\n")
    for name in run["cases"]:
        if any(r["case"] == name for r in records):
            parts.append(case_section(cases[name], records, run["rates"]))
    return "\n".join(parts)
