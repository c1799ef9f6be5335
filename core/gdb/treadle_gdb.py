"""Goroutines of treadle programs in gdb: source this file, then

    info goroutines            one line each: id, state, what it waits for, name, where created
    goroutine 7 bt             the stack of one
    goroutine all bt           of all
    goroutine 7 info locals    any command, in the frame that parked (or runs)
    goroutine-core FILE        what generate-core-file does, with the goroutines' stacks

gdb's own generate-core-file (gcore) gives up on a mapping at the first page it cannot read, which
is the first stack's guard; cores that the kernel writes are whole.

Live and on core files. Needs symbols, not debug information: the program tells by its symbol
treadle_rt_debug where things are. Nothing is changed in the program, and no code of it is run.

How a parked stack is unwound: its registers lie on it, below its saved stack pointer. While a
goroutine is looked at, an unwinder says that the caller of the selected thread's newest frame is
whoever saved them. Setting $rsp would do the same live, but cores do not allow it.
"""

import struct
import time

import gdb
from gdb.unwinder import Unwinder

IDLE, RUNNABLE, RUNNING, WAITING, DEAD, DORMANT = range(6)
STATES = ["idle", "runnable", "running", "waiting", "dead", "dormant"]
FIELDS = [
    "version", "blocks", "gs_per_block", "next_block", "g_size", "sp", "stack", "m", "status",
    "reason", "foreign", "waiting_since", "id", "parent", "site", "extra", "m_tid", "extra_text",
]
# As treadle_rt_switch() pushes them, from the saved stack pointer up.
SAVED = ["r15", "r14", "r13", "r12", "rbx", "rbp", "rip"]


def read(address, size):
    return bytes(gdb.selected_inferior().read_memory(address, size))


def word(address):
    return struct.unpack("<Q", read(address, 8))[0]


def text(address, most=400):
    if address == 0:
        return ""
    out = b""
    while len(out) < most:
        try:
            out += read(address + len(out), 16)
        except gdb.MemoryError:
            out += read(address + len(out), 1)
        if b"\0" in out:
            break
    return out.split(b"\0")[0].decode("utf-8", "replace")


class Layout:
    def __init__(self):
        try:
            at = int(gdb.parse_and_eval("(unsigned long) &treadle_rt_debug"))
        except gdb.error:
            raise gdb.GdbError("no treadle in this program (or its symbols are stripped)")
        for i, name in enumerate(FIELDS):
            setattr(self, name, word(at + 8 * i))
        if self.version != 1:
            raise gdb.GdbError("this script does not know version %d of treadle" % self.version)
        if self.blocks == 0:
            raise gdb.GdbError("treadle has not been started")
        self.reasons = []
        for i in range(64):
            reason = word(at + 8 * (len(FIELDS) + i))
            if reason == 0:
                break
            self.reasons.append(text(reason))


class Goroutine:
    def __init__(self, layout, at):
        memory = read(at, layout.g_size)

        def u64(offset):
            return struct.unpack_from("<Q", memory, offset)[0]

        self.id = u64(layout.id)
        self.parent = u64(layout.parent)
        self.status = memory[layout.status]
        self.foreign = memory[layout.foreign] != 0
        self.sp = u64(layout.sp)
        self.stack = u64(layout.stack)
        self.has_stack = self.stack != 0
        self.since = u64(layout.waiting_since)
        reason = memory[layout.reason]
        self.reason = layout.reasons[reason] if reason < len(layout.reasons) else "?"
        m = u64(layout.m)
        self.tid = struct.unpack("<i", read(m + layout.m_tid, 4))[0] if m else 0
        extra = u64(layout.extra)
        self.marks = text(extra + layout.extra_text).strip() if extra else ""
        site = u64(layout.site)
        self.site = ""
        if site:
            file, function, line = word(site), word(site + 8), read(site + 16, 4)
            self.site = "%s:%d in %s" % (text(file), struct.unpack("<I", line)[0], text(function))

    def alive(self):
        return self.status not in (IDLE, DEAD) and not self.foreign

    def parked(self):
        return self.status in (WAITING, RUNNABLE) and self.has_stack and self.sp != 0

    def waits(self):
        return self.status in (WAITING, DORMANT)

    def state(self):
        return self.reason if self.waits() else STATES[self.status]

    def title(self):
        waited = ""
        if self.waits() and gdb.selected_inferior().pid and is_live():
            seconds = (time.clock_gettime_ns(time.CLOCK_MONOTONIC) - self.since) / 1e9
            waited = ", %.1f s" % max(seconds, 0)
        by = " by goroutine %d" % self.parent if self.parent else ""
        marks = " " + self.marks if self.marks else ""
        return "goroutine %d [%s%s]%s created at %s%s" % (
            self.id, self.state(), waited, marks, self.site, by)


