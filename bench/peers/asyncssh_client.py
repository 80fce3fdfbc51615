"""A client of the common command line (bench/README.md) on AsyncSSH: a task for each host or
channel, key and known_hosts read once."""
import argparse
import asyncio
import sys

import asyncssh

BLOCK = bytes(32 * 1024)


class Bench:
    def __init__(self, options):
        self.options = options
        with open(options.hosts) as file:
            self.hosts = file.read().split()
        self.settings = asyncssh.SSHClientConnectionOptions(
            username=options.user, client_keys=[asyncssh.read_private_key(options.key)],
            known_hosts=asyncssh.read_known_hosts(options.known_hosts),
            server_host_key_algs=["ssh-ed25519"], kex_algs=[options.kex],
            encryption_algs=[options.cipher], compression_algs=["none"], agent_path=None,
            preferred_auth="publickey", config=None)

    def connect(self, host):
        return asyncssh.connect(host, self.options.port, config=None, options=self.settings)

    async def exec(self, connection):
        await connection.run(self.options.command, check=True, stdin=asyncssh.DEVNULL)

    async def connect_and_exec(self, host):
        async with self.connect(host) as connection:
            await self.exec(connection)

    async def at_once(self, work):
        """Runs coroutines, so many in parallel; the first failure raises."""
        slots = asyncio.Semaphore(self.options.parallel)

        async def one(coroutine):
            async with slots:
                return await coroutine

        return await asyncio.gather(*(one(coroutine) for coroutine in work))

    async def fanout(self, hosts):
        await self.at_once(self.connect_and_exec(host) for host in hosts)
        return len(hosts)

    async def one(self):
        return await self.fanout(self.hosts[:1])

    async def all(self):
        return await self.fanout(self.hosts)

    async def exec_many(self):
        async with self.connect(self.hosts[0]) as connection:
            await self.at_once(self.exec(connection) for _ in range(self.options.count))
        return self.options.count

    async def down(self):
        received = 0
        async with self.connect(self.hosts[0]) as connection:
            process = await connection.create_process(self.options.command, encoding=None)
            while block := await process.stdout.read(len(BLOCK)):
                received += len(block)
            await process.wait(check=True)
        return self.all_bytes(received)

    async def up(self):
        async with self.connect(self.hosts[0]) as connection:
            process = await connection.create_process(self.options.command, encoding=None)
            left = self.options.bytes
            while left:
                block = BLOCK[:left]
                process.stdin.write(block)
                await process.stdin.drain()
                left -= len(block)
            process.stdin.write_eof()
            result = await process.wait(check=True)
        return self.all_bytes(int(result.stdout))

    async def idle(self):
        self.halt(0)
        connections = []
        for count in (self.options.count // 2, self.options.count):
            hosts = self.hosts[len(connections):count]
            connections += await self.at_once(self.connect(host) for host in hosts)
            self.halt(count)
        for connection in connections:
            connection.close()
            await connection.wait_closed()
        return len(connections)

    async def get(self):
        return await self.copy(lambda sftp: sftp.get(self.options.source, self.options.target))

    async def put(self):
        return await self.copy(lambda sftp: sftp.put(self.options.source, self.options.target))

    async def copy(self, work):
        async with self.connect(self.hosts[0]) as connection:
            async with connection.start_sftp_client() as sftp:
                await work(sftp)
        return self.options.count

    def halt(self, count):
        print("open", count, flush=True)
        sys.stdin.readline()

    def all_bytes(self, moved):
        if moved != self.options.bytes:
            raise ValueError(f"{moved} of {self.options.bytes} bytes")
        return moved


VERBS = {"one": Bench.one, "fanout": Bench.all, "exec": Bench.exec_many, "down": Bench.down,
         "up": Bench.up, "idle": Bench.idle, "get": Bench.get, "put": Bench.put}


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=VERBS)
    for name in ("hosts", "key", "known-hosts", "user", "command", "kex", "cipher"):
        parser.add_argument("--" + name, required=True)
    for name in ("parallel", "port", "count", "bytes"):
        parser.add_argument("--" + name, type=int, required=True)
    parser.add_argument("--from", dest="source")  # get and put: one file
    parser.add_argument("--to", dest="target")
    return parser.parse_args()


def main():
    options = parse()
    try:
        print("ok", asyncio.run(VERBS[options.verb](Bench(options))))
    except (OSError, ValueError, asyncssh.Error) as error:
        sys.exit(f"asyncssh_client: {error or type(error).__name__}")


main()
