"""One run of one client: starts it, talks to it if need be, and says what it used.

A run counts only if the client exits with 0 and prints `ok N` with the N that was asked for
as its last line. Knows nothing of servers, workloads or statistics.
"""
import collections
import os
import signal
import subprocess
import threading

import procs

Usage = collections.namedtuple("Usage", "wall cpu rss")  # seconds, seconds, KiB

SAMPLE_EVERY = 0.25  # seconds between two looks at the memory of many processes
SHOWN = 400  # characters of a failed client's last words


class RunFailed(Exception):
    pass


class Client:
    """A running client. `with Client(...) as c: ... c.finish()`; leaving the block ends it."""

    def __init__(self, argv, work, timeout, stdin=subprocess.DEVNULL, many=False):
        self._peak = 0  # KiB of all processes together, when there are many
        self._over = threading.Event()
        self._late = False
        self._numbers, numbers = os.pipe()
        measure = os.path.join(os.environ["BENCH_BUILD"], "measure")
        try:
            self._complaints = open(os.path.join(work, "stderr"), "w+")
            self._process = subprocess.Popen(
                [measure, str(numbers)] + argv, cwd=work, stdin=stdin, stdout=subprocess.PIPE,
                stderr=self._complaints, text=True, start_new_session=True, pass_fds=[numbers])
        finally:
            os.close(numbers)
        self._watchdog = threading.Timer(timeout, self._give_up)
        self._watchdog.start()
        self._sampler = threading.Thread(target=self._sample)
        if many:
            self._sampler.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._watchdog.cancel()
        self._watchdog.join()
        self._kill()
        self._process.wait()
        self._over.set()
        if self._sampler.is_alive():
            self._sampler.join()
        for pipe in (self._process.stdin, self._process.stdout, self._complaints):
            if pipe:
                pipe.close()
        os.close(self._numbers)

    def memory(self):
        return procs.memory(procs.descendants(self._process.pid))

    def expect(self, line):
        said = self._process.stdout.readline().strip()
        if said != line:
            raise RunFailed(f"said {said!r} where {line!r} was due{self._last_words()}")

    def answer(self):
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except OSError:
            raise RunFailed("ended before its time" + self._last_words()) from None

    def finish(self, count):
        """Waits for the end, checks that the work was done, and returns the Usage.

        With a count of None the exit status alone decides.
        """
        said = self._process.stdout.read().strip().splitlines()
        # Not reaped yet: its number must stay its own until its group has been ended.
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        if self._late:
            raise RunFailed("took too long and was ended" + self._last_words())
        numbers = os.read(self._numbers, 4096).split()
        if len(numbers) != 5:
            raise RunFailed("ended with no account of itself" + self._last_words())
        wall, user, system, rss, status = map(float, numbers)
        if status != 0:
            raise RunFailed(f"exit status {status:.0f}{self._last_words()}")
        if count is not None and said[-1:] != [f"ok {count}"]:
            raise RunFailed(f"said {said[-1:]} where 'ok {count}' was due")
        return Usage(wall, user + system, max(self._peak, rss))

    def _last_words(self):
        self._complaints.seek(0)
        words = " ".join(self._complaints.read().split())
        return ": " + words[-SHOWN:] if words else ""

    def _kill(self):
        os.killpg(self._process.pid, signal.SIGKILL)

    def _give_up(self):
        self._late = True
        self._kill()

    def _sample(self):
        while not self._over.wait(SAMPLE_EVERY):
            self._peak = max(self._peak, self.memory()[1])


def run(argv, work, count, timeout, **options):
    with Client(argv, work, timeout, **options) as client:
        return client.finish(count)
