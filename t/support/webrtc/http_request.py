"""Signalling of the clients here: one request to a WHIP or WHEP address."""

import urllib.error
import urllib.request


def request(method, url, body=None):
    """(status, fields, text)"""
    ask = urllib.request.Request(url, method=method, data=body, headers={
        "Content-Type": "application/sdp"} if body else {})
    try:
        with urllib.request.urlopen(ask, timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode()
