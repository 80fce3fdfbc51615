"""An SFTP server that lies, for `Subsystem sftp python3 sftp_liar.py FILE`: the first line of FILE says how.

It has one file, /f, of SIZE bytes, and one directory, /d. What is not a lie is right."""
import os
import struct
import sys
import time

SIZE = 300000
DATA = bytes((i * 7 + i // 251) & 255 for i in range(SIZE))
MODE = open(sys.argv[1]).readline().strip()
IN, OUT = sys.stdin.buffer, sys.stdout.buffer
held = []
wrong = []


def string(b):
    return struct.pack(">I", len(b)) + b


def packet(kind, body):
    return struct.pack(">IB", len(body) + 1, kind) + body


def emit(raw):
    OUT.write(raw)
    OUT.flush()


def send(kind, rid, body=b""):
    raw = packet(kind, struct.pack(">I", rid) + body)
    if MODE == "reversed":
        held.append(raw)
        return
    emit(raw)
    if MODE == "twice" and kind != 2:
        emit(raw)


def release():
    """Answers in the wrong order, as soon as no more requests are there to be read."""
    import select
    if held and not select.select([IN.fileno()], [], [], 0.02)[0]:
        for raw in reversed(held):
            emit(raw)
        held.clear()


def status(rid, code, text=b"words"):
    send(101, rid, struct.pack(">I", code) + string(text) + string(b""))


def attrs(size=SIZE, mode=0o100644):
    return struct.pack(">IQI", 5, size, mode)


def name(n, mode=0o100644):
    return string(n) + string(b"-rw------- " + n) + attrs(1, mode)


EVIL = [b"..", b".", b"a/b", b"/etc/passwd", b"", b"nul\0", b"good\x1b[31m", b"plain"]
seen = {}


DIRECTORY, LINK = 0o040755, 0o120777
TREES = {
    # a link and then a directory of the same name, and the other way round
    "twins": [(b"x", LINK), (b"x", DIRECTORY), (b"y", DIRECTORY), (b"y", LINK), (b"plain", 0o104755)],
    "links": [(b"abs", LINK), (b"up", LINK)],
    "deep": [(b"d", DIRECTORY)],
    "endless-data": [(b"f", 0o100644)],
}


def readdir(rid, h):
    n = seen[h] = seen.get(h, 0) + 1
    if MODE in TREES:
        if n > 1 or MODE != "deep" and not h.endswith(b":/d"):
            return status(rid, 1)
        return send(104, rid, struct.pack(">I", len(TREES[MODE])) + b"".join(name(*x) for x in TREES[MODE]))
    if MODE == "endless":
        send(104, rid, struct.pack(">I", 0))
    elif MODE == "count":
        send(104, rid, struct.pack(">I", 0x7fffffff) + name(b"x"))
    elif MODE == "name-cut":
        send(104, rid, struct.pack(">I", 1) + string(b"x") + struct.pack(">I", 500) + b"y" * 20)
    elif n == 1:
        send(104, rid, struct.pack(">I", len(EVIL)) + b"".join(name(x) for x in EVIL))
    else:
        status(rid, 1)


def read(rid, offset, count):
    if MODE == "more":
        return send(103, rid, string(b"x" * (count + 1)))
    if MODE == "zero":
        return send(103, rid, string(b""))
    if MODE == "lie-count":
        return send(103, rid, struct.pack(">I", count) + b"abc")
    if MODE == "half":
        emit(packet(103, struct.pack(">I", rid) + string(b"x" * 1000))[:600])
        sys.exit(0)
    if MODE == "read-ok":
        return status(rid, 0)
    if MODE == "hang":
        return None
    if MODE == "endless-data":
        return send(103, rid, string(b"x" * count))
    end = SIZE // 2 if MODE == "early-eof" else SIZE
    if MODE == "hole" and 100000 <= offset < 200000:
        return status(rid, 1)
    if offset >= end:
        return status(rid, 1)
    most = {"short": 1000, "tiny": 1}.get(MODE, count)
    return send(103, rid, string(DATA[offset:min(end, offset + min(count, most))]))


def handle(kind, rid, body):
    if MODE == "write-early" and b"posix-rename" in body:
        return status(rid, 0)
    if kind == 200 and not MODE.endswith("limits"):
        return status(rid, 8)  # never offered: no occasion to lie
    if MODE == "unknown-id":
        return status(rid + 77, 0)
    if MODE == "wrong-type":
        return send(105 if kind != 17 else 102, rid, string(b"h"))
    if MODE == "huge":
        return emit(b"\xff\xff\xff\xff" + b"x" * 100)
    if MODE == "status-cut":
        return send(101, rid, b"\0\0")
    if MODE == "status-bare":
        return send(101, rid, struct.pack(">I", 3))
    if MODE == "status-odd":
        return status(rid, 99, b"\x1b]0;owned\x07 odd")
    if MODE == "die":
        print("liar: out of memory", file=sys.stderr)
        sys.stderr.flush()
        sys.exit(1)
    if kind in (3, 11):
        if MODE == "open-ok":
            return status(rid, 0)
        if MODE == "long-handle":
            return send(102, rid, string(b"h" * 257))
        return send(102, rid, string(b"h:" + body[4:] if kind == 11 and MODE in TREES else b"handle\0\1"))
    if kind == 4:
        fails = MODE == "close-fails" or wrong
        return status(rid, 4 if fails else 0, b"Other bytes came" if wrong else b"No space left on device")
    if kind == 5:
        at = 4 + struct.unpack(">I", body[:4])[0]
        return read(rid, *struct.unpack(">QI", body[at:at + 12]))
    if kind == 6:
        if MODE == "write-early":
            return None
        if MODE == "write-twice":
            status(rid, 0)
        return status(rid, 4 if MODE == "write-fails" else 0, b"Disk quota exceeded")
    if kind == 12:
        return readdir(rid, body)
    if kind in (7, 8, 17):
        if MODE == "attrs-cut":
            return send(105, rid, attrs()[:9])
        if MODE == "attrs-many":
            return send(105, rid, struct.pack(">II", 0x80000000, 0xffffffff))
        if body[4:] == b"/d" or MODE == "deep":
            return send(105, rid, attrs(1, DIRECTORY))
        return send(105, rid, attrs())
    if kind in (16, 19):
        if kind == 19 and MODE in TREES:
            return send(104, rid, struct.pack(">I", 1) + name(b"/etc" if b"abs" in body else b"x/../../../etc"))
        names = {"two-names": name(b"/x") * 2, "nul-name": name(b"a\0b")}.get(MODE, name(b"/x"))
        return send(104, rid, struct.pack(">I", 2 if MODE == "two-names" else 1) + names)
    if kind == 200:
        io = 1 if MODE == "tiny-limits" else 255000
        big = 2 ** 64 - 1
        return send(201, rid, struct.pack(">QQQQ", 262144, big if MODE == "big-limits" else io, io, 0))
    return status(rid, 0)


def body_of(kind, length):
    """With "write-early" a WRITE is answered when its head is there, and what follows must be the bytes of DATA, again
    and again."""
    if MODE != "write-early" or kind != 6:
        return IN.read(length)
    head = IN.read(8)
    rid, n = struct.unpack(">II", head)
    head += IN.read(n + 12)
    offset, size = struct.unpack(">QI", head[-12:])
    status(rid, 0)
    payload = IN.read(size)
    at = offset % SIZE
    if payload != (DATA[at:] + DATA * (size // SIZE + 1))[:size]:
        wrong.append(offset)
    return head + payload


def main():
    if MODE == "text":
        emit(b"Last login: never\n")
    if MODE == "exit":
        sys.exit("liar: no such service")
    if MODE == "silent":
        time.sleep(60)
        sys.exit(0)
    while True:
        head = IN.read(5)
        if len(head) < 5:
            return
        length, kind = struct.unpack(">IB", head)
        body = body_of(kind, length - 1)
        if kind == 1:
            version = {"version-2": 2, "version-6": 6}.get(MODE, 3)
            ext = string(b"posix-rename@openssh.com") + string(b"1")
            if MODE.endswith("limits"):
                ext += string(b"limits@openssh.com") + string(b"1")
            emit(packet(2, struct.pack(">I", version) + (ext[:-2] if MODE == "ext-cut" else ext)))
        else:
            handle(kind, struct.unpack(">I", body[:4])[0], body[4:])
        release()


try:
    main()
except BrokenPipeError:
    os._exit(0)
