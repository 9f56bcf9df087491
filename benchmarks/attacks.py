"""
Attacks the demonstration server over sockets, and looks what that does to it and to its neighbours.

Run it from a checkout: C{python benchmarks/attacks.py}.  It starts C{twistd h2session} as a process of its own, attacks it
from another process with frames made by hand (C{attackplays.py}), and meanwhile asks for C{/hello} twenty times a second on
a connection of its own, as an honest neighbour.  It prints what was asked and what was measured, a line each, and ends with
status 1 if something is not as asked; C{docs/attacks.md} has the results.

Without C{--full} some numbers are smaller.  Everything is bounded in time, and only processes started here are ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Connection

from attackplays import ATTACKS, Attack, Check
from attackwire import ACK, DATA, GOAWAY, HEADERS, MIB, PREFACE, RST_STREAM, SETTINGS, Target, frame, settings, window

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BAD = ("Traceback", "Unhandled", "#critical]", "#error]")
"""What a healthy log does not have."""


class Demo:
    """
    The server, in a process of its own.
    """

    def __init__(self, folder: str, arguments: list[str]) -> None:
        from txh2session import developmentCertificate

        certificate = developmentCertificate(folder)
        self.certificate = certificate.certificatePath
        self._log = os.path.join(folder, "demo.log")
        command = [sys.executable, "-m", "twisted", "--log-format", "text", "h2session", "--http", "0", "--https", "0"]
        command += ["--certificate", certificate.certificatePath, "--private-key", certificate.privateKeyPath]
        with open(self._log, "wb") as file:
            self.process = subprocess.Popen([*command, *arguments], stdout=file, stderr=file, cwd=ROOT)
        self.ports: dict[str, int] = {}
        end = time.monotonic() + 20
        while len(self.ports) < 2 or "Starting reactor" not in self.log():
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"the demo did not start:\n{self.log()}")
            time.sleep(0.05)
            found = re.findall(r"Serving (https?)://localhost:([0-9]+)/", self.log())
            self.ports = {scheme: int(port) for scheme, port in found}

    def log(self) -> str:
        """
        Read what it has written.
        """
        with open(self._log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def cpu(self) -> float:
        """
        Get the seconds of CPU it has used.
        """
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            facts = file.read().rpartition(")")[2].split()
        return (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """
        Get the bytes it has in RAM.
        """
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self) -> int:
        """
        Count its open files.
        """
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self) -> float:
        """
        Stop it as an administrator would.

        @return: the seconds it took.
        """
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return time.monotonic() - began


class Neighbour(threading.Thread):
    """
    An honest client that asks twenty times a second, on one connection.

    @ivar took: seconds from each request to its answer.
    @ivar errors: what went wrong.
    """

    def __init__(self, target: Target) -> None:
        super().__init__(daemon=True)
        self._target = target
        self.took: list[float] = []
        self.errors: list[str] = []
        self._ending = threading.Event()

    def run(self) -> None:
        """
        Ask until told to end.
        """
        try:
            self._ask()
        except OSError as error:
            self.errors.append(repr(error))

    def end(self) -> None:
        """
        Ask no more.
        """
        self._ending.set()
        self.join(15)

    def _ask(self) -> None:
        context = self._target.context()
        plain = socket.create_connection(("127.0.0.1", self._target.port), 10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock = context.wrap_socket(plain, server_hostname="localhost") if context else plain
        sock.sendall(PREFACE + settings() + frame(SETTINGS, ACK, 0))
        file = sock.makefile("rb")
        stream = 1
        while not self._ending.wait(0.05):
            began = time.monotonic()
            sock.sendall(self._target.request(stream) + window(0, 12))
            while True:
                head = file.read(9)
                if len(head) < 9:
                    raise ConnectionError("the connection ended")
                file.read(int.from_bytes(head[:3], "big"))
                if head[3] in (GOAWAY, RST_STREAM):
                    raise ConnectionError(f"a frame of type {head[3]}")
                if head[3] in (DATA, HEADERS) and head[4] & 1 and int.from_bytes(head[5:], "big") == stream:
                    break
            self.took.append(time.monotonic() - began)
            stream += 2
        sock.close()


def _play(name: str, target: Target, tell: Connection) -> None:
    """
    Run an attack; the process's function.
    """

    def say(text: str) -> None:
        tell.send(text)
        time.sleep(0.2)  # let the watcher look

    try:
        checks = asyncio.run(asyncio.wait_for(ATTACKS[name].play(target, say), 1500))  # type: ignore[arg-type]
    except (OSError, asyncio.TimeoutError, ssl.SSLError) as error:
        checks = [Check("the attack", "runs to its end", repr(error), False)]
    tell.send([tuple(check) for check in checks])


def run(attack: Attack, demo: Demo, target: Target) -> list[Check]:
    """
    Run an attack and watch the server meanwhile.
    """
    neighbour = Neighbour(target)
    neighbour.start()
    time.sleep(0.3)
    mouth, ear = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_play, args=(attack.name, target, ear), daemon=True)
    cpu, base, files = demo.cpu(), demo.memory(), demo.descriptors()
    peak, marks, checks = base, {"base": base}, []
    process.start()
    end = time.monotonic() + 1600
    while time.monotonic() < end:
        peak = max(peak, demo.memory())
        if mouth.poll(0.02):
            said = mouth.recv()
            if isinstance(said, list):
                checks = [Check(*each) for each in said]
                break
            marks[said.split()[0]] = demo.memory()
        elif not process.is_alive() and not mouth.poll():
            break
    held: list[Check] = []
    if "held" in marks:
        each = (marks["held"] - marks["base"]) / (1000 if target.full else 200)
        held = [
            Check("memory of each", "at most 50 KiB", f"{each / 1024:.1f} KiB", each <= 50 * 1024 or not target.secure)
        ]
    if "tenth" in marks and "end" in marks:
        grown = marks["end"] - marks["tenth"]
        held = [Check("growth after a tenth", "at most 5 MiB", f"{grown / MIB:.1f} MiB", grown <= 5 * MIB)]
    if not checks:
        checks = [Check("the attack", "runs to its end", "it did not", False)] if process.exitcode else []
    process.join(5)
    if process.is_alive():
        process.kill()
    used = demo.cpu() - cpu
    checks += held
    if attack.cpu is not None:
        checks.append(Check("CPU", f"at most {attack.cpu:g} s", f"{used:.2f} s", used <= attack.cpu, True))
    else:
        checks.append(Check("CPU", "-", f"{used:.2f} s", True, True))
    bound = "-" if attack.memory is None else f"at most {attack.memory // MIB} MiB"
    grown = peak - base
    checks.append(Check("memory", bound, f"{grown / MIB:.1f} MiB", attack.memory is None or grown <= attack.memory))
    began = time.monotonic()
    while demo.descriptors() > files and time.monotonic() < began + 5:
        time.sleep(0.05)
    left = demo.descriptors() - files
    checks.append(Check("descriptors", "back within 3 s", f"{left} left, {time.monotonic() - began:.1f} s", left <= 0))
    neighbour.end()
    took = sorted(neighbour.took) or [99.0]
    median, worst = took[len(took) // 2] * 1000, took[-1] * 1000
    checks.append(Check("neighbour", "no error", "; ".join(neighbour.errors) or "none", not neighbour.errors))
    text = f"p50 {median:.1f} ms, worst {worst:.0f} ms of {len(took)}"
    fast = median <= 20 and worst <= 500
    checks.append(Check("neighbour", "p50 20 ms, worst 500 ms", text, fast, True))
    found = [bad for bad in BAD if bad in demo.log()]
    checks.append(Check("log", "nothing wrong", ", ".join(found) or "nothing", not found))
    return checks


def attackOne(names: list[str], chosen: argparse.Namespace) -> int:
    """
    Attack one server.

    @return: how many checks failed.
    """
    failed = 0
    secure = not chosen.clear
    scheme = "https" if secure else "http"
    with tempfile.TemporaryDirectory() as folder:
        demo = Demo(folder, ["--grace", "5"])
        try:
            target = Target(demo.ports[scheme], demo.certificate if secure else "", chosen.full)
            for name in names:
                for check in run(ATTACKS[name], demo, target):
                    failed += not check.ok
                    if chosen.json:
                        print(json.dumps({"attack": name, "scheme": scheme, **check._asdict()}), flush=True)
                    else:
                        sign = "ok" if check.ok else "MISSED"
                        print(
                            f"{scheme:5} {name:24} {ATTACKS[name].figures:6} {check.what:20} {check.asked:28}"
                            f" {check.measured:44} {sign}",
                            flush=True,
                        )
        finally:
            demo.stop()
            if any(bad in demo.log() for bad in BAD):
                print(demo.log()[-8000:], file=sys.stderr)
    return failed


def main() -> None:
    """
    Attack and print.
    """
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("attacks", nargs="*", metavar="ATTACK", help=f"which: {', '.join(ATTACKS)}; all but slow ones")
    options.add_argument("--clear", action="store_true", help="in clear text instead of TLS")
    options.add_argument("--full", action="store_true", help="with the numbers of the figures, slow attacks included")
    options.add_argument("--json", action="store_true", help="print a JSON object for each line")
    chosen = options.parse_args()
    unknown = set(chosen.attacks) - set(ATTACKS)
    if unknown:
        options.error(f"there is no attack {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # the server does not outlive this
    names = chosen.attacks or [name for name, attack in ATTACKS.items() if chosen.full or not attack.slow]
    failed = 0
    shared = [name for name in names if not ATTACKS[name].alone]
    # Memory is told of a server that has done nothing else: what one attack gave back would hide what the next takes.
    for group in [shared, *([name] for name in names if name not in shared)]:
        if group:
            failed += attackOne(group, chosen)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
