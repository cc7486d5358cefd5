"""A service with a dependency that the build installs from a vendored wheel."""
import http.server
import os
import platform

import greet

WORDS = "version one"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{greet.polite(WORDS)} Python {platform.python_version()} {os.environ['STAGE']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
