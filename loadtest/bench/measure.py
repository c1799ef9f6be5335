"""Measures one entry of a case in one round: starts its server, loads it, returns its figures."""

import time

from bench import peers, proc
from bench.server import Failed, Server, free_port

LOAD_CPU, SERVER_CPU = 1, 0
SHARE_OF_SATURATION = 0.25  # the fixed rate
SETTLE_IDLE = 4.0           # until what a server releases from idle connections is released


class Measurement:
    """The figures of one entry in one round: a dict, and the errors that make them invalid."""

    def __init__(self):
        self.figures = {}
        self.errors = []
        self.notes = []

    def closed(self, got, length=0):
        """Takes a closed loop's result."""
        if self._wrong(got):
            return
        self.figures["rps"] = got["done"] / got["seconds"]
        self.figures["cpu"] = got["cpu_ns"] / got["done"]
        self.figures["busy"] = got["cpu_ns"] / 1e9 / got["seconds"]
        if length:
            self.figures["mb_s"] = got["done"] * length / got["seconds"] / 1e6

    def fixed(self, got, prefix=""):
        """Takes the result of a load at a fixed rate."""
        if self._wrong(got):
            return
        self.figures[prefix + "rate"] = got["rate"]
        self.figures[prefix + "fixed_cpu"] = got["cpu_ns"] / got["done"]
        for name in ("p50", "p99", "p999", "max"):
            self.figures[prefix + name] = got[name + "_us"]
        self.figures[prefix + "late_p99"] = got["late_p99_us"]
        self.figures[prefix + "waited"] = got["waited_ns"] / 1e6
        if "slice_p99_us" in got:
            self.figures[prefix + "slice_p99"] = got["slice_p99_us"]
        if got["behind"]:
            self.notes.append(f"did not keep up with {got['rate']:,.0f}/s: {got['behind_text']}")

    def _wrong(self, got):
        if got["errors"]:
            self.errors.append(f"{got['errors']} errors: {got['error']}")
        elif not got["done"]:
            self.errors.append("no request was answered")
        return bool(self.errors)


class Bench:
    """What all measurements of a run share."""

    def __init__(self, site, generators, seconds):
        self.site, self.generators, self.seconds = site, generators, seconds

    def server(self, case, entry):
        port = free_port()
        role = entry.role or case.role
        command = peers.command(entry.peer, role, self.site, port, case.workers, case.tls)
        missing = peers.missing(entry.peer, role, self.site)
        if missing:
            raise Failed(f"{entry.peer}: the program {missing} is not there")
        return Server(entry.peer, command, port, SERVER_CPU if case.pinned else None, case.tls)

    def for_case(self, case):
        """The generators, placed as the case says."""
        self.generators.cpu = LOAD_CPU if case.pinned else None
        self.generators.threads = 1 if case.pinned else 2
        return self.generators

    def run(self, case, entry, rate):
        """Measures; `rate` is the fixed one. Raises Failed where nothing can be measured."""
        result = Measurement()
        with self.server(case, entry) as server:
            try:
                KINDS[case.kind](self, case, entry, server, rate, result)
            except Failed:
                server.must_live()  # its end is the better explanation
                raise
            server.must_live()
        return result

    def saturation(self, case, entry):
        """What a short closed loop reaches, for choosing the fixed rate."""
        with self.server(case, entry) as server:
            load = self.for_case(case)
            if case.kind == "echo":
                got = load.own("rate", server, "--seconds", 0.5, "--raw", case.length)
            elif case.kind in ("churn", "handshakes"):
                got = load.own(case.kind, server, "--seconds", 0.5, *kind_flags(case))
            else:
                got = load.own("rate", server, "--seconds", 0.5, "--connections",
                               min(case.connections, 64), *asked(case, entry))
        if got["errors"]:
            raise Failed(f"{entry.name()}: {got['error']}")
        return got["done"] / got["seconds"]


def asked(case, entry):
    """The flags of our generators for what an entry asks."""
    question = entry.asks(case)
    flags = ["--path", question.path, "--length", question.length]
    if question.post is not None:
        flags += ["--post", question.post]
    if case.tls:
        flags += ["--tls"]
    return flags


def kind_flags(case):
    """Those of a program that makes connections all the time."""
    if case.kind == "churn":
        return ["--connections", case.connections, "--path", case.path, "--length", case.length]
    return ["--connections", case.connections, *(["--resumed"] if case.name == "tls-resumed" else [])]


def probe(case, entry, server):
    """Asks once and looks at every byte. Returns what a whole response measures."""
    question = entry.asks(case)
    path = question.path
    head = f"{'GET' if question.post is None else 'POST'} {path} HTTP/1.1\r\n" \
           f"Host: 127.0.0.1:{server.port}\r\n"
    sent = b""
    if question.post is not None:
        sent = b"x" * question.post
        head += f"Content-Type: application/octet-stream\r\nContent-Length: {len(sent)}\r\n"
    status, got, size = server.ask(head.encode() + b"\r\n" + sent)
    if not status.startswith("HTTP/1.1 200"):
        raise Failed(f"{server.name}: {path} answered \"{status}\"")
    wanted = sent or question.body
    if wanted and got != wanted:
        raise Failed(f"{server.name}: {path} answered {got[:60]!r} instead of {wanted[:60]!r}")
    if len(got) != question.length:
        raise Failed(f"{server.name}: {path} answered {len(got)} bytes instead of {question.length}")
    return size


