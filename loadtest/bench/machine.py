"""What a report says about where it was made."""

import datetime
import os
import platform
import shutil
import subprocess


def _output(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False,
                              env=dict(os.environ, PATH=os.environ.get("PATH", "") + ":/usr/sbin"))
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout + done.stderr).strip()


def _cpu():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return "unknown CPU"


def _package(name):
    return _output("dpkg-query", "-W", "-f", "${Version}", name) if shutil.which("dpkg-query") else ""


def versions():
    """The peers' and tools' versions, by name, of those that are installed."""
    found = {
        "g++": _output("g++", "-dumpfullversion"),
        "OpenSSL": _output("openssl", "version").removeprefix("OpenSSL ").split(" ")[0],
        "Go": _output("go", "version").removeprefix("go version ").split(" ")[0],
        "fasthttp": _package("golang-github-valyala-fasthttp-dev"),
        "nginx": _output("nginx", "-v").rpartition("/")[2],
        "h2o": _output("h2o", "--version").splitlines()[0].removeprefix("h2o version ")
               if _output("h2o", "--version") else "",
        "Boost": _package("libboost1.81-dev"),
        "wrk": _package("wrk"),
    }
    return {name: version for name, version in found.items()
            if version and "not found" not in version and "no packages" not in version}


def head(top, command_line):
    """Machine, versions, commit, date and command of a run."""
    commit = _output("git", "-C", top, "rev-parse", "--short=12", "HEAD")
    if commit and _output("git", "-C", top, "status", "--porcelain", "--untracked-files=no"):
        commit += " with changes"
    return {
        "date": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "commit": commit or "unknown",
        "command": command_line,
        "kernel": platform.release(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "versions": versions(),
    }
