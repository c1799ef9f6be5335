"""What the kernel says of a server's processes: CPU nanoseconds and memory."""

import os
import time


def tree(pid):
    """The process and all its descendants."""
    pids, todo = [], [pid]
    while todo:
        p = todo.pop()
        pids.append(p)
        try:
            for task in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{task}/children", encoding="ascii") as f:
                    todo.extend(int(c) for c in f.read().split())
        except OSError:
            pass  # it has ended
    return pids


def cpu_ns(pid):
    """Nanoseconds of CPU that a process has used. This is the process's CPU clock: the sum of
    /proc/PID/task/*/schedstat, to which the kernel has added what ended threads had used, and what
    running ones have used since the last tick."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def waited_ns(pid):
    """Nanoseconds for which threads of a process could have run and others had their CPU."""
    waited = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
                waited += int(f.read().split()[1])
        except OSError:
            pass  # it has ended
    return waited


class CpuMeter:
    """The CPU time of a server from here on, its children included, also those that it starts or
    that end meanwhile (but for what a child used between our looks before it ended); and for how
    long it waited for a CPU."""

    def __init__(self, pid):
        self.pid = pid
        self.before = self._look(cpu_ns)
        self.waited_before = self._look(waited_ns)

    def _look(self, what):
        seen = {}
        for p in tree(self.pid):
            try:
                seen[p] = what(p)
            except OSError:
                pass
        return seen

    def elapsed(self):
        return self._since(self.before, cpu_ns)

    def waited(self):
        return self._since(self.waited_before, waited_ns)

    def _since(self, before, what):
        return sum(max(0, now - before.get(p, 0)) for p, now in self._look(what).items())


def _field(path, name):
    with open(path, encoding="ascii") as f:
        for line in f:
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    raise OSError(f"{path} has no {name}")


def memory(pid):
    """Bytes of a server's processes: proportional set size, and page tables."""
    pss = tables = 0
    for p in tree(pid):
        pss += _field(f"/proc/{p}/smaps_rollup", "Pss:")
        tables += _field(f"/proc/{p}/status", "VmPTE:")
    return {"pss": pss, "tables": tables}


class Quiet:
    """How much CPU others use from here on, in CPUs: all that is not idle, and not ours."""

    def __init__(self):
        self.begin = time.monotonic()
        self.busy, self.own = busy_seconds(), own_seconds()

    def others(self):
        took = time.monotonic() - self.begin
        used = busy_seconds() - self.busy - (own_seconds() - self.own)
        return max(0.0, used / took) if took > 0 else 0.0


def busy_seconds():
    """What all CPUs have worked since the machine started, other machines on them included."""
    with open("/proc/stat", encoding="ascii") as f:
        user, nice, system, _idle, _wait, irq, softirq, steal = map(int, f.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds():
    """What this process and its children that have ended have used."""
    t = os.times()
    return t.user + t.system + t.children_user + t.children_system