def is_live():
    try:
        target = gdb.execute("info target", to_string=True)
    except gdb.error:
        return False
    return "core file" not in target and "Local core dump" not in target


def goroutines():
    layout = Layout()
    found = []
    block = word(layout.blocks)
    while block:
        for i in range(layout.gs_per_block):
            at = block + i * layout.g_size
            if read(at + layout.status, 1)[0] == IDLE:
                continue
            g = Goroutine(layout, at)
            if g.alive():
                found.append(g)
        block = word(block + layout.next_block)
    return sorted(found, key=lambda g: g.id)


class FrameId:
    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


class ParkedUnwinder(Unwinder):
    """Says that a parked goroutine called the newest frame of the selected thread."""

    def __init__(self):
        super().__init__("treadle-goroutine")
        self.newest = None
        self.sp = 0

    def __call__(self, pending):
        if self.newest is None:
            return None
        rsp, rip = pending.read_register("rsp"), pending.read_register("rip")
        mask = (1 << 64) - 1
        sp, pc = int(rsp) & mask, int(rip) & mask
        if (sp, pc) != self.newest:
            return None
        # Named by the goroutine's stack, not the thread's: gdb takes callers that lie below their
        # callees for corrupt.
        info = pending.create_unwind_info(FrameId(gdb.Value(self.sp).cast(rsp.type), rip))
        for i, name in enumerate(SAVED):
            value = gdb.Value(word(self.sp + 8 * i)).cast(pending.read_register(name).type)
            info.add_saved_register(name, value)
        info.add_saved_register("rsp", gdb.Value(self.sp + 8 * len(SAVED)).cast(rsp.type))
        return info


unwinder = ParkedUnwinder()
gdb.unwinder.register_unwinder(None, unwinder, replace=True)


class Inside:
    """Within it the selected frame is the goroutine's newest."""

    def __init__(self, g):
        self.g = g
        self.thread = gdb.selected_thread()

    def __enter__(self):
        if self.thread is None:
            raise gdb.GdbError("no thread is selected")
        if self.g.parked():
            newest = gdb.newest_frame()
            mask = (1 << 64) - 1
            unwinder.newest = (int(newest.read_register("rsp")) & mask,
                               int(newest.read_register("rip")) & mask)
            unwinder.sp = self.g.sp
            gdb.invalidate_cached_frames()
            frame = gdb.newest_frame().older()
        else:
            thread = next((t for t in gdb.selected_inferior().threads()
                           if t.ptid[1] == self.g.tid), None)
            if self.g.status == DORMANT:
                raise gdb.GdbError("goroutine %d is dormant: it has no stack now" % self.g.id)
            if self.g.status == RUNNABLE and not self.g.has_stack:
                raise gdb.GdbError("goroutine %d has no stack yet" % self.g.id)
            if thread is None:
                raise gdb.GdbError("goroutine %d: its thread %d is not there" %
                                   (self.g.id, self.g.tid))
            thread.switch()
            frame = gdb.newest_frame()
        if frame is None:
            self.leave()
            raise gdb.GdbError("goroutine %d: its stack cannot be read" % self.g.id)
        frame.select()
        return frame

    def leave(self):
        unwinder.newest = None
        gdb.invalidate_cached_frames()
        self.thread.switch()

    def __exit__(self, *unused):
        self.leave()


