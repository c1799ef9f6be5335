"""Starting a server on a free port of 127.0.0.1, asking it whether it is well, stopping it."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

from bench import proc

START_LIMIT = 10.0
STOP_LIMIT = 10.0


class Failed(Exception):
    """A server or a generator did not do what it should; says which and what."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def pinned(cpu):
    """For a child before it runs its program: one CPU for all its threads and children."""
    return None if cpu is None else lambda: os.sched_setaffinity(0, {cpu})


def kill_tree(process, gentle):
    """Ends a child of ours and what it has started. Waits with a limit."""
    if process.poll() is not None:
        return
    pids = proc.tree(process.pid)
    try:
        if gentle:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        pass
    finally:  # also when a signal to us ends the wait
        if process.poll() is None:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            process.wait(STOP_LIMIT)


class Server:
    """A running peer; a context manager that stops it on the way out, whatever happened."""

    def __init__(self, name, command, port, cpu=None, tls=False):
        self.name, self.command, self.port, self.cpu, self.tls = name, command, port, cpu, tls
        self.process = None
        self.scratch = None
        self.log = None

    def __enter__(self):
        try:
            self.scratch = tempfile.mkdtemp(prefix="treadle-bench-")
            os.chmod(self.scratch, 0o755)  # workers of nginx and h2o may be another user
            self.log = open(os.path.join(self.scratch, "log"), "w+b")
            command = [word.replace("@DIR@", self.scratch) for word in self.command]
            try:
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log,
                                                stderr=self.log, preexec_fn=pinned(self.cpu))
            except OSError as e:
                raise Failed(f"{self.name}: cannot start {command[0]}: {e.strerror}") from e
            self._wait_until_it_listens()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            if self.process:
                kill_tree(self.process, gentle=True)
        finally:
            if self.log:
                self.log.close()
            shutil.rmtree(self.scratch or "", ignore_errors=True)

    def said(self):
        self.log.flush()
        self.log.seek(0)
        text = self.log.read().decode(errors="replace").strip()
        return text[-600:]

    def alive(self):
        return self.process.poll() is None

    def must_live(self):
        """Raises Failed where the server has ended: a signal's number is negative."""
        if not self.alive():
            raise Failed(f"{self.name}: ended with {self.process.returncode} while it was measured: "
                         f"{self.said()}")

    def _wait_until_it_listens(self):
        limit = time.monotonic() + START_LIMIT
        while time.monotonic() < limit:
            if not self.alive():
                raise Failed(f"{self.name}: ended with {self.process.returncode} instead of "
                             f"serving: {self.said()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise Failed(f"{self.name}: does not listen after {START_LIMIT:.0f} s: {self.said()}")

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.port), 5)
        if not self.tls:
            return s
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(s)

    def ask(self, request):
        """Sends one request and returns (status line, body, bytes of the whole response)."""
        try:
            with self.connect() as s:
                s.sendall(request)
                data = b""
                while b"\r\n\r\n" not in data:
                    data += self._some(s)
                head, _, body = data.partition(b"\r\n\r\n")
                length = content_length(head)
                if length is None:
                    raise Failed(f"{self.name}: a response without Content-Length")
                while len(body) < length:
                    body += self._some(s)
        except OSError as e:
            raise Failed(f"{self.name}: {e}") from e
        return head.split(b"\r\n")[0].decode(errors="replace"), body, len(head) + 4 + len(body)

    def _some(self, s):
        data = s.recv(1 << 20)
        if not data:
            raise Failed(f"{self.name}: closed the connection before its response was whole")
        return data


def content_length(head):
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return int(value)
    return None
