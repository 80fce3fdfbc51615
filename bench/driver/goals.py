"""What sshlua has to reach, as ratios to a peer in the same run or as plain limits."""
import collections

import report

# limit: on sshlua's figure divided by the peer's, or by `unit` where there is no peer.
Goal = collections.namedtuple("Goal", "workload what field limit peer unit", defaults=(None, 1))

GOALS = [
    Goal("fanout-100", "CPU", "cpu", 1.0, "go"),
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
    Goal("startup", "CPU ms", "each", 10),
    Goal("startup", "RSS MiB", "rss", 8, None, 1024),
]


def table(found):
    """found: workload -> name -> {field: median}. None if no goal can be judged."""
    rows = []
    for goal in GOALS:
        of = found.get(goal.workload, {})
        own, other = of.get(report.BASE), of.get(goal.peer)
        if not own or (goal.peer and not other):
            continue
        reached = own[goal.field] / (other[goal.field] if goal.peer else goal.unit)
        against = f"{goal.what} / {goal.peer}" if goal.peer else goal.what
        rows.append([f"{goal.workload}: {against}", f"≤ {goal.limit:g}", report.number(reached),
                     "yes" if reached <= goal.limit else "**no**"])
    return report.table(["goal", "limit", "measured", "met"], rows) if rows else None
