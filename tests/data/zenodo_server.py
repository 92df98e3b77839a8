"""A record of Zenodo on this machine's loopback: its JSON, its files with ranges, and how they may go wrong."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Archive:
    """What the server gives, and what it was asked.

    Attributes:
        files: name → content.
        cuts: how often a file's connection is cut, each time after `cut_bytes`.
        cut_bytes: sent before that.
        knows_ranges: whether a download can go on.
        checksums: name → another checksum than the right one.
        record: what is answered in place of the record, if anything.
        asked: paths and ranges, in order.
    """

    files: Mapping[str, bytes]
    cuts: int = 0
    cut_bytes: int = 1000
    knows_ranges: bool = True
    checksums: Mapping[str, str] = field(default_factory=dict)
    record: bytes | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    address: str = ""

    def document(self) -> bytes:
        """The record as Zenodo gives it, with what nobody here reads left out."""
        if self.record is not None:
            return self.record
        files = [
            {
                "key": name,
                "size": len(content),
                "checksum": self.checksums.get(name, f"md5:{hashlib.md5(content).hexdigest()}"),
                "links": {"self": f"{self.address}/files/{name}"},
            }
            for name, content in self.files.items()
        ]
        metadata = {"title": "Birds", "license": {"id": "cc-by-4.0"}}
        return json.dumps({"id": 7191406, "metadata": metadata, "files": files}).encode()


@contextlib.contextmanager
def serving(archive: Archive) -> Iterator[str]:
    """Serve an archive; gives the base address of its records."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            archive.asked.append((self.path, asked))
            if self.path == "/records/7191406":
                return self._send(archive.document())
            content = archive.files.get(self.path.removeprefix("/files/"))
            if content is None:
                return self.send_error(404)
            return self._send_file(content, asked)

        def _send_file(self, content: bytes, asked: str) -> None:
            match = re.fullmatch(r"bytes=(\d+)-", asked)
            start = int(match[1]) if match and archive.knows_ranges else 0
            self.send_response(206 if match and archive.knows_ranges else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            part = content[start:]
            if archive.cuts:
                archive.cuts -= 1
                self.wfile.write(part[: archive.cut_bytes])
                self.wfile.flush()
                self.close_connection = True
                return
            self.wfile.write(part)

        def _send(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    archive.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield f"{archive.address}/records"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
