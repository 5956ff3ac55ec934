"""
A stand-in for a DNS server on loopback: it says what a test wrote down, over UDP and TCP, and stops with its `with`.

Silence, refusals and answers that are too long for UDP are part of it.
"""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

MOST_ASKED = 5000
LONGEST = 1232  # bytes by UDP; more is said by TCP
STRING = 255


@dataclass
class Names:
    """
    `records` by name and type, such as {"news.example.org": {"TXT": ["v=spf1 -all"], "MX": ["10 mx.example.org."]}}.

    Nothing is said of what is in `silent`, and SERVFAIL of what is in `broken`; `mute` says nothing at all. Names are
    asked in any case, and kept in small letters.
    """

    records: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    mute: bool = False
    port: int = 0
    asked: Counter = field(default_factory=Counter)
    by_tcp: int = 0

    @property
    def server(self) -> str:
        return f"127.0.0.1:{self.port}"

    def put(self, name: str, kind: str, *values: str) -> None:
        self.records.setdefault(name, {})[kind] = list(values)

    def answer(self, wire: bytes) -> dns.message.Message | None:
        question = dns.message.from_wire(wire)
        asked = question.question[0]
        name, kind = asked.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(asked.rdtype)
        self.asked[name, kind] += 1
        if self.mute or name in self.silent or self.asked.total() > MOST_ASKED:
            return None
        said = dns.message.make_response(question, recursion_available=True)
        if name in self.broken:
            said.set_rcode(dns.rcode.SERVFAIL)
        elif not self._known(name):
            said.set_rcode(dns.rcode.NXDOMAIN)
        else:
            self._tell(said, name, kind)
        return said

    def _known(self, name: str) -> bool:
        return any(known == name or known.endswith(f".{name}") for known in self.records)

    def _tell(self, said: dns.message.Message, name: str, kind: str) -> None:
        own = self.records.get(name, {})
        if "CNAME" in own and kind != "CNAME":
            said.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "CNAME", *own["CNAME"]))
            self._tell(said, own["CNAME"][0].rstrip("."), kind)
        elif own.get(kind):
            values = [in_strings(value) if kind == "TXT" else value for value in own[kind]]
            said.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", kind, *values))


def in_strings(text: str) -> str:
    """A TXT record's text as a zone file has it: in strings of at most 255 characters."""
    escaped = [text[at : at + STRING].replace("\\", "\\\\").replace('"', '\\"') for at in range(0, len(text), STRING)]
    return " ".join(f'"{one}"' for one in escaped or [""])


@contextmanager
def names(**records: dict[str, list[str]]) -> Iterator[Names]:
    here, over = Names(), threading.Event()
    here.records.update(records)
    with socket.socket(type=socket.SOCK_DGRAM) as by_udp, socket.create_server(("127.0.0.1", 0)) as by_tcp:
        here.port = by_tcp.getsockname()[1]
        by_udp.bind(("127.0.0.1", here.port))
        for place in (by_udp, by_tcp):
            place.settimeout(0.05)
        threads = [
            threading.Thread(target=serve, args=(here, place, over), daemon=True)
            for serve, place in ((_serve_udp, by_udp), (_serve_tcp, by_tcp))
        ]
        for thread in threads:
            thread.start()
        yield here
        over.set()
        for thread in threads:
            thread.join(5)


def _serve_udp(here: Names, place: socket.socket, over: threading.Event) -> None:
    while not over.is_set():
        with suppress(TimeoutError):
            wire, whom = place.recvfrom(4096)
            said = here.answer(wire)
            if said is None:
                continue
            answer = said.to_wire()
            if len(answer) > LONGEST:
                said.answer.clear()
                said.flags |= dns.flags.TC
                answer = said.to_wire()
            place.sendto(answer, whom)


def _serve_tcp(here: Names, place: socket.socket, over: threading.Event) -> None:
    while not over.is_set():
        with suppress(OSError):
            connection, _ = place.accept()
            with connection:
                connection.settimeout(1)
                size = int.from_bytes(connection.recv(2), "big")
                said = here.answer(connection.recv(size))
                here.by_tcp += 1
                if said is not None:
                    answer = said.to_wire()
                    connection.sendall(len(answer).to_bytes(2, "big") + answer)
