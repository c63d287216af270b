# SPDX-License-Identifier: Apache-2.0
"""usage: server.py NAME PORT: answers every HTTP request with NAME."""
import socketserver
import sys


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while (line := self.rfile.readline(4096)) not in (b"", b"\r\n"):
            pass
        name = sys.argv[1].encode()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(name), name))


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256


Server(("0.0.0.0", int(sys.argv[2])), Handler).serve_forever()
