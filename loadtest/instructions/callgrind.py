"""What callgrind wrote about a case, and how it compares; run.sh calls it.

    callgrind.py count ONCE TWICE N           instructions of an operation
    callgrind.py profile TWICE N TOP          the functions with the most of their own, of an operation
    callgrind.py compare BASELINE COUNTS      a table; exit code 1 when a case is above its tolerance
    callgrind.py update BASELINE COUNTS HEAD  writes the baseline, keeps its tolerances

callgrind_annotate is not used: where goroutines switch, callgrind does not see the ends of calls, and
callgrind_annotate then takes a call's inclusive cost for the caller's own. COUNTS has lines
"case instructions", HEAD lines "name: value" that say what was measured.
"""
import collections
import re
import sys

TOLERANCE = 3.0  # %, of a case that the baseline does not know yet


def self_costs(path):
    """Instructions of each function's own, inlined ones within it."""
    names, costs = {}, collections.Counter()
    function, call = None, False
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            named = re.match(r"c?fn=\((\d+)\)(?: (.*))?", line)
            if named:
                if named[2]:
                    names[named[1]] = named[2]
                if line[0] == "f":
                    function = re.sub(r"'\d+$", "", names[named[1]])  # levels of recursion are one
            elif line.startswith("calls="):
                call = True  # the next line has the cost of the callee
            elif re.match(r"[+\-*\d]", line):
                cost = line.split()
                if not call and len(cost) > 1:
                    costs[function] += int(cost[1])
                call = False
    return costs


def total(path):
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("totals:"):
                return int(line.split()[1])
    sys.exit(f"callgrind.py: {path} has no totals: is it callgrind's?")


def readable(name):
    for long, short in (
            ("(anonymous namespace)::", ""), ("treadle::", ""),
            ("std::basic_string_view<char, std::char_traits<char> >", "string_view"),
            ("std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >",
             "string")):
        name = name.replace(long, short)
    return name if len(name) <= 110 else name[:107] + "..."


def count(once, twice, n):
    print(f"{(total(twice) - total(once)) / int(n):.1f}")


def profile(twice, n, top):
    costs, operations = self_costs(twice), 2 * int(n)
    every = sum(costs.values())
    if every != total(twice):
        sys.exit(f"callgrind.py: the functions' costs in {twice} do not add up to its total")
    print(f"{every / operations:9.1f} 100.0 %  all")
    for name, cost in costs.most_common(int(top)):
        print(f"{cost / operations:9.1f} {100 * cost / every:5.1f} %  {readable(name)}")


MODES = {"count": count, "profile": profile}

if __name__ == "__main__":
    MODES[sys.argv[1]](*sys.argv[2:])
