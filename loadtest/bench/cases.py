"""What is measured: one Case for each row of the report's cases."""

from dataclasses import dataclass, replace

from bench.peers import CHURN, ECHO, FILES, JSON, PLAINTEXT, POST, SLOW, TLS

HELLO = b"Hello, World!"
JSON_BODY = b'{"message":"Hello, World!"}'
KB, MB = 1024, 1024 * 1024


@dataclass(frozen=True)
class Entry:
    """One line of a case: a peer, and in what it differs from the case."""
    peer: str
    label: str = ""
    role: str = ""
    path: str = ""
    beside: str = ""  # of an isolation case: what loads the server beside the plaintext requests

    def name(self):
        return self.label or self.peer

    def asks(self, case):
        """What it asks: that of its case, or plaintext where it has a path of its own."""
        if self.path:
            return Question(self.path, HELLO, len(HELLO))
        return Question(case.path, case.body, case.length, case.post)


@dataclass(frozen=True)
class Question:
    path: str
    body: bytes       # the answer's; empty: only its length is known
    length: int
    post: int = None  # bytes to POST


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    kind: str  # which function of measure.py measures it
    role: str
    entries: tuple
    path: str = "/plaintext"
    body: bytes = b""   # what must come back; of files and posts the length alone
    length: int = 0
    connections: int = 64
    post: int = None    # bytes to POST
    depth: int = 1      # requests at a time on a connection
    vary: bool = False  # heads that differ from one request to the next
    tls: bool = False
    fixed: bool = True  # also at a fixed rate
    workers: int = 1
    pinned: bool = True
    reference: str = "bare"
    quick: bool = False
    full: bool = False  # only with --full
    share: float = 1.0  # of --seconds
    rounds: int = 0     # at most so many; 0: as many as asked for


def entries(text):
    return tuple(Entry(peer) for peer in text.split())


EVERYBODY = entries("bare treadle treadle-log go fasthttp nginx h2o beast")
_FILES = Case("", "", "http", FILES, entries("bare treadle treadle-open go nginx h2o"))
_TLS = Case("", "", "handshakes", TLS, entries("bare treadle go nginx h2o"), tls=True)
# The same work of treadle's own in the round of another case.
_TREADLE_PLAINTEXT = Entry("treadle", label="treadle /plaintext", role=PLAINTEXT, path="/plaintext")

_ISOLATION = tuple(
    Entry(peer, label=f"{peer} {what}", beside=what)
    for peer in ("treadle", "go")
    for what in ("alone", "beside wrapped calls", "beside unwrapped calls", "beside hogs"))

CASES = (
    Case("plaintext-64", "Plaintext, keep-alive, 64 connections", "http", PLAINTEXT, EVERYBODY,
         body=HELLO, length=len(HELLO), quick=True),
    Case("plaintext-512", "Plaintext, keep-alive, 512 connections", "http", PLAINTEXT,
         entries("bare treadle go nginx h2o"), body=HELLO, length=len(HELLO), connections=512),
    Case("plaintext-varied", "Plaintext, heads that differ from the one before", "http", PLAINTEXT,
         entries("bare treadle nginx h2o"), body=HELLO, length=len(HELLO), vary=True, fixed=False),
    Case("pipelined-16", "Plaintext, 16 requests at a time on each of 64 connections", "http",
         PLAINTEXT, entries("bare treadle go fasthttp nginx h2o"), body=HELLO,
         length=len(HELLO), depth=16, fixed=False, quick=True),
    Case("json", "JSON, serialised for each request", "http", JSON,
         (*entries("treadle"), _TREADLE_PLAINTEXT, *entries("go fasthttp beast")), path="/json",
         body=JSON_BODY, length=len(JSON_BODY), reference="treadle /plaintext"),
    Case("echo-1k", "POST of 1 KB that comes back", "http", POST,
         (*entries("bare treadle"), _TREADLE_PLAINTEXT, *entries("go fasthttp beast")),
         path="/echo", length=KB, post=KB),
    Case("echo-1m", "POST of 1 MB that comes back, 16 connections", "http", POST,
         entries("bare treadle go fasthttp beast"), path="/echo", length=MB, post=MB,
         connections=16, fixed=False),
    replace(_FILES, name="file-1k", title="File of 1 KB", path="/1k.bin", length=KB, quick=True),
    replace(_FILES, name="file-100k", title="File of 100 KB", path="/100k.bin", length=100 * KB),
    replace(_FILES, name="file-10m", title="File of 10 MB, 8 connections", path="/10m.bin",
            length=10 * MB, connections=8, fixed=False),
    replace(_TLS, name="tls-64", title="Plaintext over TLS, keep-alive, 64 connections", kind="http",
            entries=entries("bare treadle go fasthttp nginx h2o"), body=HELLO, length=len(HELLO),
            quick=True),
    replace(_TLS, name="tls-full", title="TLS handshakes, full", connections=32),
    replace(_TLS, name="tls-resumed", title="TLS handshakes, resumed", connections=32),
    Case("churn", "A connection for each request", "churn", CHURN,
         entries("bare treadle go nginx h2o beast"), body=HELLO, length=len(HELLO), quick=True),
    Case("tcp-echo", "TCP echo of 64 bytes, 64 connections", "echo", ECHO,
         entries("bare treadle go"), length=64),
    Case("idle-10000", "10,000 idle connections after a request each", "idle", PLAINTEXT,
         entries("treadle go nginx h2o beast"), body=HELLO, length=len(HELLO),
         connections=10000, reference="nginx", rounds=2),
    Case("idle-tls-10000", "10,000 idle TLS connections after a request each", "idle", TLS,
         entries("treadle go nginx"), body=HELLO, length=len(HELLO), connections=10000,
         tls=True, reference="nginx", rounds=1),
    Case("active-10000", "10,000 connections that all ask, beside 64", "active", PLAINTEXT,
         entries("bare treadle go nginx h2o"), body=HELLO, length=len(HELLO), connections=10000,
         rounds=2),
    Case("isolation", "Plaintext at a quarter of saturation, alone and beside other handlers",
         "isolation", SLOW, _ISOLATION, body=HELLO, length=len(HELLO), reference="treadle alone",
         quick=True),
    Case("two-workers", "Plaintext, 64 connections, two workers, not pinned", "http", PLAINTEXT,
         entries("bare treadle go fasthttp nginx h2o beast"), body=HELLO, length=len(HELLO),
         workers=2, pinned=False, fixed=False),
)

# The curves of --full: (connections, peers) of throughput and p99, and of memory.
CURVE_CONNECTIONS = (64, 256, 1024, 4096, 10000)
CURVE_IDLE = (1000, 3000, 6000, 10000)


def curves():
    """The cases that only --full measures: they feed the plots."""
    base = Case("", "", "curve", PLAINTEXT, entries("bare treadle go nginx h2o"), body=HELLO,
                length=len(HELLO), full=True)
    for n in CURVE_CONNECTIONS:
        yield replace(base, name=f"curve-{n}", title=f"Plaintext over {n:,} connections",
                      connections=n)
    for n in CURVE_IDLE[:-1]:
        yield replace(base, kind="idle", name=f"idle-{n}", connections=n, reference="nginx", rounds=1,
                      entries=entries("treadle go nginx h2o beast"),
                      title=f"{n:,} idle connections after a request each")


def by_name():
    return {case.name: case for case in (*CASES, *curves())}