def backtrace(frame):
    number = 0
    while frame is not None:
        name = frame.name() or "??"
        if name == "treadle_rt_entry":
            break
        line = "#%-3d 0x%016x in %s ()" % (number, frame.pc(), name)
        sal = frame.find_sal()
        if sal.symtab is not None:
            line += " at %s:%d" % (sal.symtab.filename, sal.line)
        print(line)
        number += 1
        try:
            frame = frame.older()
        except gdb.error as e:
            print("    (%s)" % e)
            break


class InfoGoroutines(gdb.Command):
    """One line for each goroutine of a treadle program."""

    def __init__(self):
        super().__init__("info goroutines", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        found = goroutines()
        for g in found:
            print(g.title())
        print("%d goroutines" % len(found))


class GoroutineCommand(gdb.Command):
    """goroutine ID|all COMMAND: runs a gdb command, bt as a rule, in a goroutine's context."""

    def __init__(self):
        super().__init__("goroutine", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        which, _, command = argument.strip().partition(" ")
        command = command.strip() or "bt"
        every = which == "all"
        if not every and not which.isdigit():
            raise gdb.GdbError("goroutine ID COMMAND, or: goroutine all COMMAND")
        chosen = [g for g in goroutines() if every or g.id == int(which)]
        if not chosen:
            raise gdb.GdbError("no goroutine %s" % which)
        for g in chosen:
            print(g.title())
            try:
                with Inside(g) as frame:
                    if command in ("bt", "backtrace", "where"):
                        backtrace(frame)
                    else:
                        gdb.execute(command, from_tty)
            except gdb.GdbError as e:
                if not every:
                    raise
                print("    (%s)" % e)
            if every:
                print()


class CoreCommand(gdb.Command):
    """goroutine-core FILE: writes a core file that has the goroutines' stacks in it."""

    PAGE = 4096

    def __init__(self):
        super().__init__("goroutine-core", gdb.COMMAND_DATA, gdb.COMPLETE_FILENAME)

    def invoke(self, argument, from_tty):
        name = argument.strip()
        if not name:
            raise gdb.GdbError("goroutine-core FILE")
        # It warns of each mapping that it leaves unfinished: those are what follows.
        gdb.execute("generate-core-file " + name, to_string=True)
        by_tid = {t.ptid[1]: t for t in gdb.selected_inferior().threads()}
        selected = gdb.selected_thread()
        with open(name, "r+b") as core:
            segments = self.segments(core)
            for g in goroutines():
                if not g.has_stack:
                    continue
                low, high = word(g.stack), word(g.stack + 8)
                sp = g.sp
                if not g.parked() and g.tid in by_tid:
                    by_tid[g.tid].switch()
                    sp = int(gdb.newest_frame().read_register("rsp")) & ((1 << 64) - 1)
                if not low <= sp < high:
                    sp = low
                self.copy(core, segments, max(low, (sp - 256) // self.PAGE * self.PAGE), high)
        selected.switch()
        print("Saved corefile " + name)

    def segments(self, core):
        core.seek(0)
        header = core.read(64)
        at, size, count = (struct.unpack_from("<Q", header, 32)[0],
                           struct.unpack_from("<H", header, 54)[0],
                           struct.unpack_from("<H", header, 56)[0])
        found = []
        for i in range(count):
            core.seek(at + i * size)
            kind, _, offset, address, _, filled = struct.unpack_from("<IIQQQQ", core.read(size))
            if kind == 1:
                found.append((address, filled, offset))
        return found

    def copy(self, core, segments, low, high):
        for address, filled, offset in segments:
            if address <= low and high <= address + filled:
                for page in range(low, high, self.PAGE):
                    core.seek(offset + page - address)
                    core.write(read(page, min(self.PAGE, high - page)))


InfoGoroutines()
GoroutineCommand()
CoreCommand()
