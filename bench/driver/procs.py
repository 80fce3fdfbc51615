"""Processes: who descends from whom, how much memory they take, and dying with the parent.

Reads /proc only. Knows nothing of SSH or of what is measured.
"""
import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """For a child between fork and exec: even a killed driver must leave no server behind."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def children(pid):
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as listing:
                found += [int(child) for child in listing.read().split()]
    except OSError:
        pass  # it has ended meanwhile
    return found


def descendants(pid):
    found, to_visit = [], children(pid)
    while to_visit:
        child = to_visit.pop()
        found.append(child)
        to_visit += children(child)
    return found


def memory(pids):
    """(RSS, PSS) in KiB, summed. PSS counts a page shared by n processes as 1/n in each."""
    total = {"Rss:": 0, "Pss:": 0}
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as rollup:
                for line in rollup:
                    name, _, rest = line.partition(" ")
                    if name in total:
                        total[name] += int(rest.split()[0])
        except OSError:
            pass
    return total["Rss:"], total["Pss:"]
