"""What callgrind wrote about a case, and how it compares; run.sh calls it.

    callgrind.py count ONCE TWICE N            instructions of an operation
    callgrind.py profile TWICE N TOP           the functions with the most of their own, of an operation
    callgrind.py compare BASELINE COUNTS HEAD  a table; exit code 1 when a case is above its tolerance,
                                               3 when the baseline was made in another way
    callgrind.py update BASELINE COUNTS HEAD   writes these cases to the baseline, keeps the tolerances
    callgrind.py replace BASELINE COUNTS HEAD  the same, and drops all other cases

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


def read_baseline(path):
    """The head as it stands, and of each case its instructions and tolerance."""
    head, cases = [], {}
    try:
        lines = open(path, encoding="utf-8").read().splitlines()
    except FileNotFoundError:
        return head, cases
    for number, line in enumerate(lines, 1):
        if line.startswith("# ") and ": " in line:
            head.append(line[2:])
        if line.startswith("#") or not line.strip():
            continue
        try:
            name, instructions, tolerance = line.split()
            cases[name] = float(instructions), float(tolerance)
        except ValueError:
            sys.exit(f"{path}:{number}: wants a case, its instructions and its tolerance: {line}")
    return head, cases


def read_counts(path):
    with open(path, encoding="utf-8") as lines:
        return {name: float(n) for name, n in (line.split() for line in lines)}


def verdict(change, tolerance):
    return "above" if change > tolerance else "below" if change < -tolerance else "ok"


def compare(baseline, counts, head):
    was, cases = read_baseline(baseline)
    now = open(head, encoding="utf-8").read().splitlines()
    same = was == now
    results = collections.Counter()
    print(f"{'case':18} {'instructions':>12} {'baseline':>12} {'difference':>10}")
    for name, instructions in read_counts(counts).items():
        line = f"{name:18} {instructions:12.1f}"
        if name not in cases:
            print(f"{line} {'-':>12} {'-':>10}  not in the baseline")
            continue
        before, tolerance = cases[name]
        change = 100 * (instructions - before) / before
        result = verdict(change, tolerance) if same else "?"
        results[result] += 1
        if result == "above":
            result += f" the {tolerance:g} % it may differ"
        print(f"{line} {before:12.1f} {change:+9.2f} %  {result}")
    if not same:
        print("\nThis run does not compare with the baseline; other counts may come from:")
        for old in was or ["(no baseline)"]:
            if old not in now:
                print(f"  then  {old}")
        for new in now:
            if new not in was:
                print(f"  now   {new}")
        sys.exit(3)
    if results["below"]:
        print("\nFewer than the baseline has: --update, so that they stay so.")
    sys.exit(1 if results["above"] else 0)


def write_baseline(path, cases, head):
    with open(path, "w", encoding="utf-8") as out:
        out.write("# Instructions of one operation in user space; loadtest/instructions/run.sh --update "
                  "writes this.\n# Tolerances (in %, the last column) are kept; change them by hand.\n#\n")
        out.writelines(f"# {line}\n" for line in head)
        out.writelines(f"{name:18} {instructions:10.1f} {tolerance:4g}\n"
                       for name, (instructions, tolerance) in cases.items())


def replace(baseline, counts, head):
    _, was = read_baseline(baseline)
    cases = {name: (instructions, was.get(name, (0, TOLERANCE))[1])
             for name, instructions in read_counts(counts).items()}
    write_baseline(baseline, cases, open(head, encoding="utf-8").read().splitlines())
    print(f"{baseline}: {len(cases)} cases")


def update(baseline, counts, head):
    was, cases = read_baseline(baseline)
    now = open(head, encoding="utf-8").read().splitlines()
    if was and was != now:
        sys.exit("callgrind.py: the baseline was made with another compiler, flags or library: "
                 "update all cases at once")
    new = read_counts(counts)
    for name, instructions in new.items():
        cases[name] = instructions, cases.get(name, (0, TOLERANCE))[1]
    write_baseline(baseline, cases, now)
    print(f"{baseline}: {len(new)} of {len(cases)} cases")


MODES = {"count": count, "profile": profile, "compare": compare, "update": update,
         "replace": replace}

if __name__ == "__main__":
    MODES[sys.argv[1]](*sys.argv[2:])
