"""KubeApi: a fake of Kubernetes' API server, over TLS: one object, and whatever else it is told to answer.

    api = KubeApi(lab)
    api.object({"status": …})        # 200 and that object from now on
    api.answer(403, b"…")            # or anything; delay=S: S seconds late, None: never
    api.options()                    # words of weirctl k8s-candidate that lead here
    api.requests                     # [(path, Authorization)]
"""

import http.server
import json
import ssl
import threading

from .process import free_port
from .tls import Ca


class KubeApi:
    def __init__(self, lab):
        self.lab = lab
        self.ca = Ca(lab, "kube-ca")
        pair = self.ca.issue("kubernetes.default.svc", ips=("127.0.0.1",))
        self.token = lab.path("kube-token")
        self.token.write_text("first-token\n")
        self.requests = []
        self.released = threading.Event()
        self.answer(404, b'{"kind":"Status","code":404}')
        self.port = free_port()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), self._handler(), False)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # whoever checks certificates may leave in the middle
        self.server.server_bind()
        self.server.server_activate()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.file, pair.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        lab.at_close(self.close)

    def answer(self, status, body, headers=None, never=False):
        self.next = (status, body, headers or {}, never)

    def object(self, value):
        self.answer(200, json.dumps(value).encode())

    def ingress(self, *entries):
        self.object({"kind": "Service", "spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": list(entries)}}})

    def options(self, ca=None):
        return ["--api", f"127.0.0.1:{self.port}", "--ca", ca or self.ca.file, "--token", self.token]

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def _handler(fake):  # pylint: disable=no-self-argument
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                fake.requests.append((self.path, self.headers["Authorization"]))
                status, body, headers, never = fake.next
                if never:
                    fake.released.wait(30)
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass
        return Handler
