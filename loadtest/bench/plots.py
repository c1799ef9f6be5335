"""The plots of --full, each as PNG and SVG."""

import os

import matplotlib

matplotlib.use("Agg")  # no display
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator  # noqa: E402

from bench import stats, targets  # noqa: E402
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
    for title, file, cases, figure, scale, unit, logarithmic in (
            ("Throughput over connections", "throughput", curves, "rps", 1e-3,
             "thousand requests/s", False),
            ("p99 over connections, at a fixed rate", "p99", curves, "p99", 1e-3, "ms", True),
            ("CPU per request over connections", "cpu", curves, "cpu", 1e-3, "us", False),
            ("Memory of idle connections", "idle", idle, "pss_total", 1 / 2**20, "MB", True)):
        lines = curve_lines(records, cases, figure)
        if lines:
            made.append((title, _curve(out, title, file, lines, scale, unit, logarithmic)))
    bars = isolation_bars(records)
    if bars:
        made.append(("Plaintext beside blocking handlers and CPU hogs", _isolation(out, bars)))
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


def _curve(out, title, file, lines, scale, unit, logarithmic):
    figure, axes = plt.subplots(figsize=(7, 4.2))
    for label, points in lines.items():
        xs = [x for x, _ in points]
        axes.plot(xs, [s.median * scale for _, s in points], marker="o", label=label,
                  color=COLOURS.get(label), linewidth=2.4 if label == "treadle" else 1.4)
        axes.fill_between(xs, [s.low * scale for _, s in points],
                          [s.high * scale for _, s in points], alpha=0.12,
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
        axes.set_ylim(bottom=0)
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


def _save(figure, out, file):
    figure.tight_layout()
    figure.savefig(os.path.join(out, file + ".png"), dpi=120, metadata={"Software": None})
    figure.savefig(os.path.join(out, file + ".svg"), metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return file + ".png"
