"""Medians, spreads and ratios over rounds; figures as text."""

import statistics


class Spread:
    """What several rounds of one figure come to."""

    def __init__(self, values):
        self.values = [v for v in values if v is not None]
        if not self.values:
            raise ValueError("a spread of no values")
        self.median = statistics.median(self.values)
        self.low = min(self.values)
        self.high = max(self.values)


def spread(values):
    """The Spread of what was measured, None where nothing was."""
    measured = [v for v in values if v is not None]
    return Spread(measured) if measured else None


def ratio(ours, theirs):
    """The spread of the ratios of rounds. Both are dicts from round to value: a ratio compares what
    was measured in one round, one soon after the other, since the machine's speed drifts over
    minutes. None where no round has both."""
    return spread(ours[r] / theirs[r] for r in sorted(ours)
                  if ours[r] is not None and theirs.get(r))


def best(of_peers, highest=True):
    """The name of the peer with the best median, of a dict from name to dict from round to value."""
    medians = {name: s.median for name, s in
               ((name, spread(rounds.values())) for name, rounds in of_peers.items()) if s}
    if not medians:
        return None
    return (max if highest else min)(medians, key=medians.get)


def number(value, digits=3):
    """A figure with that many significant digits at least, thousands grouped: 1,234 / 12.3 / 0.123."""
    if value is None:
        return "-"
    size = abs(value)
    places = 0
    while places < digits + 3 and size < 10 ** (digits - 1 - places) and size != 0:
        places += 1
    return f"{value:,.{places}f}"


def with_spread(s, scale=1.0):
    """"median (low-high)" of a Spread, "-" of none."""
    if s is None:
        return "-"
    if len(s.values) == 1:
        return number(s.median * scale)
    return f"{number(s.median * scale)} ({number(s.low * scale)}-{number(s.high * scale)})"


def two_digits(value):
    """Rounded down to two significant digits: rates that are easy to repeat by hand."""
    step = 1
    while value / step >= 100:
        step *= 10
    return int(value / step) * step
