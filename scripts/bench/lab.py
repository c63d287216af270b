# SPDX-License-Identifier: Apache-2.0
"""What scripts/bench.sh made for a run, and the programs that run in it. All of it is removed by bench.sh, which also
ends the processes that a failed run leaves."""

import os
import select
import subprocess
import sys
import threading
import time

PORT = 80  # of every Service of the benches


class BenchError(Exception):
    """Something that ends the run, with a message for whoever started it."""


class NotInTime(BenchError):
    """The agent was still at it when its time was over."""


class Lab:
    def __init__(self, build, name, cgroup, pins, work):
        self.build = build
        self.name = name
        self.cgroup = cgroup  # with children attached/ and plain/
        self.pins = pins
        self.work = work

    @property
    def attached(self):
        return f"{self.cgroup}/attached"

    @property
    def plain(self):
        return f"{self.cgroup}/plain"

    def netns(self, host):
        return f"/run/netns/{self.name}-{host}"

    def program(self, path):
        return f"{self.build}/{path}"

    def run(self, arguments, timeout_s=600):
        """Runs a program to its end and returns its stdout."""
        try:
            done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{arguments[0]}: not done after {timeout_s} s") from None
        if done.returncode != 0:
            raise BenchError(f"{' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout


class Talker:
    """A process that answers each line on its stdin with a line."""

    def __init__(self, arguments, log):
        self.name = os.path.basename(arguments[-1] if arguments[0] == "nsenter" else arguments[0])
        self._log = open(log, "ab")
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, bufsize=0
        )
        self._buffer = b""

    def say(self, line):
        self._process.stdin.write(line.encode() + b"\n")

    def hear(self, word, timeout_s=30):
        """The rest of the next line, which must begin with `word`; all of it if that is empty."""
        end = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise BenchError(f"{self.name}: no answer within {timeout_s} s; expected '{word}'")
            chunk = os.read(self._process.stdout.fileno(), 65536)
            if not chunk:
                raise BenchError(f"{self.name}: ended; expected '{word}'; see {self._log.name}")
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        text = line.decode()
        if not word:
            return text
        if text != word and not text.startswith(word + " "):
            raise BenchError(f"{self.name}: said '{text}'; expected '{word}'")
        return text[len(word) + 1 :]

    def ask(self, line, word, timeout_s=30):
        self.say(line)
        return self.hear(word, timeout_s)

    def close(self):
        self._process.stdin.close()
        _end(self._process, self._log.name, signal_it=False)
        self._process.stdout.close()
        self._log.close()


def _end(process, log, signal_it=True):
    if signal_it:
        process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise BenchError(f"{process.args[0]}: did not end within 20 s; see {log}") from None


class Agent:
    """fairlead on the lab's node. `source` is its flags that name where objects come from."""

    def __init__(self, lab, source):
        self._lab = lab
        self._log = f"{lab.work}/agent.log"
        self._programmed = threading.Event()
        self._programmed_at = None
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            ["nsenter", f"--net={lab.netns('node')}", lab.program("fairlead"), *source]
            + ["--hostname-override", "node1", "--cgroup", lab.attached, "--bpffs-dir", lab.pins],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with open(self._log, "w", encoding="utf-8") as log:
            for line in self._process.stderr:
                if " programmed: " in line:
                    self._programmed_at = time.monotonic()
                    self._programmed.set()
                log.write(line)
                log.flush()
        self._programmed.set()

    def wait_programmed(self, timeout_s):
        """Seconds from start to the agent's word that everything is in the kernel and it serves: the log line
        "programmed:"."""
        timely = self._programmed.wait(timeout_s)
        if self._programmed_at is None:
            with open(self._log, encoding="utf-8") as log:
                said = log.read()[-2000:]
            if timely:
                raise BenchError(f"agent: ended before it had programmed anything; it said:\n{said}")
            raise NotInTime(f"agent: not programmed within {timeout_s} s; it said:\n{said}")
        return self._programmed_at - self._began

    def cpu_s(self):
        """CPU seconds so far, user and system, of the agent and of programs that it ran to their end."""
        with open(f"/proc/{self._process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self):
        """Resident memory without the maps it has mapped: they are the kernel's, and stand when it is gone."""
        total = 0
        of_map = False
        with open(f"/proc/{self._process.pid}/smaps", encoding="utf-8") as smaps:
            for line in smaps:
                first = line.split(None, 1)[0]
                if "-" in first and not first.endswith(":"):
                    of_map = "bpf-map" in line
                elif first == "Rss:" and not of_map:
                    total += int(line.split()[1]) * 1024
        return total

    def metrics(self):
        """/metrics as a dictionary; labels are part of the name."""
        text = self._lab.run(
            ["nsenter", f"--net={self._lab.netns('node')}", sys.executable, "-c", _FETCH, "http://127.0.0.1:10249/metrics"]
        )
        samples = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
        return samples

    def stop(self):
        """Ends the agent and removes what it left in the kernel."""
        _end(self._process, self._log)
        self._reader.join()
        self._lab.run(
            ["nsenter", f"--net={self._lab.netns('node')}", self._lab.program("fairlead"), "--cleanup"]
            + ["--cgroup", self._lab.attached, "--bpffs-dir", self._lab.pins]
        )


_FETCH = "import sys, urllib.request as u; sys.stdout.write(u.urlopen(sys.argv[1], timeout=20).read().decode())"
