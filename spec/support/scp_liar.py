"""An scp on the far side that lies: said once at start, in a file that names the lie."""
import os
import sys

LIES = {
    "honest": b"C0644 5 name\nhello\0",
    "other": b"C0644 5 evil\nhello\0",
    "up": b"C0644 5 ../evil\nhello\0",
    "absolute": b"C0644 5 /tmp/evil\nhello\0",
    "dots": b"D0755 0 ..\nC0644 5 evil\nhello\0E\n",
    "directory": b"D0755 0 name\nC0644 5 evil\nhello\0E\n",
    "two": b"C0644 5 name\nhello\0C0644 5 evil\nhello\0",
    "huge": b"C0644 99999999999999999999 name\nhello\0",
    "large": b"C0644 99999999999999 name\nhello\0",
    "negative": b"C0644 -1 name\nhello\0",
    "mode": b"C9999 5 name\nhello\0",
    "nul": b"C0644 5 na\0me\nhello\0",
    "short": b"C0644 500 name\nhello",
    "endless": b"C" * 100000,
    "end": b"E\n",
    "times": b"T99999999999999999999 0 0 0\nC0644 5 name\nhello\0",
    "words": b"\x01scp: \x1b[31mno\x07 such\r thing\n",
    "fatal": b"\x02scp: \x1b[31mgo away\n",
    "nothing": b"",
    "bad": b"C0644 5 name\nhelloX",
    "tree": b"D0755 0 dir\nC0644 5 a\nhello\0E\n",
    "twins": b"D0755 0 dir\nC0644 5 a\nhello\0C0644 5 a\nagain\0E\n",
    "open": b"D0755 0 dir\nC0644 5 a\nhello\0",
    "more": b"D0755 0 dir\nE\nE\n",
    "second": b"D0755 0 dir\nE\nD0755 0 dir2\nE\n",
    "inside": b"D0755 0 dir\nD0755 0 a/b\nE\nE\n",
    "deep": b"D0755 0 dir\n" + b"D0755 0 x\n" * 200,
    "no": b"\x01scp: no\n",
    "what": b"what?",
}


def main():
    with open(sys.argv[1]) as file:
        how = file.read().strip()
    os.write(1, LIES.get(how, b""))
    if how == "silent":
        while os.read(0, 65536):
            pass
    os.close(1)


main()
