// Session descriptions of real origins and of hostile ones: what is extracted, and that a rewrite
// changes candidates and nothing else.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "common/proto/sdp/sdp.h"

namespace weir::sdp {
namespace {

Endpoint at(std::string_view ip, std::uint16_t port) {
  Endpoint endpoint = *parse_ip(ip);
  endpoint.port = port;
  return endpoint;
}

const std::vector<Endpoint> kUdp = {at("203.0.113.5", 8000), at("2001:db8::5", 8000)};
const std::vector<Endpoint> kTcp = {at("203.0.113.5", 8443)};

std::string lines(const std::vector<std::string>& all, const std::string& end = "\r\n") {
  std::string out;
  for (const std::string& line : all) out += line + end;
  return out;
}

// An answer as an ICE-lite server gives it: one bundle, candidates in both sections.
const std::vector<std::string> kAnswer = {
    "v=0",
    "o=SRS 4399368 2 IN IP4 0.0.0.0",
    "s=SRSPublishSession",
    "t=0 0",
    "a=ice-lite",
    "a=group:BUNDLE 0 1",
    "a=msid-semantic: WMS live/livestream",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111",
    "c=IN IP4 0.0.0.0",
    "a=ice-ufrag:48l1zp68",
    "a=ice-pwd:q1a80c46b73a5ie4bp9y62ri4f3j0j4r",
    "a=fingerprint:sha-256 1A:2B",
    "a=setup:passive",
    "a=mid:0",
    "a=recvonly",
    "a=rtcp-mux",
    "a=rtpmap:111 opus/48000/2",
    "a=candidate:0 1 udp 2130706431 192.168.1.9 8000 typ host generation 0",
    "a=candidate:1 1 udp 2130706431 10.0.0.9 8000 typ host generation 0",
    "a=end-of-candidates",
    "m=video 9 UDP/TLS/RTP/SAVPF 106",
    "c=IN IP4 0.0.0.0",
    "a=ice-ufrag:48l1zp68",
    "a=ice-pwd:q1a80c46b73a5ie4bp9y62ri4f3j0j4r",
    "a=setup:passive",
    "a=mid:1",
    "a=candidate:0 1 udp 2130706431 192.168.1.9 8000 typ host generation 0",
    "a=rtcp-mux",
};

const std::string kPublic0 = "a=candidate:1 1 udp 2130706431 203.0.113.5 8000 typ host";
const std::string kPublic1 = "a=candidate:2 1 udp 2130706175 2001:db8::5 8000 typ host";
const std::string kPublic2 =
    "a=candidate:3 1 tcp 1520435199 203.0.113.5 8443 typ host tcptype passive";

// `all` with the lines from..to (both counted) replaced.
std::vector<std::string> with(std::vector<std::string> all, std::size_t from, std::size_t to,
                              const std::vector<std::string>& instead) {
  all.erase(all.begin() + static_cast<std::ptrdiff_t>(from),
            all.begin() + static_cast<std::ptrdiff_t>(to) + 1);
  all.insert(all.begin() + static_cast<std::ptrdiff_t>(from), instead.begin(), instead.end());
  return all;
}

std::string rewritten(const std::string& text, const PublicCandidates& candidates) {
  std::string out;
  CHECK(rewrite_description(text, candidates, out) == SdpStatus::kOk);
  return out;
}

SdpStatus parsed(const std::string& text) {
  Description description;
  return parse_description(text, description);
}

TEST_CASE("what an answer says") {
  const std::string text = lines(kAnswer);
  Description d;
  REQUIRE(parse_description(text, d) == SdpStatus::kOk);
  CHECK(d.ice_lite);
  REQUIRE(d.bundles.size() == 1);
  CHECK(d.bundles[0] == std::vector<std::string_view>{"0", "1"});
  REQUIRE(d.media.size() == 2);
  const Media& audio = d.media[0];
  CHECK(audio.kind == "audio");
  CHECK(audio.protocol == "UDP/TLS/RTP/SAVPF");
  CHECK(audio.port == 9);
  CHECK(audio.mid == "0");
  CHECK(audio.ufrag == "48l1zp68");
  CHECK(audio.password == "q1a80c46b73a5ie4bp9y62ri4f3j0j4r");
  CHECK(audio.setup == "passive");
  CHECK(audio.end_of_candidates);
  CHECK_FALSE(audio.follower);
  REQUIRE(audio.candidates.size() == 2);
  CHECK(audio.candidates[0].type == CandidateType::kHost);
  CHECK(audio.candidates[0].transport == Transport::kUdp);
  CHECK(to_string(audio.candidates[0].endpoint.value_or(Endpoint{})) == "192.168.1.9:8000");
  CHECK(d.media[1].follower);
  CHECK_FALSE(d.media[1].end_of_candidates);
  const auto sessions = ice_sessions(d);
  REQUIRE(sessions.size() == 1);
  CHECK(sessions[0].ufrag == "48l1zp68");
  CHECK(to_string(sessions[0].endpoint.value_or(Endpoint{})) == "192.168.1.9:8000");
}

TEST_CASE("candidates are replaced where they stood, and nothing else is touched") {
  for (const std::string end : {"\r\n", "\n"}) {
    std::vector<std::string> want = with(kAnswer, 26, 26, {kPublic0, kPublic1});
    want = with(want, 17, 18, {kPublic0, kPublic1});
    CHECK(rewritten(lines(kAnswer, end), {kUdp, {}}) == lines(want, end));
    want = with(kAnswer, 26, 26, {kPublic0, kPublic1, kPublic2});
    want = with(want, 17, 18, {kPublic0, kPublic1, kPublic2});
    const std::string once = rewritten(lines(kAnswer, end), {kUdp, kTcp});
    CHECK(once == lines(want, end));
    CHECK(rewritten(once, {kUdp, kTcp}) == once);
  }
  const auto none = with(with(kAnswer, 26, 26, {}), 17, 18, {});
  CHECK(rewritten(lines(kAnswer), {}) == lines(none));
}

TEST_CASE(
    "mDNS, reflexive, relayed, TCP and unreadable candidates go, private addresses with them") {
  std::vector<std::string> many = with(
      kAnswer, 17, 18,
      {"a=candidate:1 1 UDP 2122252543 1f4712db-ea17-4bcf-a596-105139dfd8bf.local 54596 typ host",
       "a=candidate:2 1 udp 1686052607 198.51.100.9 4000 typ srflx raddr 10.1.2.3 rport 4000",
       "a=candidate:3 1 udp 41885439 198.51.100.10 5000 typ relay raddr 10.1.2.3 rport 4000",
       "a=candidate:4 1 tcp 1518280447 10.1.2.3 9 typ host tcptype active",
       "a=candidate:5 2 udp 2122252542 10.1.2.3 4001 typ host", "a=candidate:nonsense"});
  const std::string text = lines(many);
  const std::string out = rewritten(text, {kUdp, {}});
  CHECK(out.find("10.1.2.3") == std::string::npos);
  CHECK(out.find(".local") == std::string::npos);
  CHECK(out.find("nonsense") == std::string::npos);
  CHECK(out.find(kPublic0 + "\r\n" + kPublic1 + "\r\na=end-of-candidates\r\n") !=
        std::string::npos);
  Description d;
  REQUIRE(parse_description(text, d) == SdpStatus::kOk);
  REQUIRE(d.media[0].candidates.size() == 5);
  CHECK_FALSE(d.media[0].candidates[0].endpoint);
  CHECK(d.media[0].candidates[1].type == CandidateType::kServerReflexive);
  CHECK(d.media[0].candidates[2].type == CandidateType::kRelay);
  CHECK(d.media[0].candidates[3].tcp_type == "active");
  // Neither the name, nor TCP, nor component 2: what is left with the highest priority.
  CHECK(to_string(ice_sessions(d)[0].endpoint.value_or(Endpoint{})) == "198.51.100.9:4000");
}

TEST_CASE("a section without candidates gets them, if it has a transport of its own") {
  const std::vector<std::string> head = {"v=0", "a=group:BUNDLE a b", "a=ice-ufrag:u",
                                         "a=ice-pwd:p"};
  auto all = head;
  all.insert(all.end(),
             {"m=audio 9 X 0", "a=mid:a", "m=video 9 X 0", "a=mid:b", "m=application 0 X 0",
              "a=mid:c", "m=text 9 X 0", "a=end-of-candidates", "a=mid:d"});
  auto want = head;
  want.insert(want.end(), {"m=audio 9 X 0", "a=mid:a", kPublic0, "m=video 9 X 0", "a=mid:b",
                           "m=application 0 X 0", "a=mid:c", "m=text 9 X 0", kPublic0,
                           "a=end-of-candidates", "a=mid:d"});
  const PublicCandidates one{std::span(kUdp).first(1), {}};
  CHECK(rewritten(lines(all), one) == lines(want));
  // The last line's missing end, and blank lines.
  CHECK(rewritten("v=0\na=ice-ufrag:u\nm=a 9 X", one) ==
        "v=0\na=ice-ufrag:u\nm=a 9 X\n" + kPublic0 + "\n");
  CHECK(rewritten("v=0\na=ice-ufrag:u\nm=a 9 X\n\n", one) ==
        "v=0\na=ice-ufrag:u\nm=a 9 X\n" + kPublic0 + "\n\n");
  CHECK(rewritten("v=0\r\na=ice-ufrag:u\nm=a 9 X\na=candidate:x\r\n", one) ==
        "v=0\r\na=ice-ufrag:u\nm=a 9 X\n" + kPublic0 + "\n");
  CHECK(rewritten("v=0\nm=a 9 X", one) == "v=0\nm=a 9 X");  // no ICE
  CHECK(rewritten("v=0\na=ice-ufrag:u\nm=a 9 X", {}) == "v=0\na=ice-ufrag:u\nm=a 9 X");
}

TEST_CASE("without a bundle each section is an ICE session") {
  const std::string text =
      lines({"v=0", "m=audio 9 X 0", "a=mid:a", "a=ice-ufrag:ua", "a=ice-pwd:pa",
             "a=candidate:1 1 udp 5 192.0.2.1 4000 typ host", "m=video 9 X 0", "a=mid:b",
             "a=ice-ufrag:ub", "a=ice-pwd:pb", "a=candidate:1 1 udp 5 2001:db8::1 4001 typ host",
             "m=video 0 X 0", "a=ice-ufrag:uc", "a=ice-pwd:pc", "m=video 9 X 0", "a=mid:d",
             "a=ice-ufrag:ua", "a=ice-pwd:pa"});
  Description d;
  REQUIRE(parse_description(text, d) == SdpStatus::kOk);
  const auto sessions = ice_sessions(d);
  REQUIRE(sessions.size() == 2);
  CHECK(sessions[0].ufrag == "ua");
  CHECK(sessions[0].password == "pa");
  CHECK(to_string(*sessions[0].endpoint) == "192.0.2.1:4000");
  CHECK(sessions[1].ufrag == "ub");
  CHECK(to_string(*sessions[1].endpoint) == "[2001:db8::1]:4001");
}

TEST_CASE("credentials of the session hold for sections that have none") {
  const std::string text =
      lines({"v=0", "a=ice-ufrag:us", "a=ice-pwd:ps", "a=setup:active", "m=audio 9 X 0",
             "m=video 9 X 0", "a=ice-ufrag:ub", "a=ice-pwd:pb", "a=setup:passive"});
  Description d;
  REQUIRE(parse_description(text, d) == SdpStatus::kOk);
  CHECK(d.media[0].ufrag == "us");
  CHECK(d.media[0].setup == "active");
  CHECK(d.media[1].ufrag == "ub");
  CHECK(d.media[1].setup == "passive");
}

TEST_CASE("fragments: trickled candidates and the answer to a restart") {
  const std::string restart =
      lines({"a=ice-lite", "a=ice-options:trickle ice2", "a=group:BUNDLE 0 1",
             "m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0", "a=ice-ufrag:289b31b754eaa438",
             "a=ice-pwd:0b66f472495ef0ccac7bda653ab6be49ea13114472a5d10a",
             "a=candidate:1 1 udp 2130706431 10.9.8.7 39132 typ host", "a=end-of-candidates"});
  Description d;
  REQUIRE(parse_fragment(restart, d) == SdpStatus::kOk);
  CHECK(d.ice_lite);
  const auto sessions = ice_sessions(d);
  REQUIRE(sessions.size() == 1);
  CHECK(sessions[0].ufrag == "289b31b754eaa438");
  CHECK(to_string(*sessions[0].endpoint) == "10.9.8.7:39132");
  std::string out;
  REQUIRE(rewrite_fragment(restart, {kUdp, {}}, out) == SdpStatus::kOk);
  std::string want = restart;
  const std::string old = "a=candidate:1 1 udp 2130706431 10.9.8.7 39132 typ host";
  want.replace(want.find(old), old.size(), kPublic0 + "\r\n" + kPublic1);
  CHECK(out == want);

  const std::string bare = lines({"a=ice-ufrag:u1", "a=ice-pwd:p1", "a=end-of-candidates"});
  REQUIRE(parse_fragment(bare, d) == SdpStatus::kOk);
  CHECK(d.end_of_candidates);
  REQUIRE(ice_sessions(d).size() == 1);
  CHECK(ice_sessions(d)[0].password == "p1");

  CHECK(parse_fragment("", d) == SdpStatus::kNotSdp);
  CHECK(parse_fragment("\r\n\r\n", d) == SdpStatus::kNotSdp);
  CHECK(parse_fragment("v=0\r\n", d) == SdpStatus::kBadLine);
  CHECK(parse_fragment("{\"candidate\":1}", d) == SdpStatus::kBadLine);
  CHECK(rewrite_fragment("nonsense", {kUdp, {}}, out) == SdpStatus::kBadLine);
  CHECK(out.empty());
}

TEST_CASE("a fragment without sections is one") {
  std::string out;
  const std::string restart =
      lines({"a=ice-ufrag:u1", "a=ice-pwd:p1", "a=candidate:1 1 udp 5 10.9.8.7 4000 typ host",
             "a=end-of-candidates"});
  REQUIRE(rewrite_fragment(restart, {kUdp, {}}, out) == SdpStatus::kOk);
  CHECK(out ==
        lines({"a=ice-ufrag:u1", "a=ice-pwd:p1", kPublic0, kPublic1, "a=end-of-candidates"}));
  REQUIRE(rewrite_fragment(lines({"a=ice-ufrag:u1", "a=ice-pwd:p1"}), {kUdp, {}}, out) ==
          SdpStatus::kOk);
  CHECK(out == lines({"a=ice-ufrag:u1", "a=ice-pwd:p1", kPublic0, kPublic1}));
  Description d;
  REQUIRE(parse_fragment(restart, d) == SdpStatus::kOk);
  REQUIRE(d.candidates.size() == 1);
  CHECK(d.candidates[0].port == 4000);
}

TEST_CASE("a bundle's transport is that of its first living section, wherever it stands") {
  struct Row {
    std::string_view group;
    int port;  // of section 1
    std::size_t section;
  };
  for (const Row& row : {Row{"0 1", 9, 0}, {"1 0", 9, 1}, {"1 0", 0, 0}, {"x 1 0", 9, 1}}) {
    CAPTURE(row.group);
    const std::string text =
        lines({"v=0", "a=group:BUNDLE " + std::string(row.group), "m=audio 9 X 0", "a=mid:0",
               "a=ice-ufrag:ua", "a=ice-pwd:pa", "a=candidate:1 1 udp 5 192.0.2.1 4000 typ host",
               "m=video " + std::to_string(row.port) + " X 0", "a=mid:1"});
    Description d;
    REQUIRE(parse_description(text, d) == SdpStatus::kOk);
    const auto sessions = ice_sessions(d);
    REQUIRE(sessions.size() == 1);
    CHECK(sessions[0].section == row.section);
    CHECK(sessions[0].ufrag == "ua");
    CHECK(sessions[0].password == "pa");
  }
}

TEST_CASE("what a client sends says nothing of where it is") {
  const std::string offer =
      lines({"v=0", "c=IN IP4 192.0.2.1", "a=candidate:0 1 udp 5 192.0.2.1 4 typ host",
             "m=audio 50000/2 X 0 8", "c=IN IP6 2001:db8::1%eth0", "a=rtcp:50001 IN IP4 192.0.2.1",
             "a=candidate:1 1 udp 5 192.0.2.1 4000 typ host", "a=remote-candidates:1 192.0.2.9 9",
             "a=candidate:2 1 tcp 4 x.local 9 typ host tcptype active", "a=end-of-candidates",
             "m=video 0 X 0", "a=bundle-only", "m=application 9 X webrtc-datachannel"});
  const std::string tail =
      lines({"m=video 0 X 0", "a=bundle-only", "m=application 9 X webrtc-datachannel"});
  const std::string head = lines({"v=0", "c=IN IP4 0.0.0.0", "m=audio 9 X 0 8", "c=IN IP4 0.0.0.0",
                                  "a=rtcp:9 IN IP4 0.0.0.0"});
  std::string out;
  REQUIRE(conceal_description(offer, {}, out) == SdpStatus::kOk);
  CHECK(out == head + lines({"a=end-of-candidates"}) + tail);
  REQUIRE(conceal_description(offer, at("203.0.113.5", 9), out) == SdpStatus::kOk);
  CHECK(out == head +
                   lines({"a=candidate:1 1 udp 2130706431 203.0.113.5 9 typ host",
                          "a=end-of-candidates"}) +
                   tail);
  REQUIRE(conceal_fragment("a=mid:0\na=candidate:1 1 udp 5 192.0.2.1 4000 typ host", out) ==
          SdpStatus::kOk);
  CHECK(out == "a=mid:0\n");
  CHECK(conceal_description("v=1", {}, out) == SdpStatus::kNotSdp);
  CHECK(out.empty());
}

TEST_CASE("what is not a session description is refused with a reason") {
  CHECK(parsed("") == SdpStatus::kNotSdp);
  CHECK(parsed("<html>") == SdpStatus::kNotSdp);
  CHECK(parsed("v=0\r\n") == SdpStatus::kOk);
  CHECK(parsed("v=0\r\nhello\r\n") == SdpStatus::kBadLine);
  CHECK(parsed("v=0\r\na\r\n") == SdpStatus::kBadLine);
  CHECK(parsed("v=0\r\n a=x\r\n") == SdpStatus::kBadLine);
  CHECK(parsed("v=0\ra=candidate:1\r\n") == SdpStatus::kBadLine);
  CHECK(parsed(std::string("v=0\na=x\0y\n", 11)) == SdpStatus::kBadLine);
  for (const std::string m :
       {"m=", "m=audio", "m=audio 9", "m=audio x RTP", "m=audio 65536 RTP", "m=audio -1 RTP"}) {
    CHECK(parsed("v=0\n" + m) == SdpStatus::kBadMedia);
  }
  CHECK(parsed("v=0\nm=audio 9/2 RTP") == SdpStatus::kOk);
  for (const std::string& bad : {std::string(), std::string("a b"), std::string("a:b"),
                                 std::string("\xc3\xa4"), std::string(257, 'x')}) {
    CHECK(parsed("v=0\na=ice-ufrag:" + bad) == SdpStatus::kBadCredential);
    CHECK(parsed("v=0\nm=a 9 X\na=ice-pwd:" + bad) == SdpStatus::kBadCredential);
  }
}

TEST_CASE("limits hold before memory is used") {
  const auto times = [](std::size_t n, const std::string& line) {
    std::string out = "v=0\n";
    for (std::size_t i = 0; i < n; ++i) out += line + "\n";
    return out;
  };
  CHECK(parsed("v=0\ns=" + std::string(limits::kSdpBytes - 6, 'x')) == SdpStatus::kOk);
  CHECK(parsed("v=0\ns=" + std::string(limits::kSdpBytes - 5, 'x')) == SdpStatus::kTooLarge);
  CHECK(parsed(times(limits::kSdpLines - 1, "b=")) == SdpStatus::kOk);
  CHECK(parsed(times(limits::kSdpLines, "b=")) == SdpStatus::kTooLarge);
  CHECK(parsed(times(limits::kSdpMedia, "m=a 1 X")) == SdpStatus::kOk);
  CHECK(parsed(times(limits::kSdpMedia + 1, "m=a 1 X")) == SdpStatus::kTooLarge);
  CHECK(parsed(times(limits::kSdpCandidates, "a=candidate:")) == SdpStatus::kOk);
  CHECK(parsed(times(limits::kSdpCandidates + 1, "a=candidate:")) == SdpStatus::kTooLarge);
  CHECK(parsed(times(limits::kSdpBundled, "a=group:BUNDLE x")) == SdpStatus::kOk);
  CHECK(parsed(times(limits::kSdpBundled + 1, "a=group:BUNDLE x")) == SdpStatus::kTooLarge);
  // The largest result: every section gets every public address, and no more than the limit.
  const std::vector<Endpoint> many(limits::kSdpPublic * 4, kUdp[1]);
  std::string text = "v=0\na=ice-ufrag:u\n";
  for (std::size_t i = 0; i < limits::kSdpMedia; ++i) text += "m=a 1 X\n";
  const std::string out = rewritten(text, {many, many});
  CHECK(out.size() < limits::kSdpMedia * limits::kSdpPublic * 2 * 128);
  CHECK(out.size() > limits::kSdpMedia * limits::kSdpPublic * 2 * 32);
}

TEST_CASE("every cut of an answer parses or is refused, and a rewrite keeps the other lines") {
  const std::string text = lines(kAnswer);
  for (std::size_t n = 0; n <= text.size(); ++n) {
    std::string out;
    const SdpStatus status = rewrite_description(text.substr(0, n), {kUdp, kTcp}, out);
    CHECK(out.empty() == (status != SdpStatus::kOk));
    if (status != SdpStatus::kOk) continue;
    CHECK(out.find("192.168.1.9") == std::string::npos);
    std::string again;
    CHECK(rewrite_description(out, {kUdp, kTcp}, again) == SdpStatus::kOk);
    CHECK(again == out);
  }
}

}  // namespace
}  // namespace weir::sdp
