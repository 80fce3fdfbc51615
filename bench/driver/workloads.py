"""What is measured: the list of workloads, and one run of one of them by one peer.

Knows the common command line of the clients. Knows nothing of statistics or tables.
"""
import os

import client
import peers

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CORE = ["sshlua", "go", "libssh", "asyncssh", "ssh"]
FLEET = ["sshlua", "clush", "pdsh", "pssh", "ansible"]
BLOCK = 65536
MIB = 1 << 20


class Workload:
    """Hosts, connections or channels at once, commands, bytes: what the clients are told."""

    def __init__(self, name, title, verb, hosts=1, parallel=1, count=1, size=0, unit=None,
                 command="true", extra=(), only=None, repeat=1, most_rounds=None, timeout=300):
        self.name, self.title, self.verb = name, title, verb
        self.hosts, self.parallel, self.count, self.size = hosts, parallel, count, size
        self.unit = unit  # what CPU ms is given per, or None
        self.units = count if verb in ("exec", "idle") else hosts
        self.command = command
        self.peers = only or CORE + list(extra)
        self.repeat = repeat  # runs in each round
        self.most_rounds = most_rounds  # for what hardly varies and takes long
        self.timeout = timeout

    def work_done(self, peer):
        """The number that the client must report: hosts, commands or bytes."""
        if self.size:
            return self.size // peer.share
        return self.count if self.verb == "exec" else self.hosts

    def arguments(self, peer, server, known_key="host_key", command=None):
        hosts, known = server.host_files(self.hosts, known_key)
        verb = peer.verbs.get(self.verb, self.verb)
        size = self.size // peer.share
        command = command or self.command.format(blocks=size // BLOCK)
        return peer.argv + [
            verb, "--hosts", hosts, "--parallel", str(self.parallel), "--key", server.key,
            "--known-hosts", known, "--user", server.user, "--port", str(server.port),
            "--count", str(self.count), "--bytes", str(size), "--command", command,
            "--kex", peer.kex, "--cipher", peer.cipher]

    def run(self, peer, server):
        used = self._run(peer, server)
        scale = peer.share if self.size else 1
        return used._replace(cpu=used.cpu * scale, wall=used.wall * scale)

    def _run(self, peer, server):
        argv, done = self.arguments(peer, server), self.work_done(peer)
        if self.verb == "up":
            return self._with_input(argv, peer, server, done)
        return client.run(argv, server.work, done, self.timeout,
                          many=peer.many and (self.hosts > 1 or self.verb == "exec"))

    def _with_input(self, argv, peer, server, done):
        """stdin is a file of zeros in memory, for the peer that can only send its stdin."""
        zeros = os.memfd_create("zeros")
        try:
            os.ftruncate(zeros, self.size // peer.share)
            return client.run(argv, server.work, done, self.timeout, stdin=zeros)
        finally:
            os.close(zeros)


def all_workloads(quick):
    full, small = (500, 1000, 1024 * MIB, 1000), (200, 200, 256 * MIB, 200)
    hosts, execs, size, idle = small if quick else full
    slow = 600
    volume = f"{size // MIB} MiB"
    device = os.path.join(ROOT, "spec", "support", "fake_device.lua")
    down = "dd if=/dev/zero bs=%d count={blocks} 2>/dev/null" % BLOCK
    return [
        Workload("one", "One host: start to exit", "one", unit="host", repeat=4),
        Workload("fanout-100", "Connect, authenticate, run `true`, close: 100 hosts at once",
                 "fanout", hosts=100, parallel=100, unit="host", extra=["ssh, own kex"]),
        Workload(f"fanout-{hosts}", f"The same on {hosts} hosts, 100 at once",
                 "fanout", hosts=hosts, parallel=100, unit="host"),
        Workload("fleet", f"A fleet verb: `true` on {hosts} hosts, 100 at once, against tools for many hosts",
                 "fleet", hosts=hosts, parallel=100, unit="host", only=FLEET, timeout=slow),
        Workload("exec-serial", f"{execs} times `true` on one connection, one after the other",
                 "exec", count=execs, unit="exec"),
        Workload("exec-20", f"{execs} times `true` on one connection, 20 at once",
                 "exec", parallel=20, count=execs, unit="exec"),
        Workload("down", f"{volume} from a command", "down", size=size, command=down,
                 extra=["ssh, own cipher"], timeout=slow),
        Workload("up", f"{volume} into a command", "up", size=size, command="wc -c",
                 extra=["ssh, own cipher", "ssh, fed by head"], timeout=slow),
        Workload("dialogue", "200 dialogues with switches at once, 50 commands of 4 pages each",
                 "dialogue", hosts=200, parallel=200, count=50, unit="dialogue",
                 command=f"lua5.4 {device} nxos /nowhere tag=TAG", only=[peers.SSHLUA],
                 most_rounds=3, timeout=slow),
        Workload("idle", f"{idle} idle authenticated sessions", "idle", hosts=idle,
                 parallel=50, count=idle, most_rounds=3, timeout=slow),
    ]
