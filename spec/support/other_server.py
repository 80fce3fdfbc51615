"""An SSH server that is not OpenSSH: AsyncSSH, with its own SFTP and SCP, and a shell for commands. Anybody may log in;
it listens on loopback for one spec, prints its port, and ends with its standard input."""

import asyncio
import sys
import warnings

warnings.filterwarnings("ignore")
import asyncssh  # noqa: E402


class Open(asyncssh.SSHServer):
    def begin_auth(self, username):
        return False


async def run(process):
    command = process.command or "true"
    child = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE)
    await process.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
    process.exit(await child.wait())


async def main():
    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.create_server(
        Open, "127.0.0.1", 0, server_host_keys=[key], sftp_factory=True, process_factory=run, encoding=None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


asyncio.run(main())
