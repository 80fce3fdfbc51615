"""Memory of idle sessions: the client opens half of them, then the other half, and waits.

At each halt the client prints `open N` and waits for a line; meanwhile its memory, or that of
its processes, is read from outside. Knows nothing of statistics or tables.
"""
import collections
import subprocess

import client

# MiB with none, half and all sessions open; KiB a session between half and all; CPU seconds.
Idle = collections.namedtuple("Idle", "rss_none rss_half rss_all pss_all rss_each pss_each cpu")


def run(workload, peer, server):
    argv = workload.arguments(peer, server)
    halts = [0, workload.count // 2, workload.count]
    seen = []
    with client.Client(argv, server.work, workload.timeout, stdin=subprocess.PIPE) as running:
        for halt in halts:
            running.expect(f"open {halt}")
            if server.connections() < halt:
                raise client.RunFailed(f"only {server.connections()} of {halt} are connected")
            seen.append(running.memory())
            running.answer()
        usage = running.finish(workload.count)
    rss, pss = zip(*seen)
    more = halts[2] - halts[1]
    return Idle(rss[0] / 1024, rss[1] / 1024, rss[2] / 1024, pss[2] / 1024,
                (rss[2] - rss[1]) / more, (pss[2] - pss[1]) / more, usage.cpu)
