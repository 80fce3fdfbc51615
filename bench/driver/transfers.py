"""Files: what is copied, and one run of one of the workloads by one peer.

Sources and targets lie in memory where the system has such a place: the network and the programs
are measured, not the disk. Each run writes to a new directory, and what arrived is counted.
"""
import os
import shutil
import subprocess
import tempfile

import client
import peers
import procs
import workloads

MIB = workloads.MIB
TOOLS = ["sshlua", "scp", "sftp", "rsync", "tar"]
SMALL = 4096
MEMORY = "/dev/shm"
BASE = os.environ.get("BENCH_FILES") or (MEMORY if os.access(MEMORY, os.W_OK) else None)


class Source:
    """A file of so many bytes, or a directory of so many small files; made when first wanted."""

    def __init__(self, size=0, files=0):
        self.size, self.files, self._path = size, files, None
        self._parts = {}

    def path(self):
        if not self._path:
            self._directory = tempfile.TemporaryDirectory(prefix="sshlua-bench.", dir=BASE)
            self._path = os.path.join(self._directory.name, "source")
            if self.files:
                self._make_tree()
            else:
                self._make_file()
        return self._path

    def part(self, share):
        """What a slow peer copies in its place."""
        if share == 1 or self.files:
            return self
        if share not in self._parts:
            self._parts[share] = Source(size=self.size // share)
        return self._parts[share]

    def expected(self):
        return (self.files or 1, self.files * SMALL or self.size)

    def _make_file(self):
        block = os.urandom(MIB)
        with open(self._path, "wb") as file:
            for _ in range(self.size // MIB):
                file.write(block)

    def _make_tree(self):
        for number in range(self.files):
            directory = os.path.join(self._path, f"d{number % 50}")
            os.makedirs(directory, exist_ok=True)
            with open(os.path.join(directory, f"f{number}"), "wb") as file:
                file.write(os.urandom(SMALL))


def found(path):
    """How many files there are, and how many bytes."""
    if os.path.isfile(path):
        return 1, os.path.getsize(path)
    sizes = [os.path.getsize(os.path.join(at, name))
             for at, _, names in os.walk(path) for name in names]
    return len(sizes), sum(sizes)


class Relay:
    """A delay in front of the server: `sshlua` runs it, on a processor of its own if there is one."""

    def __init__(self, server, seconds):
        script = os.path.join(peers.PEERS, "relay.lua")
        argv = [os.path.abspath(os.environ["SSHLUA"]), script, "127.0.0.1", str(server.port)]
        self._process = subprocess.Popen(argv + [str(seconds)], stdout=subprocess.PIPE, text=True,
                                         preexec_fn=procs.die_with_parent)
        self.address, self.port = self._process.stdout.readline().split()

    def stop(self):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


class Transfer(workloads.Workload):
    def __init__(self, name, title, verb, source, delay=None, tools=None, **options):
        super().__init__(name, title, verb, size=0, unit=None, **options)
        self.source, self.delay = source, delay
        self.peers = tools or TOOLS

    def run(self, peer, server):
        part = self.source.part(peer.share)
        source = part.path()
        with tempfile.TemporaryDirectory(dir=os.path.dirname(source)) as directory:
            target = os.path.join(directory, "target")
            relay = Relay(server, self.delay) if self.delay is not None else None
            try:
                used = client.run(self._arguments(peer, server, source, target, relay),
                                  server.work, self.count, self.timeout)
            finally:
                if relay:
                    relay.stop()
            self._judge(directory, target, part)
        scale = peer.share if part is not self.source else 1
        return used._replace(cpu=used.cpu * scale, wall=used.wall * scale)

    def _arguments(self, peer, server, source, target, relay):
        argv = self.arguments(peer, server) + ["--from", source, "--to", target]
        if relay:
            hosts = os.path.join(server.work, "hosts-relay")
            with open(hosts, "w") as file:
                file.write(relay.address + "\n")
            argv[argv.index("--hosts") + 1] = hosts
            argv[argv.index("--port") + 1] = relay.port
        return argv

    def _judge(self, directory, target, part):
        files, size = part.expected()
        wanted = (files * self.hosts, size * self.hosts)
        got = found(target) if self.hosts == 1 else found(directory)
        if got != wanted:
            raise client.RunFailed("%d files and %d bytes arrived of %d and %d" % (got + wanted))


def all_workloads(quick):
    size, files, far = (256, 2000, 32) if quick else (1024, 5000, 100)
    big, small = Source(size=size * MIB), Source(files=files)
    some, distant, ten = Source(files=500), Source(size=far * MIB), Source(size=10 * MIB)
    own = TOOLS + ["scp, own cipher", "go", "asyncssh"]
    rtt = "50 ms of round trip"
    loads = [
        ("get", f"{size} MiB from a host", "get", big, dict(tools=own)),
        ("put", f"{size} MiB to a host", "put", big, dict(tools=own)),
        ("small-get", f"{files} files of 4 KiB from a host", "get", small, {}),
        ("small-put", f"{files} files of 4 KiB to a host", "put", small, {}),
        ("rtt-none", f"{far} MiB from a host, through the relay, without a delay", "get", distant,
         dict(delay=0, tools=["sshlua", "scp", "tar"])),
        ("rtt-get", f"{far} MiB from a host, {rtt}", "get", distant, dict(delay=0.025)),
        ("rtt-put", f"{far} MiB to a host, {rtt}", "put", distant, dict(delay=0.025)),
        ("rtt-small-get", f"500 files of 4 KiB from a host, {rtt}", "get", some,
         dict(delay=0.025, most_rounds=1, tools=["sshlua", "sftp"])),
        ("rtt-small-put", f"500 files of 4 KiB to a host, {rtt}", "put", some,
         dict(delay=0.025, most_rounds=1, tools=["sshlua", "sftp"])),
        ("many", "10 MiB to 50 hosts at once", "spread", ten,
         dict(hosts=50, parallel=50, tools=["sshlua"])),
    ]
    return [Transfer(name, title, verb, source, timeout=600, **options)
            for name, title, verb, source, options in loads]
