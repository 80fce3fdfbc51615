"""An SSH server that breaks the rules after authentication, for spec/engine/evil_spec.lua. The command that a channel
runs says how. Needs AsyncSSH; prints its port."""

import asyncio
import sys
import warnings

warnings.filterwarnings("ignore")
import asyncssh  # noqa: E402
from asyncssh.packet import Boolean, Byte, String, UInt32  # noqa: E402

OPEN_CONFIRMATION, WINDOW_ADJUST, DATA, EXTENDED_DATA, EOF, CLOSE, REQUEST, SUCCESS, FAILURE = range(91, 100)
OPEN_CONFIRMATION, OPEN_FAILURE, WINDOW_ADJUST, DATA, EXTENDED_DATA, EOF, CLOSE, REQUEST, SUCCESS, FAILURE = range(91, 101)
FILLER = b"\0" * 30000


class Evil:
    """What a channel can be told to do: each method is a command."""

    def __init__(self, process):
        self.process = process
        self.channel = process.channel
        self.connection = process.get_extra_info("connection")

    def send(self, kind, *parts):
        self.connection.send_packet(kind, *parts)

    def about(self, kind, *parts):
        self.send(kind, UInt32(self.channel._send_chan), *parts)

    def status(self, code):
        self.about(REQUEST, String("exit-status"), Boolean(False), UInt32(code))

    def end(self, code=3):
        self.status(code)
        self.about(EOF)
        self.about(CLOSE)

    async def crowd(self, send, seconds, size):
        """send() for some seconds, as fast as the other side reads."""
        loop = asyncio.get_running_loop()
        until = loop.time() + float(seconds)
        transport = self.connection._transport
        while loop.time() < until and not transport.is_closing():
            for _ in range(100):
                send()
            while transport.get_write_buffer_size() > 1 << 20 and loop.time() < until:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0)

    async def flood(self, kind, seconds, size="30000"):
        """A stream of one kind of message, then a proper end."""
        body = FILLER[:int(size)]
        await self.crowd(lambda: self.send(int(kind), body), seconds, size)
        self.end()

    async def flood_channel(self, kind, seconds):
        """Answers for this channel that nobody asked for."""
        await self.crowd(lambda: self.about(int(kind)), seconds, 5)
        self.end()

    async def flood_other_channel(self, kind, seconds):
        """The same for a number that nobody uses."""
        await self.crowd(lambda: self.send(int(kind), UInt32(77), FILLER[:64]), seconds, 70)
        self.end()

    async def ask_and_ask(self, seconds):
        """Global requests that want an answer, from a server that does not read."""
        self.connection._transport.pause_reading()
        await self.crowd(lambda: self.send(80, String("x"), Boolean(True)), seconds, 6)
        self.connection._transport.resume_reading()
        self.end()

    async def disconnect(self):
        """Output, the exit status, and good-bye in one breath."""
        self.about(DATA, String(b"o" * 30000))
        self.about(EXTENDED_DATA, UInt32(1), String(b"e" * 30000))
        self.status(3)
        self.send(1, UInt32(11), String("gone fishing"), String(""))
        await asyncio.sleep(0.05)
        self.connection._transport.close()

    async def two_statuses(self):
        self.about(DATA, String(b"x"))
        self.status(3)
        self.status(0)
        self.about(REQUEST, String("exit-signal"), Boolean(False), String("KILL"), Boolean(False), String(""), String(""))
        self.end(0)

    async def no_status(self):
        self.about(DATA, String(b"x"))
        self.about(EOF)
        self.about(CLOSE)

    async def close_without_eof(self):
        self.about(DATA, String(b"x"))
        self.status(3)
        self.about(CLOSE)

    async def data_after_eof(self):
        self.about(DATA, String(b"a"))
        self.about(EOF)
        await asyncio.sleep(0.1)
        self.about(DATA, String(b"b"))
        self.end()

    async def silence(self):
        await asyncio.sleep(30)

    async def close_unanswered(self):
        """Never begun: on_request closes the channel in place of an answer."""

    async def short_messages(self):
        """Each message of the channel protocol, cut short at every length."""
        for kind in range(90, 101):
            full = UInt32(self.channel._send_chan) + String(b"exit-status") + Boolean(False) + UInt32(1)
            for n in range(len(full)):
                if kind != CLOSE and kind != EOF and not (kind == DATA and n >= 8):
                    self.send(kind, full[:n])
        self.end()

    async def new_host_key(self):
        """Another host key in a second key exchange."""
        conn = self.connection
        key = asyncssh.generate_private_key("ssh-ed25519")
        conn._server_host_keys = {key.algorithm: asyncssh.load_keypairs(key)[0]}
        conn._server_host_key_algs = [key.algorithm]
        conn._send_kexinit()
        conn._kexinit_sent = True
        await asyncio.sleep(1)
        self.end()

    async def rekey(self, times):
        conn = self.connection
        for _ in range(int(times)):
            conn._send_kexinit()
            conn._kexinit_sent = True
            while conn._kex or conn._kexinit_sent:
                await asyncio.sleep(0.001)
        self.end()

    async def odd_length(self):
        """A packet that does not end with a block of the cipher, properly authenticated."""
        seal = self.connection._send_encryption.encrypt_packet

        def odd(seq, header, packet):
            return seal(seq, UInt32(len(packet) + 1), packet + b"\0")

        self.connection._send_encryption.encrypt_packet = odd
        self.about(DATA, String(b"x"))
        await asyncio.sleep(1)

    async def kexinit_twice(self):
        conn = self.connection
        conn._send_kexinit()
        conn._send_kexinit()
        conn._kexinit_sent = True
        await asyncio.sleep(1)


