"""WHEP players of streams that nobody knows: the next origin has the same offer after a no."""

import json
import time

import pytest
from weirtest import free_port, poll
from weirtest.rtcorigin import SDP, RtcOrigin, RtcWeir, offer_sdp

WHEP = "/rtc/v1/whep/?app=live&stream="


class Origin(RtcOrigin):
    """Plays the streams in `has`; `says` is its answer to offers for others."""

    def __init__(self, lab, has=(), says=lambda call: call.answer(404, b"not here")):
        self.has = set(has)
        self.says = says
        super().__init__(lab, hooks={"POST": self._refuse})

    def _refuse(self, call, body):
        path, _, query = call.path.partition("?")
        if "/play/" in path:
            name = json.loads(body)["streamurl"].partition("?")[0].rpartition("/")[2]
        else:
            name = query.partition("stream=")[2].partition("&")[0] or path.rpartition("/")[2]
        if name in self.has or "/publish/" in path or "whip" in path:
            return False
        return self.says(call)

    def asked(self, text):
        return sum(call[0] == "POST" and (text in call[1] or text in call[3]) for call in self.calls)


def places(weir):
    return {each["stream"]: (int(each["origin"].partition("-")[0]), each["source"])
            for each in weir.weir.streams()}


@pytest.fixture
def three(lab):
    return [Origin(lab, has=[f"s{number}"]) for number in range(3)]


def play(weir, name, ufrag="abcd", **fields):
    return weir.post(WHEP + name, offer_sdp(ufrag), **fields)


def test_the_origin_that_has_it_is_found_and_remembered(lab, three):
    weir = RtcWeir(lab, three)
    for number, origin in enumerate(three):
        answer = play(weir, f"s{number}", f"ufr{number}")
        assert answer.status == 201, answer.body
        assert weir.request("DELETE", weir.target(answer.fields["location"])).status == 200
        assert len(origin.deleted) == 1
        assert play(weir, f"s{number}", f"ugr{number}").status == 201
        # The same offer, once to whoever was asked, and one session only.
        assert [body for _, body in origin.offers if f"ufr{number}" in body] == [offer_sdp(f"ufr{number}")]
        assert all(each.asked(f"stream=s{number}") <= 1 for each in three if each is not origin)
    found = int(weir.weir.metric("weir_searches_total", result="found"))
    rows = places(weir)
    assert {name: at for name, (at, _) in rows.items()} == {"s0": 0, "s1": 1, "s2": 2}
    assert sum(source == "searched" for _, source in rows.values()) == found
    # The other form of its address, and SRS's JSON.
    assert weir.post("/whep/live/s2", offer_sdp("path")).status == 201
    three[1].has.add("j")
    body = {"api": "x", "streamurl": "webrtc://weir.test/live/j", "sdp": offer_sdp("json")}
    answer = weir.post("/rtc/v1/play/", json.dumps(body), Content_Type="text/plain")
    assert answer.status == 200 and json.loads(answer.body)["code"] == 0


def test_what_was_found_is_told(lab):
    """Each but perhaps the first one has less to do where it is asked first."""
    three = [Origin(lab), Origin(lab), Origin(lab, has=["z0", "z1", "z2", "z3"])]
    weir = RtcWeir(lab, three)
    for number in range(4):
        assert play(weir, f"z{number}", f"ufr{number}").status == 201
    found = int(weir.weir.metric("weir_searches_total", result="found"))
    assert found >= 2
    # Each worker tells the master by itself, so the last row may come a moment later.
    poll("each that was found is told", lambda: list(places(weir).values()).count((2, "searched")) == found)


