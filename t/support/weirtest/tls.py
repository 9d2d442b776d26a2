"""Certificates made by the openssl program, and clients that speak TLS.

    ca = Ca(lab)                                   # .file: the CA's certificate
    pair = ca.issue("a.test", "*.b.test")          # .file .key; the first name is its CN
    weir = lab.weir(config=tls_config(port, pair), http=True)
    with TlsConnection(port, ca, "a.test") as client:      # an HttpConnection over TLS
        client.get("/live/a.ts")
    s_client(port, "-tls1_2", servername="a.test")         # openssl s_client: (status, output)
    front = TlsFront(lab, pair, origin.rtmp_port)          # TLS before a plain server: .port
"""

import contextlib
import select
import socket
import ssl
import subprocess
import threading

from .httporigin import HttpConnection
from .process import free_port


def openssl(*argv, text=None):
    done = subprocess.run(["openssl", *map(str, argv)], input=text, capture_output=True, text=True,
                          timeout=30, check=False)
    if done.returncode != 0:
        raise AssertionError(f"openssl {argv}: {done.stderr[-1000:]}")
    return done.stdout


class Pair:
    def __init__(self, file, key):
        self.file, self.key = file, key

    def block(self, **extra):
        return {"file": self.file, "key": self.key, **extra}


class Ca:
    def __init__(self, lab, name="ca"):
        self.dir = lab.path(name)
        self.dir.mkdir()
        self.file, self.key = self.dir / "ca.pem", self.dir / "ca.key"
        self.count = 0
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", f"/CN={name}", "-days", "30", "-keyout", self.key, "-out", self.file)

    def issue(self, *names, days=30, ips=()):
        """A certificate for these DNS names (and addresses), signed by this CA."""
        self.count += 1
        stem = self.dir / f"leaf{self.count}"
        key, request, leaf = (stem.with_suffix(s) for s in (".key", ".csr", ".pem"))
        sans = ",".join([f"DNS:{n}" for n in names] + [f"IP:{ip}" for ip in ips])
        extensions = stem.with_suffix(".ext")
        extensions.write_text(f"subjectAltName={sans}\n")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", f"/CN={[*names, *ips][0]}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.key,
                "-set_serial", str(self.count + 1), "-days", str(days), "-extfile", extensions,
                "-out", leaf)
        return Pair(leaf, key)

    def ocsp(self, pair):
        """Path of an OCSP response that says `good` of that certificate."""
        serial = openssl("x509", "-in", pair.file, "-noout", "-serial").strip().partition("=")[2]
        index, out = self.dir / "index.txt", self.dir / f"ocsp-{serial}.der"
        index.write_text(f"V\t401231235959Z\t\t{serial}\tunknown\t/CN=x\n")
        openssl("ocsp", "-index", index, "-rsigner", self.file, "-rkey", self.key, "-CA", self.file,
                "-issuer", self.file, "-cert", pair.file, "-ndays", "2", "-respout", out, "-noverify")
        return out

    def context(self):
        return ssl.create_default_context(cafile=self.file)


def tls_config(port, *pairs, section="http", **more):
    """Configuration: that port with TLS, and these certificates."""
    blocks = {f"certificate c{n}": pair.block() for n, pair in enumerate(pairs)}
    return {section: {"tls_listen": f"127.0.0.1:{port}"}, **blocks, **more}


class TlsConnection(HttpConnection):
    """HttpConnection over TLS; the certificate is checked against `ca` and `name`."""

    def __init__(self, port, ca, name, context=None, **options):
        super().__init__(port, **options)
        context = context or ca.context()
        self.sock = context.wrap_socket(self.sock, server_hostname=name)


def s_client(port, *options, servername=None, send="Q\n"):
    """(status, output) of openssl s_client."""
    argv = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}"]
    argv += ["-servername", servername] if servername else ["-noservername"]
    done = subprocess.run([*argv, *map(str, options)], input=send, capture_output=True, text=True,
                          timeout=30, check=False)
    return done.returncode, done.stdout + done.stderr


class TlsFront:
    """Takes TLS connections at .port and passes their bytes to a plain port on this machine.

    proxy   a PROXY protocol v1 line comes first, in the clear; .headers has them
    """

    def __init__(self, lab, pair, to_port, proxy=False):
        self.ip, self.port, self.to_port = "127.0.0.1", free_port(), to_port
        self.connections = 0
        self.names = []     # SNI of each connection
        self.proxy, self.headers = proxy, []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pair.file, pair.key)
        self.context.sni_callback = lambda _sock, name, _context: self.names.append(name)
        self.listener = socket.create_server((self.ip, self.port), backlog=128)
        lab.at_close(self.listener.close)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with contextlib.suppress(OSError):
            line = b""
            while self.proxy and not line.endswith(b"\r\n"):
                line += sock.recv(1)
                if len(line) > 107:
                    return
            self.headers.append(line)
            tls = self.context.wrap_socket(sock, server_side=True)
            self.connections += 1
            plain = socket.create_connection((self.ip, self.to_port))
            with tls, plain:
                # An SSLSocket must not be used by two threads at once: one loop for both ways.
                tls.setblocking(False)
                plain.setblocking(False)
                self._relay(tls, plain)

    @staticmethod
    def _relay(tls, plain):
        waiting = {plain: b"", tls: b""}    # what each is still to be given
        other = {plain: tls, tls: plain}
        while True:
            readers = [s for s in waiting if not waiting[other[s]]]
            if not (tls in readers and tls.pending()):
                select.select(readers, [s for s in waiting if waiting[s]], [], 30)
            for side in readers:
                with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
                    data = side.recv(65536)
                    if not data:
                        if side is plain:
                            tls.settimeout(2)
                            tls.unwrap()
                        return
                    waiting[other[side]] += data
            for side, data in waiting.items():
                if data:
                    with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError):
                        waiting[side] = data[side.send(data):]
