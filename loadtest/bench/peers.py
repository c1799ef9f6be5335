"""The servers that are compared: which program stands for each in which role, and how it starts."""

import os
from dataclasses import dataclass

# What a case asks of a server.
PLAINTEXT, JSON, POST, FILES, TLS, ECHO, SLOW, CHURN = (
    "plaintext", "json", "post", "files", "tls", "echo", "slow", "churn")


@dataclass(frozen=True)
class Peer:
    name: str
    title: str
    programs: dict  # role -> words of its command: a program of the peers' folder, and flags


def _whole(program, *roles, **others):
    return {**{role: (program,) for role in roles}, **others}


PEERS = {p.name: p for p in (
    Peer("bare", "bare C over epoll", {
        PLAINTEXT: ("bare-plaintext",), POST: ("bare-plaintext", "--echo"),
        FILES: ("bare-files",), TLS: ("bare-tls",), ECHO: ("bare-echo",),
        CHURN: ("bare-plaintext", "--close")}),
    Peer("treadle", "treadle",
         _whole("treadle-bench", PLAINTEXT, JSON, POST, FILES, TLS, SLOW,
                **{ECHO: ("treadle-bench", "--tcp-echo")})),
    Peer("treadle-log", "treadle, access log on",
         {PLAINTEXT: ("treadle-bench", "--access-log", "@DIR@/access.log")}),
    Peer("treadle-open", "treadle, a file opened for each request",
         {FILES: ("treadle-bench", "--open-files", "0")}),
    Peer("go", "Go net/http",
         _whole("go-nethttp", PLAINTEXT, JSON, POST, FILES, TLS, SLOW,
                **{ECHO: ("go-nethttp", "--tcp-echo")})),
    Peer("fasthttp", "Go fasthttp",
         _whole("go-fasthttp", PLAINTEXT, JSON, POST, FILES, TLS, SLOW)),
    Peer("nginx", "nginx", _whole("nginx", PLAINTEXT, FILES, TLS)),
    Peer("h2o", "h2o", _whole("h2o", PLAINTEXT, FILES, TLS)),
    Peer("beast", "Boost.Beast", _whole("beast", PLAINTEXT, JSON, POST)),
)}


@dataclass(frozen=True)
class Site:
    """What all servers of a run share."""
    programs: str  # the folder with the peers' programs
    root: str      # the folder with the files to serve
    cert: str
    key: str


def _words(peer, role):
    programs = PEERS[peer].programs
    # All but the bare program look at "Connection: close".
    return programs.get(role) or programs[{CHURN: PLAINTEXT}.get(role, role)]


def command(peer, role, site, port, workers, tls):
    """The words that start a peer in a role."""
    words = _words(peer, role)
    line = [os.path.join(site.programs, words[0]), *words[1:], "--port", str(port),
            "--workers", str(workers)]
    if role == FILES:
        line += ["--root", site.root]
    if tls:
        line += ["--cert", site.cert, "--key", site.key]
    return line


def missing(peer, role, site):
    """The program that a peer needs in a role and that is not there, or None."""
    program = os.path.join(site.programs, _words(peer, role)[0])
    return None if os.access(program, os.X_OK) else os.path.basename(program)
