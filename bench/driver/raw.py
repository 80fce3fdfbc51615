"""What the relay itself lets through: a raw TCP stream, without a delay and with 50 ms of round trip.

    SSHLUA=build-release/sshlua /usr/bin/python3 bench/driver/raw.py
"""
import os
import socket
import threading
import time
import types

os.environ.setdefault("SSHLUA", "build-release/sshlua")

import transfers  # noqa: E402 (it reads SSHLUA)

SIZE = 100 << 20
BLOCK = bytes(256 << 10)


def drain(listener):
    """Reads one connection to its end, then says so with one byte."""
    connection, _ = listener.accept()
    with connection:
        while connection.recv(len(BLOCK)):
            pass
        connection.sendall(b".")


def seconds(delay):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=drain, args=(listener,), daemon=True).start()
        relay = transfers.Relay(types.SimpleNamespace(port=listener.getsockname()[1]), delay)
        try:
            start = time.monotonic()
            with socket.create_connection((relay.address, int(relay.port)), 60) as stream:
                for _ in range(SIZE // len(BLOCK)):
                    stream.sendall(BLOCK)
                stream.shutdown(socket.SHUT_WR)
                stream.recv(1)
            return time.monotonic() - start
        finally:
            relay.stop()


for delay in (0, 0.025):
    took = seconds(delay)
    print(f"{delay * 2000:.0f} ms of round trip: {SIZE >> 20} MiB in {took:.2f} s, {(SIZE >> 20) / took:.0f} MiB/s")
