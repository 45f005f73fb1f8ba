"""The traffic of the carrier's measurement: one phone that asks and waits for the answer, again and again.

Run as a process of its own, `python -m tests.bench.phone HOST PORT FILE`; every exchange is noted in a `probe.Log`.
"""

from __future__ import annotations

import errno
import socket
import sys
import time

from tests.bench.probe import Log

ECHO = """
use IO::Socket::INET; $SIG{TERM} = sub { exit 0 }; $SIG{CHLD} = "IGNORE";
my $door = IO::Socket::INET->new(LocalPort => 8080, Listen => 64, ReuseAddr => 1) or die "no port: $!";
while (1) {
    my $phone = $door->accept or next;
    if (fork == 0) { while (sysread $phone, my $asked, 1) { syswrite $phone, $asked } exit }
    close $phone;
}
"""
"""What answers: a service that sends back every byte."""


def main() -> None:
    """Ask for ever; an exchange that fails is noted, and tried again over a new connection."""
    host, port, path = sys.argv[1:]
    log = Log(path)
    door: socket.socket | None = None
    while True:
        begun = time.monotonic_ns()
        failed = 0
        try:
            if door is None:
                door = socket.create_connection((host, int(port)))
                door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            door.sendall(b"?")
            failed = 0 if door.recv(1) else errno.ECONNRESET
        except OSError as error:
            failed = error.errno or errno.EIO
        if failed and door is not None:
            door.close()
            door = None
        log.add(begun, time.monotonic_ns(), failed)


if __name__ == "__main__":
    main()
