"""The plots of --full, each as PNG and SVG."""

import os

import matplotlib

matplotlib.use("Agg")  # no display
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator  # noqa: E402

from bench import scale, stats, targets  # noqa: E402
from bench.cases import CURVE_CONNECTIONS, CURVE_IDLE  # noqa: E402

COLOURS = {"treadle": "#c2410c", "bare": "#6b7280", "go": "#0284c7", "fasthttp": "#0f766e",
           "nginx": "#15803d", "h2o": "#7e22ce", "beast": "#a16207"}


def draw(run, out):
    """Draws what was measured, and returns (title, PNG file) of each plot."""
    plt.rcParams.update({"svg.hashsalt": "treadle", "font.size": 10, "axes.grid": True,
                         "grid.alpha": 0.3, "axes.spines.top": False, "axes.spines.right": False})
    records, made = run["records"], []
    curves = {n: f"curve-{n}" for n in CURVE_CONNECTIONS}
    idle = {n: f"idle-{n}" for n in CURVE_IDLE}
    for title, file, cases, figure, factor, unit, logarithmic in (
            ("Throughput over connections", "throughput", curves, "rps", 1e-3,
             "thousand requests/s", False),
            ("p99 over connections, at a fixed rate", "p99", curves, "p99", 1e-3, "ms", True),
            ("CPU per request over connections", "cpu", curves, "cpu", 1e-3, "CPU µs per request",
             False),
            ("Memory of idle connections", "idle", idle, "pss_total", 1 / 2**20, "MiB", True)):
        lines = curve_lines(records, cases, figure)
        if lines:
            made.append((title, _curve(out, title, file, lines, factor, unit, logarithmic)))
    bars = isolation_bars(records)
    if bars:
        made.append(("Plaintext beside blocking handlers and CPU hogs", _isolation(out, bars)))
    for file, what, names in scale.GROUPS:
        lines = scale.lines(run.get("scale") or [], names)
        if lines:
            made.append((f"Work per operation over {what}", _scale(out, f"scale-{file}", what, lines)))
    return made


def curve_lines(records, cases, figure):
    """A dict from label to a list of (x, Spread), from a dict from x to case."""
    lines = {}
    for x, case in cases.items():
        for label in dict.fromkeys(r["label"] for r in records if r["case"] == case):
            if figure == "pss_total":
                each = stats.spread(targets.rounds_of(records, case, label, "pss_each").values())
                value = stats.Spread([v * x for v in each.values]) if each else None
            else:
                value = stats.spread(targets.rounds_of(records, case, label, figure).values())
            if value:
                lines.setdefault(label, []).append((x, value))
    return lines


def isolation_bars(records):
    """A dict from peer to a dict from situation to the Spread of p99."""
    bars = {}
    for label in dict.fromkeys(r["label"] for r in records if r["case"] == "isolation"):
        value = stats.spread(targets.rounds_of(records, "isolation", label, "p99").values())
        peer, _, situation = label.partition(" ")
        if value:
            bars.setdefault(peer, {})[situation] = value
    return bars


def _plain(value, _):
    return f"{value:,.10g}"


def _from_zero(axes):
    """Up from zero, with room above the highest point."""
    axes.set_ylim(0, axes.get_ylim()[1] * 1.05)


def _curve(out, title, file, lines, factor, unit, logarithmic):
    figure, axes = plt.subplots(figsize=(7, 4.2))
    for label, points in lines.items():
        xs = [x for x, _ in points]
        axes.plot(xs, [s.median * factor for _, s in points], marker="o", label=label,
                  color=COLOURS.get(label), linewidth=2.4 if label == "treadle" else 1.4)
        axes.fill_between(xs, [s.low * factor for _, s in points],
                          [s.high * factor for _, s in points], alpha=0.12,
                          color=COLOURS.get(label), linewidth=0)
    axes.set_xscale("log")
    ticks = sorted({x for points in lines.values() for x, _ in points})
    axes.set_xticks(ticks)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        _from_zero(axes)
    axes.set(title=title, xlabel="connections", ylabel=unit)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1))
    return _save(figure, out, file)


def _isolation(out, bars):
    figure, axes = plt.subplots(figsize=(7, 4.2))
    situations = list(dict.fromkeys(s for of_peer in bars.values() for s in of_peer))
    width = 0.8 / len(bars)
    for i, (peer, of_peer) in enumerate(bars.items()):
        at = [n + (i - (len(bars) - 1) / 2) * width for n, s in enumerate(situations) if s in of_peer]
        values = [of_peer[s] for s in situations if s in of_peer]
        axes.bar(at, [v.median / 1e3 for v in values], width, label=peer, color=COLOURS.get(peer),
                 yerr=[[(v.median - v.low) / 1e3 for v in values],
                       [(v.high - v.median) / 1e3 for v in values]], capsize=3)
    axes.set_xticks(range(len(situations)), [s.replace("beside ", "beside\n") for s in situations])
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(title="p99 of plaintext at a fixed rate, one worker", ylabel="ms")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1))
    return _save(figure, out, "isolation")


def _scale(out, file, what, lines):
    """Instructions on the left, which show the work; nanoseconds on the right, which show the caches
    as well."""
    figure, (counts, times) = plt.subplots(1, 2, figsize=(9, 3.9))
    for name, records in lines.items():
        counted = [r for r in records if r["instructions"] is not None]
        line, = counts.plot([r["n"] for r in counted], [r["instructions"] for r in counted],
                            marker="o", label=name)
        spreads = [stats.Spread(r["ns"]) for r in records]
        xs = [r["n"] for r in records]
        times.plot(xs, [s.median for s in spreads], marker="o", color=line.get_color())
        times.fill_between(xs, [s.low for s in spreads], [s.high for s in spreads], alpha=0.15,
                           color=line.get_color(), linewidth=0)
    ticks = sorted({r["n"] for records in lines.values() for r in records})
    for axes in (counts, times):
        axes.set_xscale("log")
        axes.set_xlim(ticks[0] / 1.5, ticks[-1] * 1.5)
        axes.set_xticks(ticks)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(what)
    _from_zero(counts)
    medians = [stats.Spread(r["ns"]).median for records in lines.values() for r in records]
    if max(medians) > 5 * min(medians):
        times.set_yscale("log")
        times.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    else:
        _from_zero(times)
    for axes in (counts, times):
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
        axes.yaxis.set_minor_formatter(NullFormatter())
    counts.set(title="Work", ylabel="instructions per operation")
    times.set(title="Time, caches included", ylabel="CPU ns per operation")
    figure.legend(*counts.get_legend_handles_labels(), frameon=False, loc="lower center",
                  ncols=len(lines))
    return _save(figure, out, file, rect=(0, 0.07, 1, 1))


def _save(figure, out, file, rect=(0, 0, 1, 1)):
    figure.tight_layout(rect=rect)
    figure.savefig(os.path.join(out, file + ".png"), dpi=120, metadata={"Software": None})
    figure.savefig(os.path.join(out, file + ".svg"), metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return file + ".png"
