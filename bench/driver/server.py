"""The server side: keys, lists of hosts, known_hosts files and one private OpenSSH sshd.

One sshd answers on every 127.x.y.z address, so each address is a host to the clients. It is
ended by its pid. Knows nothing of clients.
"""
import fcntl
import os
import pwd
import re
import shutil
import socket
import struct
import subprocess
import time

import procs

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
RUN_DIR = "/run/sshd"  # sshd run by root insists on this empty directory; others may use it too
START_TIMEOUT = 10
STOP_TIMEOUT = 5

# HOME: under sshd, bash reads ~/.bashrc even for one command; the user's must not be measured.
# PerSourcePenalties exists since OpenSSH 9.8: the checks' failed logins must not count.
CONFIG = """
Port {port}
ListenAddress 0.0.0.0
HostKey {host_key}
AuthorizedKeysFile {authorized_keys}
AllowUsers {user}@127.*
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
UsePAM {use_pam}
StrictModes no
PermitUserRC no
SetEnv HOME={work}
UseDNS no
PidFile none
MaxStartups 10000
MaxSessions 100
Subsystem sftp {sftp}
LoginGraceTime 300
LogLevel {log_level}
{optional}
"""
OPTIONAL = ["PerSourcePenalties no"]


def bring_loopback_up():
    """A new network namespace starts with its loopback down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        _, flags = struct.unpack("16sh14x", fcntl.ioctl(control, SIOCGIFFLAGS, request))
        if not flags & IFF_UP:
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def new_key(path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", path],
                   check=True, stdin=subprocess.DEVNULL)


def public_key(path):
    with open(path + ".pub") as file:
        return " ".join(file.read().split()[:2])


def locked(user):
    """Without PAM, sshd admits nobody whose password field begins with "!"."""
    try:
        with open("/etc/shadow") as shadow:
            return any(line.startswith(user + ":!") for line in shadow)
    except OSError:
        return False


def sftp_server():
    """OpenSSH's own program: another process, as people have it."""
    for path in ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server"):
        if os.access(path, os.X_OK):
            return path
    return "internal-sftp"


def address(index):
    return f"127.1.{index // 250}.{index % 250 + 1}"


class Server:
    """Keys and files live in `work`. start() and stop() may be repeated."""

    def __init__(self, work):
        self.sshd = shutil.which("sshd", path=PATH)
        if not self.sshd:
            raise FileNotFoundError("sshd: install openssh-server")
        self.work = work
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.key = os.path.join(work, "id_ed25519")
        self.log = os.path.join(work, "sshd.log")
        self._process = None
        bring_loopback_up()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        for name in ("id_ed25519", "host_key", "other_key"):
            new_key(os.path.join(work, name))

    def host_files(self, count, key="host_key"):
        """Paths of a list of `count` hosts and of a known_hosts file with just these."""
        hosts = os.path.join(self.work, f"hosts-{count}")
        known = os.path.join(self.work, f"known_hosts-{key}-{count}")
        if not os.path.exists(known):
            public = public_key(os.path.join(self.work, key))
            addresses = [address(index) for index in range(count)]
            with open(hosts, "w") as file:
                file.writelines(f"{host}\n" for host in addresses)
            with open(known, "w") as file:
                file.writelines(f"[{host}]:{self.port} {public}\n" for host in addresses)
                file.write(f"bench {public}\n[bench]:{self.port} {public}\n")  # host_key_alias
        return hosts, known

    def start(self, log_level):
        if os.geteuid() == 0:
            os.makedirs(RUN_DIR, 0o755, exist_ok=True)
        config = self._write_config(log_level)
        self._process = subprocess.Popen(
            [self.sshd, "-D", "-f", config, "-E", self.log], stdin=subprocess.DEVNULL,
            start_new_session=True, preexec_fn=procs.die_with_parent)
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("sshd did not start: " + self.read_log())
            time.sleep(0.05)

    def stop(self):
        if self._process:
            self._process.terminate()  # sessions end by themselves with their clients
            try:
                self._process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def connections(self):
        return len(procs.children(self._process.pid))

    def read_log(self):
        with open(self.log, errors="replace") as log:
            return log.read()

    def _write_config(self, log_level):
        authorized = os.path.join(self.work, "authorized_keys")
        with open(authorized, "w") as file:
            file.write(public_key(self.key) + "\n")
        config = os.path.join(self.work, "sshd_config")
        values = dict(port=self.port, user=self.user, work=self.work, log_level=log_level,
                      host_key=os.path.join(self.work, "host_key"), authorized_keys=authorized,
                      sftp=sftp_server(),
                      use_pam="yes" if locked(self.user) else "no", optional="")
        with open(config, "w") as file:
            file.write(CONFIG.format(**values))
        for line in OPTIONAL:
            option = ["-o", line.replace(" ", "=")]
            if subprocess.run([self.sshd, "-t", "-f", config] + option,
                              capture_output=True).returncode == 0:
                values["optional"] += line + "\n"
        with open(config, "w") as file:
            file.write(CONFIG.format(**values))
        return config

    def _answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                return re.match(b"SSH-2.0-", probe.recv(64)) is not None
        except OSError:
            return False
