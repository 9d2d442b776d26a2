"""The operator's own server, for hooks."""

import json

from .httporigin import HttpOrigin


class HookServer(HttpOrigin):
    """Answers `verdict(body)`: a text with 200, (status, text), or None for no answer at all."""

    def __init__(self, lab, verdict=lambda body: "0", **options):
        self.verdict = verdict
        self.bodies = []
        super().__init__(lab, self._hook, **options)

    def _hook(self, call):
        assert call.method == "POST" and call.fields["content-type"] == "application/json"
        body = json.loads(call.body)
        self.bodies.append(body)
        answer = self.verdict(body)
        if answer is None:
            call.close()
        elif isinstance(answer, bytes):
            call.send(answer)
            call.close()
        else:
            status, text = answer if isinstance(answer, tuple) else (200, answer)
            call.answer(status, text.encode())

    def url(self, path="/hook"):
        return f"http://127.0.0.1:{self.http_port}{path}"

    def seen(self, action):
        return [b for b in self.bodies if b["action"] == action]
