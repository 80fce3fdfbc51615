"""The clients that are compared: what each is called, how it is started, whether it is there.

All take one command line (see README.md). Knows nothing of workloads or statistics.
"""
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = os.path.join(os.path.dirname(HERE), "peers")

KEX = "curve25519-sha256"
CIPHER = "aes128-gcm@openssh.com"
OWN_CHOICE = "own"  # the client's own order of algorithms

SSHLUA = "sshlua"


class Peer:
    def __init__(self, name, argv, missing=None, kex=KEX, cipher=CIPHER, many=False, share=1,
                 verbs=None):
        self.name = name
        self.argv = argv
        self.missing = missing  # why it cannot run here, or None
        self.kex = kex
        self.cipher = cipher
        self.many = many  # a process for each host
        self.share = share  # takes 1/share of bulk data; its figures are multiplied
        self.verbs = verbs or {}  # verbs that it calls by another name


def absent(program):
    return None if os.access(program, os.X_OK) else f"no {os.path.basename(program)}"


def asyncssh_missing():
    found = subprocess.run([sys.executable, "-c", "import asyncssh"], capture_output=True)
    return None if found.returncode == 0 else "no python3-asyncssh"


def sshlua_missing(program):
    return None if shutil.which(program) else f"no program {program} (SSHLUA names it)"


def all_peers():
    """Name -> Peer, in the order in which they run and are shown."""
    build = os.environ["BENCH_BUILD"]
    sshlua = os.path.abspath(os.environ["SSHLUA"])
    go, libssh = os.path.join(build, "go-client"), os.path.join(build, "libssh-client")
    ssh = [os.path.join(PEERS, "ssh.sh")]
    fleet = [os.path.join(PEERS, "fleet.sh")]
    tools = {"clush": "clush", "pdsh": "pdsh", "pssh": "parallel-ssh", "ansible": "ansible"}
    no_ssh = None if shutil.which("ssh") else "no ssh"
    peers = [
        Peer(SSHLUA, [sshlua, os.path.join(PEERS, "sshlua.lua")], sshlua_missing(sshlua)),
        Peer("go", [go], absent(go)),
        Peer("libssh", [libssh], absent(libssh)),
        Peer("asyncssh", [sys.executable, os.path.join(PEERS, "asyncssh_client.py")],
             asyncssh_missing(), share=4),
        Peer("ssh", ssh, no_ssh, many=True),
        Peer("ssh, own kex", ssh, no_ssh, kex=OWN_CHOICE, many=True),
        Peer("ssh, own cipher", ssh, no_ssh, cipher=OWN_CHOICE, many=True),
        Peer("ssh, fed by head", ssh, no_ssh, many=True, verbs={"up": "up-fed"}),
    ]
    for name, program in tools.items():
        missing = None if shutil.which(program) else f"no {program}"
        peers.append(Peer(name, fleet + [name], missing, many=True))
    return {peer.name: peer for peer in peers}


def startup_commands():
    """Name -> argv of programs that do nothing, to compare start-up alone."""
    commands = {
        SSHLUA: [os.path.abspath(os.environ["SSHLUA"]), "-e", ""],
        "lua5.4": ["lua5.4", "-e", ""],
        "ssh -V": ["ssh", "-V"],
        "python3, import asyncssh": [sys.executable, "-c", "import asyncssh"],
    }
    return {name: argv for name, argv in commands.items() if shutil.which(argv[0])}