def at_rate(bench, case, rate, connections):
    flags = ["--rate", rate, "--seconds", bench.seconds * case.share, "--connections", connections]
    return flags + (["--spin"] if case.pinned else [])


def http(bench, case, entry, server, rate, result):
    """wrk as fast as it goes, then a fixed rate."""
    load = bench.for_case(case)
    size = probe(case, entry, server)
    question = entry.asks(case)
    result.closed(load.wrk(server, question.path, case.connections, wrk_time(bench, case), size,
                           question.post, case.depth, case.vary), question.length)
    if case.fixed and rate and not result.errors:
        result.fixed(load.own("rate", server, *at_rate(bench, case, rate, case.connections),
                              *asked(case, entry)))


def wrk_time(bench, case):
    """wrk takes whole seconds."""
    return max(1, round(bench.seconds * case.share))


def curve(bench, case, entry, server, rate, result):
    """Our own generator, which opens thousands of connections gently."""
    load = bench.for_case(case)
    probe(case, entry, server)
    result.closed(load.own("rate", server, "--seconds", bench.seconds, "--connections",
                           case.connections, *asked(case, entry)))
    if rate and not result.errors:
        result.fixed(load.own("rate", server, *at_rate(bench, case, rate, case.connections),
                              *asked(case, entry)))


def connections(bench, case, entry, server, rate, result):
    """A connection for each operation: churn and handshakes."""
    load = bench.for_case(case)
    if case.kind == "churn":
        probe(case, entry, server)
    result.closed(load.own(case.kind, server, "--seconds", bench.seconds, *kind_flags(case)))
    if rate and not result.errors:
        flags = at_rate(bench, case, rate, case.connections)
        at = flags.index("--connections")
        del flags[at:at + 2]  # kind_flags has it
        result.fixed(load.own(case.kind, server, *flags, *kind_flags(case)))


def echo(bench, case, entry, server, rate, result):
    """Bytes to a TCP server that come back."""
    load = bench.for_case(case)
    result.closed(load.own("rate", server, "--raw", case.length, "--seconds", bench.seconds,
                           "--connections", case.connections))
    if rate and not result.errors:
        result.fixed(load.own("rate", server, "--raw", case.length,
                              *at_rate(bench, case, rate, case.connections)))


def idle(bench, case, entry, server, rate, result):
    """Memory of connections that wait, and what plaintext costs beside them."""
    load = bench.for_case(case)
    probe(case, entry, server)
    result.fixed(load.own("rate", server, *at_rate(bench, case, rate, 64), *asked(case, entry)),
                 "alone_")
    time.sleep(0.5)
    before = proc.memory(server.process.pid)
    held = ["--connections", case.connections, *asked(case, entry)]
    with load.start("hold", server, *held) as holder:
        holder.expect("ready", 90)
        time.sleep(SETTLE_IDLE)
        after = proc.memory(server.process.pid)
        result.fixed(load.own("rate", server, *at_rate(bench, case, rate, 64),
                              *asked(case, entry)), "beside_")
        holder.answer()
        holder.result(90)  # each of them must answer once more
    for name, before_bytes in before.items():
        result.figures[name + "_each"] = (after[name] - before_bytes) / case.connections


def active(bench, case, entry, server, rate, result):
    """As fast as it goes over few connections, then over many."""
    load = bench.for_case(case)
    probe(case, entry, server)
    few = load.own("rate", server, "--seconds", bench.seconds, "--connections", 64,
                   *asked(case, entry))
    result.closed(few)
    if result.errors:
        return
    result.figures["cpu_64"] = result.figures["cpu"]
    result.figures["rps_64"] = result.figures["rps"]
    result.closed(load.own("rate", server, "--seconds", bench.seconds, "--connections",
                           case.connections, *asked(case, entry)))
    result.figures["growth"] = result.figures["cpu"] / result.figures["cpu_64"]


BESIDE = {
    "beside wrapped calls": ("/slow?ms=50&how=wrapped", 64),
    "beside unwrapped calls": ("/slow?ms=50&how=unwrapped", 64),
    "beside hogs": ("/spin?ms=1000", 2),
}


def isolation(bench, case, entry, server, rate, result):
    """Plaintext at a fixed rate while other clients keep handlers busy."""
    load = bench.for_case(case)
    probe(case, entry, server)
    flags = ["rate", server, *at_rate(bench, case, rate, case.connections), *asked(case, entry)]
    if entry.beside == "alone":
        result.fixed(load.own(*flags))
        return
    path, clients = BESIDE[entry.beside]
    with load.start("rate", server, "--path", path, "--connections", clients, "--seconds", 60,
                    "--warmup", 0) as others:
        time.sleep(0.5)
        result.fixed(load.own(*flags))
        said = others.stop()
        if said["errors"]:
            result.errors.append(f"{path}: {said['errors']} errors: {said['error']}")


KINDS = {"http": http, "churn": connections, "handshakes": connections, "echo": echo, "idle": idle,
         "active": active, "isolation": isolation, "curve": curve}
