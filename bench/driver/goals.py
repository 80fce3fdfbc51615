"""What sshlua has to reach, as ratios to a peer in the same run or as plain limits."""
import collections

import report

# limit: on sshlua's figure divided by the peer's, or by `unit` where there is no peer. without: a
# workload whose figure is taken off first, from both.
Goal = collections.namedtuple("Goal", "workload what field limit peer unit without",
                              defaults=(None, 1, None))

GOALS = [
    Goal("fanout-100", "CPU", "cpu", 1.0, "go"),
    Goal("fanout-100", "CPU of 99 hosts, connect to close (without `one`)", "cpu", 1.0, "go",
         without="one"),
    Goal("fanout-100", "CPU", "cpu", 0.1, "ssh"),
    *[Goal("fleet", what, field, limit, peer) for peer in ("clush", "pdsh", "pssh", "ansible")
      for what, field, limit in (("CPU", "cpu", 0.1), ("wall", "wall", 1.0))],
    Goal("one", "wall", "wall", 0.75, "libssh"),
    Goal("one", "wall", "wall", 0.5, "ssh"),
    Goal("exec-serial", "CPU ms/exec", "each", 0.2),
    Goal("exec-20", "CPU ms/exec", "each", 0.2),
    Goal("down", "CPU", "cpu", 0.9, "ssh"),
    Goal("up", "CPU", "cpu", 0.5, "ssh"),
    Goal("up", "CPU", "cpu", 0.5, "ssh, fed by head"),
    Goal("dialogue", "CPU ms/dialogue", "each", 30),
    Goal("idle", "RSS KiB/session", "rss_each", 60),
    Goal("get", "CPU", "cpu", 0.55, "scp"),
    Goal("get", "wall", "wall", 0.75, "scp, own cipher"),
    Goal("put", "CPU", "cpu", 0.55, "scp"),
    Goal("put", "wall", "wall", 0.75, "scp, own cipher"),
    Goal("small-get", "wall", "wall", 0.33, "scp"),
    Goal("small-get", "wall", "wall", 0.33, "sftp"),
    Goal("small-get", "wall", "wall", 1.0, "rsync"),
    Goal("small-put", "wall", "wall", 0.33, "scp"),
    Goal("small-put", "wall", "wall", 0.33, "sftp"),
    Goal("small-put", "wall", "wall", 1.0, "rsync"),
    Goal("rtt-get", "wall", "wall", 1.0, "scp"),
    Goal("rtt-get", "wall", "wall", 1.0, "tar"),
    Goal("rtt-put", "wall", "wall", 1.0, "scp"),
    Goal("rtt-put", "wall", "wall", 1.0, "tar"),
    Goal("rtt-small-get", "wall", "wall", 0.1, "sftp"),
    Goal("rtt-small-put", "wall", "wall", 0.1, "sftp"),
    Goal("many", "RSS MiB", "rss", 32 + 50 / 4, None, 1024),
    Goal("startup", "CPU ms", "each", 10),
    Goal("startup", "RSS MiB", "rss", 8, None, 1024),
]


def figure(found, goal, name):
    """The median that the goal is about, or None if it was not measured."""
    of = found.get(goal.workload, {}).get(name)
    if not of or not goal.without:
        return of and of[goal.field]
    less = found.get(goal.without, {}).get(name)
    return less and of[goal.field] - less[goal.field]


def table(found):
    """found: workload -> name -> {field: median}. None if no goal can be judged."""
    rows = []
    for goal in GOALS:
        own, other = figure(found, goal, report.BASE), figure(found, goal, goal.peer)
        if not own or (goal.peer and not other):
            continue
        reached = own / (other if goal.peer else goal.unit)
        against = f"{goal.what} / {goal.peer}" if goal.peer else goal.what
        rows.append([f"{goal.workload}: {against}", f"≤ {goal.limit:g}", report.number(reached),
                     "yes" if reached <= goal.limit else "**no**"])
    return report.table(["goal", "limit", "measured", "met"], rows) if rows else None
