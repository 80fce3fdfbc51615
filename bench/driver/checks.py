"""Before anything is measured: does each client do what it is measured for?

With a server that logs everything, each peer must use the agreed algorithms, refuse a host
key that is not the known one without trying to log in, and fail when the command fails.
"""
import client
import peers
import workloads

ONE = workloads.Workload("check", "", "one", timeout=60)
FAILS = "exit 3"


def complaint(peer, server):
    """What is wrong with the peer, or None."""
    try:
        mark = len(server.read_log())
        ONE.run(peer, server)
        log = server.read_log()[mark:]
    except client.RunFailed as failure:
        return f"cannot run a command: {failure}"
    for wanted in expected_lines(peer):
        if wanted not in log:
            return f"the server's log does not say {wanted!r}"

    mark = len(server.read_log())
    if succeeds(peer, server, known_key="other_key"):
        return "accepted a host key that is not the known one"
    if "userauth-request" in server.read_log()[mark:]:
        return "tried to log in though the host key is not the known one"
    if succeeds(peer, server, command=FAILS):
        return f"took the exit status of `{FAILS}` for success"
    return None


def expected_lines(peer):
    lines = ["Accepted publickey", "ED25519"]
    if peer.kex != peers.OWN_CHOICE:
        lines.append("kex: algorithm: " + peer.kex)
    if peer.cipher != peers.OWN_CHOICE:
        lines += [f"kex: {way} cipher: {peer.cipher}"
                  for way in ("client->server", "server->client")]
    return lines


def succeeds(peer, server, **changed):
    argv = ONE.arguments(peer, server, **changed)
    try:
        client.run(argv, server.work, 1, ONE.timeout)
        return True
    except client.RunFailed:
        return False
