"""What check.sh cannot ask curl: requests in pieces, pipelined and on kept connections, resumed
TLS sessions, raw echo. Arguments: port, plain|tls, routes, certificate. Fails with a line that says
what differs; its last line is what it found."""

import select
import socket
import ssl
import sys
import time

LIMIT = 10.0  # seconds for any one wait


class Failed(Exception):
    pass


def connect(port, context=None, session=None):
    raw = socket.create_connection(("127.0.0.1", port), LIMIT)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Peer(raw if context is None else context.wrap_socket(raw, session=session))


class Peer:
    """A connection that sends while it reads: a server may answer before it has read everything.
    One thread for both, since OpenSSL's objects do not bear two."""

    def __init__(self, conn):
        self.conn, self.unsent, self.left = conn, memoryview(b""), b""
        conn.setblocking(False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.conn.close()

    def send(self, data):
        self.unsent = memoryview(bytes(self.unsent) + data)
        self.push()

    def push(self):
        while self.unsent:
            try:
                self.unsent = self.unsent[self.conn.send(self.unsent):]
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return

    def more(self, what):
        end = time.monotonic() + LIMIT
        while True:
            self.push()
            try:
                piece = self.conn.recv(1 << 18)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                if time.monotonic() > end:
                    raise Failed(f"{what}: nothing comes") from None
                select.select([self.conn], [self.conn] if self.unsent else [], [], 1)
                continue
            if not piece:
                raise Failed(f"{what}: the connection ended early")
            self.left += piece
            return

    def take(self, what, size):
        while len(self.left) < size:
            self.more(what)
        taken, self.left = self.left[:size], self.left[size:]
        return taken

    def response(self, what):
        while b"\r\n\r\n" not in self.left:
            self.more(what)
        head, self.left = self.left.split(b"\r\n\r\n", 1)
        if not head.startswith(b"HTTP/1.1 200 OK\r\n"):
            raise Failed(f"{what}: {head[:40]!r}")
        size = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:"))
        return self.take(what, size)


def expect(what, seen, wanted):
    if seen != wanted:
        raise Failed(f"{what}: {seen[:60]!r} instead of {wanted[:60]!r}")


def check_plaintext(peer):
    request = b"GET /plaintext HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"
    for cut in (1, 5, len(request) - 3, len(request) - 1):
        peer.send(request[:cut])
        time.sleep(0.01)  # so that the server reads twice
        peer.send(request[cut:])
        expect("a request in pieces", peer.response("a request in pieces"), b"Hello, World!")
    peer.send(request * 16 + request[:7])  # and the beginning of one more
    for _ in range(16):
        expect("pipelined", peer.response("pipelined"), b"Hello, World!")
    peer.send(request[7:])
    expect("behind a pipeline", peer.response("behind a pipeline"), b"Hello, World!")
    # More than any buffer holds, before anything is read: the server has to wait for us.
    many = 20000
    peer.send(request * many)
    time.sleep(0.1)
    for _ in range(many):
        expect("20,000 pipelined", peer.response("20,000 pipelined"), b"Hello, World!")
    expect("bytes behind the last response", peer.left, b"")


def check_echo(peer):
    for size in (0, 1, 1000, 70000, 3 << 20):
        what = f"echo of {size}"
        body = (bytes(range(251)) * (size // 251 + 1))[:size]
        head = (f"POST /echo HTTP/1.1\r\nHost: localhost\r\ncontent-length: {size}\r\n"
                "Content-Type: application/octet-stream\r\n\r\n").encode()
        for times in (1, 3):
            peer.send((head + body) * times)
            for _ in range(times):
                expect(what, peer.response(what), body)


def check_files(peer):
    request = b"GET /%s.bin HTTP/1.1\r\nHost: localhost\r\n\r\n"
    peer.send(b"".join(request % name for name in (b"1k", b"10m", b"1k", b"100k")))
    sizes = [len(peer.response("pipelined files")) for _ in range(4)]
    expect("pipelined files", sizes, [1024, 10485760, 1024, 102400])


def check_raw_echo(peer):
    data = bytes(range(251)) * (1 << 14)
    peer.send(data)
    expect("raw echo", peer.take("raw echo", len(data)), data)


def check_tls(port, context):
    """Full and resumed handshakes in both versions; says which ciphers were chosen."""
    said = []
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context.minimum_version = context.maximum_version = version
        request = b"GET /plaintext HTTP/1.1\r\nHost: localhost\r\n\r\n"
        session = None
        resumed = 0
        for _ in range(5):
            with connect(port, context, session) as peer:
                peer.send(request)
                peer.response("TLS")
                resumed += peer.conn.session_reused
                session = peer.conn.session
                cipher = peer.conn.cipher()[0]
                alpn = peer.conn.selected_alpn_protocol()
        if resumed != 4:
            raise Failed(f"{version.name}: {resumed} of 4 sessions were resumed")
        if alpn not in ("http/1.1", None):  # some know nothing of ALPN
            raise Failed(f"ALPN chose {alpn}")
        if cipher not in ("TLS_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"):
            raise Failed(f"{version.name}: {cipher} was chosen, and not AES-128-GCM")
        said.append(cipher)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return "resumes; " + ", ".join(said)


def main():
    port, how, routes, certificate = int(sys.argv[1]), sys.argv[2], sys.argv[3].split(","), sys.argv[4]
    context = None
    said = ""
    if how == "tls":
        context = ssl.create_default_context(cafile=certificate)
        context.check_hostname = False
        context.set_alpn_protocols(["http/1.1"])
        said = ", " + check_tls(port, context)
    checks = {"plaintext": check_plaintext, "echo": check_echo, "files": check_files,
              "raw": check_raw_echo}
    for route in routes:
        if route in checks:
            with connect(port, context) as peer:
                checks[route](peer)
    print("the same" + said)


try:
    main()
except (Failed, OSError, StopIteration) as error:
    print(f"{error or type(error).__name__}")
    sys.exit(1)