async def handle(process):
    words = process.command.split()
    evil = Evil(process)
    await getattr(evil, words[0])(*words[1:])


class Deaf:
    """A channel that takes whatever comes for it."""

    def __getattr__(self, name):
        return lambda *args, **kwargs: True


def evil_open(connection, how, chan):
    """A direct-tcpip channel, asked for with the client's number of it. The name of the host says how it goes."""
    ours = 1000 + chan
    connection._channels[ours] = Deaf()

    def about(kind, *parts):
        connection.send_packet(kind, UInt32(chan), *parts)

    def confirm(window=1 << 20, packet=32768):
        about(OPEN_CONFIRMATION, UInt32(ours), UInt32(window), UInt32(packet))

    def refuse(text="no"):
        about(OPEN_FAILURE, UInt32(2), String(text), String(""))

    def twice():
        confirm()
        confirm(5, 5)
        about(DATA, String(b"SSH-2.0-x\r\n"))
        about(CLOSE)

    def both():
        refuse()
        confirm()
        about(DATA, String(b"x"))

    def data_first():
        about(DATA, String(FILLER))
        about(WINDOW_ADJUST, UInt32(77))
        about(EOF)
        confirm()

    def short():
        connection.send_packet(OPEN_CONFIRMATION, UInt32(chan), UInt32(1))

    def zero():
        confirm(0, 0)
        about(DATA, String(b"SSH-2.0-x\r\n"))

    def huge():
        confirm(0xffffffff, 0xffffffff)
        about(WINDOW_ADJUST, UInt32(0xffffffff))
        about(DATA, String(b"SSH-2.0-x\r\n"))

    def other_stream():
        confirm()
        for _ in range(40):
            about(EXTENDED_DATA, UInt32(1), String(FILLER))
        about(EOF)

    def flood():
        confirm()
        for _ in range(400):
            about(DATA, String(FILLER))

    def closed():
        about(CLOSE)

    def long_words():
        refuse("\x1b[31m" + "w" * 30000)

    def silence():
        pass

    locals()[how]()


process_channel_open = asyncssh.connection.SSHConnection._process_channel_open


def on_channel_open(self, pkttype, pktid, packet):
    at = packet._idx
    if packet.get_string() == b"direct-tcpip":
        chan = packet.get_uint32()
        packet.get_uint32(), packet.get_uint32()
        evil_open(self, packet.get_string().decode(), chan)
        return None
    packet._idx = at
    if self.get_extra_info("username") == "early":
        packet.get_string()
        chan = packet.get_uint32()
        packet._idx = at
        self.send_packet(EOF, UInt32(chan))
        self.send_packet(CLOSE, UInt32(chan))
    return process_channel_open(self, pkttype, pktid, packet)


asyncssh.connection.SSHConnection._packet_handlers[90] = on_channel_open

process_request = asyncssh.channel.SSHChannel._process_request


def on_request(self, pkttype, pktid, packet):
    """Channels that are closed without an answer: those of a user, and for a command."""
    if b"close_unanswered" in packet._packet:
        self.send_packet(CLOSE)
    elif self._conn.get_extra_info("username") != "early":
        process_request(self, pkttype, pktid, packet)


asyncssh.channel.SSHChannel._packet_handlers[REQUEST] = on_request


class Server(asyncssh.SSHServer):
    def begin_auth(self, username):
        return False


async def main():
    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.listen("127.0.0.1", 0, server_factory=Server, server_host_keys=[key],
                                   process_factory=handle, encoding=None, line_editor=False,
                                   encryption_algs=["aes128-gcm@openssh.com", "aes128-ctr", "aes128-cbc"],
                                   mac_algs=["hmac-sha2-256", "hmac-sha2-256-etm@openssh.com"], kex_algs=["curve25519-sha256"])
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
