// One SRT connection through Weir, byte by byte, with what libsrt sends at both ends.
#include <doctest/doctest.h>

#include <string>

#include "t/00unit/proto_srt_support.h"
#include "workers/srt/srt_session.h"

namespace weir::srt {
namespace {

using test::Bytes;
using test::from_hex;

Endpoint endpoint(std::string_view ip, std::uint16_t port) {
  Endpoint out = *parse_ip(ip);
  out.port = port;
  return out;
}

const Endpoint kClient = endpoint("198.51.100.7", 4000);
const Endpoint kOrigin = endpoint("10.0.0.9", 10080);
const DoormanOptions kDoorman{{11, 22}};
constexpr std::uint64_t kNow = 1'000'000;

Bytes copy(ByteView bytes) {
  return {bytes.begin(), bytes.end()};
}

Handshake parsed(ByteView bytes) {
  Handshake out;
  REQUIRE(parse_handshake(bytes, out) == HandshakeError::kNone);
  return out;
}

struct Knock {
  Admission admission;
  Bytes answer;
};
Knock knock(const Bytes& datagram, std::uint64_t now = kNow) {
  std::uint8_t buffer[kHandshakeBytes];
  Knock out;
  out.admission = admit(kDoorman, datagram, kClient, now, buffer);
  out.answer = copy(out.admission.answer);
  CHECK(out.answer.size() <= datagram.size());
  return out;
}

// The caller's conclusion with the cookie that our induction answer gave it.
Bytes conclusion_of(Bytes conclusion, std::uint64_t now = kNow) {
  const Bytes answer = knock(from_hex(test::kCallerInduction), now).answer;
  set_cookie(conclusion, parsed(answer).cookie);
  return conclusion;
}
Bytes conclusion(std::uint64_t now = kNow) {
  return conclusion_of(from_hex(test::kCallerConclusion), now);
}

// One with other extensions: the stream id alone.
Bytes conclusion_for(std::string_view stream_id) {
  Bytes out = from_hex(test::kCallerConclusion);
  out.resize(kHandshakeBytes);
  if (!stream_id.empty()) test::append_stream_id(out, stream_id);
  return conclusion_of(out);
}

// What the origin gets and the client gets differs from the original in these fields alone.
void check_same_but_adjusted(const Bytes& got, Bytes want, std::uint32_t cookie,
                             std::uint32_t timestamp, const Endpoint& peer) {
  set_cookie(want, cookie);
  set_timestamp(want, timestamp);
  set_peer_address(want, peer);
  CHECK(got == want);
}

TEST_CASE("the doorman answers an induction without keeping anything") {
  const Knock first = knock(from_hex(test::kCallerInduction));
  CHECK(first.admission.entry == Entry::kAnswered);
  CHECK(first.admission.failure == Failure::kNone);
  const Handshake answer = parsed(first.answer);
  CHECK(answer.version == 5);
  CHECK(answer.extension == kInductionMagic);
  CHECK(answer.encryption == 0);
  CHECK(answer.type == HandshakeType::kInduction);
  CHECK(answer.header.destination == test::kCallerId);
  CHECK(answer.initial_sequence == 0x20bba471);
  CHECK(answer.cookie != 0);
  CHECK(knock(conclusion()).admission.entry == Entry::kConclusion);
  CHECK(knock(conclusion()).admission.caller_id == test::kCallerId);
  CHECK(knock(conclusion(), kNow + 30'000).admission.entry == Entry::kConclusion);
  const Knock late = knock(conclusion(), kNow + 61'000);
  CHECK(late.admission.entry == Entry::kIgnored);
  CHECK(late.admission.failure == Failure::kBadCookie);
}

TEST_CASE("the doorman refuses what cannot be routed, and is silent to strangers") {
  const Knock stranger = knock(from_hex(test::kCallerConclusion));
  CHECK(stranger.admission.entry == Entry::kIgnored);
  CHECK(stranger.admission.failure == Failure::kBadCookie);
  CHECK(stranger.answer.empty());

  Bytes old = conclusion();
  old.resize(kHandshakeBytes);
  store_be32(old.data() + kHeaderBytes, 4);
  const Knock hsv4 = knock(old);
  CHECK(hsv4.admission.failure == Failure::kHsv4);
  CHECK(static_cast<std::uint32_t>(parsed(hsv4.answer).type) == 1008);
  CHECK(parsed(hsv4.answer).header.destination == test::kCallerId);

  Bytes rendezvous = from_hex(test::kCallerInduction);
  set_handshake_type(rendezvous, 0);
  const Knock wave = knock(rendezvous);
  CHECK(wave.admission.failure == Failure::kRendezvous);
  CHECK(static_cast<std::uint32_t>(parsed(wave.answer).type) == 2501);

  for (const std::uint32_t type : {2U, 2404U, 0xFFFFFFFEU}) {
    set_handshake_type(rendezvous, type);
    CHECK(knock(rendezvous).admission.entry == Entry::kIgnored);
  }
  Bytes nobody = from_hex(test::kCallerInduction);
  store_be32(nobody.data() + kHeaderBytes + 24, 0);
  CHECK(knock(nobody).admission.entry == Entry::kIgnored);
  CHECK(knock(from_hex(test::kData)).admission.failure == Failure::kMalformed);
  CHECK(knock(from_hex(test::kAck)).admission.entry == Entry::kIgnored);
}

TEST_CASE("a connection, byte by byte") {
  Session session({}, conclusion(), kClient, kNow);
  REQUIRE(session.state() == SessionState::kRouteWanted);
  CHECK(session.key().text == "__defaultVhost__/live/livestream");
  CHECK(session.mode() == Mode::kPublish);
  CHECK(session.stream_id() == "#!::r=live/livestream,m=publish");
  CHECK(session.caller_id() == test::kCallerId);
  CHECK(session.to_client().empty());
  CHECK(session.to_origin().empty());
  CHECK_FALSE(session.wake_at());

  // 5 ms until the route was known: the caller's clock went on.
  session.start_origin(kOrigin, kNow + 5);
  Bytes want = from_hex(test::kCallerInduction);
  check_same_but_adjusted(copy(session.to_origin()), want, 0, 0x40e + 5000, kOrigin);
  session.clear_output();
  CHECK(session.wake_at() == kNow + 255);

  session.on_origin_packet(from_hex(test::kListenerInduction), kNow + 8);
  CHECK(session.state() == SessionState::kConclusion);
  check_same_but_adjusted(copy(session.to_origin()), from_hex(test::kCallerConclusion),
                          test::kListenerCookie, 0x40e + 8000, kOrigin);
  CHECK(session.to_client().empty());
  session.clear_output();

  session.on_origin_packet(from_hex(test::kListenerConclusion), kNow + 11);
  CHECK(session.state() == SessionState::kEstablished);
  CHECK(session.listener_id() == test::kListenerId);
  const std::uint32_t cookie = parsed(conclusion()).cookie;
  const Bytes answer = from_hex(test::kListenerConclusion);
  check_same_but_adjusted(copy(session.to_client()), answer, cookie, 0x3b3, kClient);
  session.clear_output();
  CHECK_FALSE(session.wake_at());

  // The answer was lost: the same again, 250 ms older. Nothing reaches the origin a second time.
  session.on_client_conclusion(conclusion(), kNow + 261);
  check_same_but_adjusted(copy(session.to_client()), answer, cookie, 0x3b3 + 250'000, kClient);
  CHECK(session.to_origin().empty());
  session.clear_output();
  session.on_origin_packet(answer, kNow + 300);
  session.on_time(kNow + 10'000);
  CHECK(session.to_client().empty());
  CHECK(session.to_origin().empty());
  CHECK(session.state() == SessionState::kEstablished);
}

TEST_CASE("a destination that the caller took from the induction becomes 0 at the origin") {
  Bytes named = conclusion();
  set_destination(named, test::kCallerId);
  Session session({}, named, kClient, kNow);
  session.start_origin(kOrigin, kNow);
  session.on_origin_packet(from_hex(test::kListenerInduction), kNow);
  CHECK(parsed(session.to_origin()).header.destination == 0);
}

TEST_CASE("both steps are sent again every 250 ms, until the origin is given up") {
  SessionOptions options;
  Session session(options, conclusion(), kClient, kNow);
  session.start_origin(kOrigin, kNow);
  int sent = 0;
  for (std::uint64_t t = kNow; t < kNow + 600; t += 50) {
    if (!session.to_origin().empty()) ++sent;
    session.clear_output();
    session.on_time(t + 50);
  }
  CHECK(sent == 3);
  session.clear_output();
  session.on_origin_packet(from_hex(test::kListenerInduction), kNow + 600);
  session.clear_output();
  REQUIRE(session.wake_at() == kNow + 850);
  session.on_time(kNow + 850);
  CHECK(parsed(session.to_origin()).cookie == test::kListenerCookie);
  CHECK(parsed(session.to_origin()).header.timestamp == 0x40e + 850'000);
  session.clear_output();
  CHECK(session.wake_at() == kNow + 1000);
  session.on_time(kNow + 1000);
  CHECK(session.state() == SessionState::kOriginFailed);
  CHECK(session.failure() == Failure::kOriginSilent);
  CHECK(session.to_origin().empty());
  CHECK(session.to_client().empty());

  // Another origin; the caller's newer copy of the conclusion is what it gets.
  Bytes newer = conclusion();
  set_timestamp(newer, 900'000);
  session.on_client_conclusion(newer, kNow + 1000);
  session.start_origin(endpoint("10.0.0.10", 10080), kNow + 1010);
  CHECK(session.failure() == Failure::kNone);
  CHECK(parsed(session.to_origin()).header.timestamp == 910'000);
  session.clear_output();
  session.on_origin_packet(from_hex(test::kListenerInduction), kNow + 1011);
  session.on_origin_packet(from_hex(test::kListenerConclusion), kNow + 1012);
  CHECK(session.state() == SessionState::kEstablished);
}

TEST_CASE("the origin's rejection is passed on, in either step, and repeated") {
  for (const bool early : {true, false}) {
    Session session({}, conclusion(), kClient, kNow);
    session.start_origin(kOrigin, kNow);
    if (!early) session.on_origin_packet(from_hex(test::kListenerInduction), kNow);
    session.clear_output();
    Bytes no = from_hex(test::kListenerInduction);
    set_handshake_type(no, 1010);  // wrong passphrase
    session.on_origin_packet(no, kNow + 3);
    CHECK(session.state() == SessionState::kRejected);
    CHECK(session.failure() == Failure::kOriginRejected);
    CHECK(session.reject_code() == 1010);
    const Bytes told = copy(session.to_client());
    CHECK(static_cast<std::uint32_t>(parsed(told).type) == 1010);
    CHECK(parsed(told).header.destination == test::kCallerId);
    CHECK(session.to_origin().empty());
    session.clear_output();
    session.on_client_conclusion(conclusion(), kNow + 253);
    CHECK(static_cast<std::uint32_t>(parsed(session.to_client()).type) == 1010);
    session.clear_output();
    session.on_origin_packet(from_hex(test::kListenerConclusion), kNow + 260);
    CHECK(session.to_client().empty());
  }
}

TEST_CASE("our own rejections name the reason") {
  struct Row {
    std::string_view stream_id;
    Failure failure;
    std::uint32_t code;
    std::string_view detail;
  };
  const Row rows[] = {
      {"", Failure::kBadStreamId, 2400, "empty_stream_id"},
      {"#!:r=x", Failure::kBadStreamId, 2400, "bad_stream_id"},
      {"#!::m=publish", Failure::kBadStreamId, 2400, "no_resource"},
      {"#!::r=a/b,m=both", Failure::kBadMode, 2405, ""},
      {"a/../b", Failure::kBadStreamKey, 2400, "bad_segment"},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.stream_id));
    Session session({}, conclusion_for(row.stream_id), kClient, kNow);
    CHECK(session.state() == SessionState::kRejected);
    CHECK(session.failure() == row.failure);
    CHECK(session.failure_detail() == row.detail);
    CHECK(session.reject_code() == row.code);
    const Handshake told = parsed(session.to_client());
    CHECK(static_cast<std::uint32_t>(told.type) == row.code);
    CHECK(told.header.destination == test::kCallerId);
    CHECK(session.to_client().size() == kHandshakeBytes);
  }
  SessionOptions options;
  options.stream_id.stream_id = "#!::r=live/default,m=publish";
  Session filled(options, conclusion_for(""), kClient, kNow);
  CHECK(filled.key().text == "__defaultVhost__/live/default");

  Session session({}, conclusion(), kClient, kNow);
  session.reject(Reject::kNotFound, kNow + 1);
  CHECK(session.failure() == Failure::kRefused);
  CHECK(static_cast<std::uint32_t>(parsed(session.to_client()).type) == 2404);
  session.clear_output();
  session.on_client_conclusion(conclusion(), kNow + 250);
  CHECK(static_cast<std::uint32_t>(parsed(session.to_client()).type) == 2404);

  Session silent({}, conclusion(), kClient, kNow);
  silent.start_origin(kOrigin, kNow);
  silent.on_time(kNow + 1000);
  silent.reject(Reject::kGateway, kNow + 1000);
  CHECK(silent.failure() == Failure::kOriginSilent);  // the reason for the log stays
  CHECK(silent.reject_code() == 2502);
}

TEST_CASE("what an origin may send instead of an answer") {
  const auto at_induction = [](const Bytes& datagram) {
    Session session({}, conclusion(), kClient, kNow);
    session.start_origin(kOrigin, kNow);
    session.on_origin_packet(datagram, kNow);
    CHECK(session.to_client().empty());
    return std::pair(session.state(), session.failure());
  };
  const std::pair waiting(SessionState::kInduction, Failure::kNone);
  CHECK(at_induction(from_hex(test::kAck)) == waiting);
  CHECK(at_induction({}) == waiting);
  CHECK(at_induction(Bytes(2000, 0x80)) == waiting);
  Bytes other = from_hex(test::kListenerInduction);
  set_destination(other, 1);
  CHECK(at_induction(other) == waiting);
  CHECK(at_induction(from_hex(test::kListenerConclusion)) == waiting);
  Bytes old = from_hex(test::kListenerInduction);
  store_be32(old.data() + kHeaderBytes, 4);
  CHECK(at_induction(old) == std::pair(SessionState::kOriginFailed, Failure::kOriginOld));
  Bytes magic = from_hex(test::kListenerInduction);
  magic[23] = 0;
  CHECK(at_induction(magic) == std::pair(SessionState::kOriginFailed, Failure::kOriginOld));

  const auto at_conclusion = [](const Bytes& datagram) {
    Session session({}, conclusion(), kClient, kNow);
    session.start_origin(kOrigin, kNow);
    session.on_origin_packet(from_hex(test::kListenerInduction), kNow);
    session.on_origin_packet(datagram, kNow);
    CHECK(session.to_client().empty());
    return std::pair(session.state(), session.failure());
  };
  const std::pair second(SessionState::kConclusion, Failure::kNone);
  const std::pair malformed(SessionState::kOriginFailed, Failure::kOriginMalformed);
  CHECK(at_conclusion(from_hex(test::kListenerInduction)) == second);
  CHECK(at_conclusion(from_hex(test::kData)) == second);
  Bytes nobody = from_hex(test::kListenerConclusion);
  store_be32(nobody.data() + kHeaderBytes + 24, 0);
  CHECK(at_conclusion(nobody) == malformed);
  Bytes cut = from_hex(test::kListenerConclusion);
  cut.pop_back();
  CHECK(at_conclusion(cut) == malformed);
}

TEST_CASE("another content under the same socket id is not a repetition") {
  Session session({}, conclusion(), kClient, kNow);
  session.on_client_conclusion(conclusion_for("live/other"), kNow + 100);
  session.start_origin(kOrigin, kNow + 100);
  CHECK(parsed(session.to_origin()).header.timestamp == 0x40e + 100'000);
  CHECK(session.key().text == "__defaultVhost__/live/livestream");
}

TEST_CASE("an induction that is an answer is not answered") {
  Bytes answer = knock(from_hex(test::kCallerInduction)).answer;
  CHECK(knock(answer).admission.entry == Entry::kIgnored);
}

TEST_CASE("an origin whose port is closed fails at once, one that has answered does not") {
  Session session({}, conclusion(), kClient, kNow);
  session.start_origin(kOrigin, kNow);
  session.on_origin_unreachable();
  CHECK(session.state() == SessionState::kOriginFailed);
  CHECK(session.failure() == Failure::kOriginUnreachable);
  session.reject(Reject::kGateway, kNow);
  session.on_origin_unreachable();
  CHECK(session.state() == SessionState::kRejected);
}

}  // namespace
}  // namespace weir::srt