def test_what_no_origin_has(lab, three):
    weir = RtcWeir(lab, three)
    answer = play(weir, "nobody")
    assert answer.status == 404 and answer.body == b"not here"
    assert [each.asked("stream=nobody") for each in three] == [1, 1, 1]
    # Remembered for a second: Weir's own words, which name none of the origins'.
    answers = [play(weir, "nobody") for _ in range(5)]
    assert {answer.status for answer in answers} == {404}
    assert weir.weir.metric("weir_search_negatives_total") >= 3
    assert sum(each.asked("stream=nobody") for each in three) <= 6
    # Another token is another question.
    assert play(weir, "nobody", Authorization="Bearer other").body == b"not here"
    # What is published is not searched.
    assert weir.post("/whip/live/p", offer_sdp("publ")).status == 201
    assert play(weir, "p").status == 404
    assert sum(each.asked("/whep/?app=live&stream=p") for each in three) == 1


def test_refusals_that_are_none_of_not_here(lab):
    says = {"status": 401}
    three = [Origin(lab, says=lambda call: call.answer(says["status"], b"no", {"X-Own": "1"})) for _ in range(3)]
    weir = RtcWeir(lab, three)
    number = 0
    for status, asked in ((401, 3), (403, 3), (409, 3), (400, 1), (415, 1), (500, 3), (503, 3)):
        says["status"] = status
        for _ in range(2):  # not remembered
            number += 1
            assert play(weir, f"x{number}").status == status
            assert sum(each.asked(f"stream=x{number}&") + each.calls[-1][1].endswith(f"=x{number}")
                       for each in three) == asked, status
    assert weir.weir.metric("weir_search_negatives_total") == 0
    # SRS's JSON says it with a code.
    error = [Origin(lab, says=lambda call: call.answer(200, b'{"code":404}')) for _ in range(2)]
    weir = RtcWeir(lab, [*error, Origin(lab, has=["j"])])
    for number in range(3):
        body = {"api": "x", "streamurl": "webrtc://weir.test/live/j", "sdp": offer_sdp(f"jso{number}")}
        answer = weir.post("/rtc/v1/play/", json.dumps(body), Content_Type="text/plain")
        assert json.loads(answer.body)["code"] == 0
    body["streamurl"] = "webrtc://weir.test/live/nobody"
    assert weir.post("/rtc/v1/play/", json.dumps(body), Content_Type="text/plain").body == b'{"code":404}'


def test_faults(lab):
    """Who may have made a session is the last one; who cannot be reached is not."""
    weir = RtcWeir(lab, [free_port(), Origin(lab), Origin(lab, has=["cam"])],
                   {"balance": {"probe_interval": "60s"}})
    for number in range(3):
        assert play(weir, "cam", f"ufr{number}").status == 201
    assert play(weir, "nobody").status in (404, 502)
    weir.weir.stop()
    broken, good = Origin(lab, says=lambda call: call.close()), Origin(lab, has=["cam"])
    weir = RtcWeir(lab, [broken, good], {"balance": {"policy": "round_robin"}})
    said = {play(weir, name, f"uf{name}").status for name in ("cam", "x")}
    assert 502 in said or broken.asked("stream=") == 0
    assert len(good.offers) + broken.asked("stream=") <= 3


def test_bounds_and_off(lab, three):
    weir = RtcWeir(lab, three, {"search": {"rate": 5, "rate_per_address": 1000, "timeout": "150ms"}})
    began, said = time.monotonic(), []
    for number in range(40):
        said.append(play(weir, f"x{number}"))
    seconds = time.monotonic() - began
    assert {answer.status for answer in said} == {404, 503}
    refused = [answer for answer in said if answer.status == 503]
    assert all(answer.fields["retry-after"] for answer in refused if answer.body != b"not here")
    assert all(len(each.calls) <= 5 * (seconds + 1) for each in three)
    weir.weir.stop()
    weir = RtcWeir(lab, three, {"search": {"enabled": False}})
    for each in three:
        each.calls.clear()
    assert play(weir, "nobody").status == 404
    assert sum(each.asked("stream=nobody") for each in three) == 1
    assert SDP  # the fakes' own
