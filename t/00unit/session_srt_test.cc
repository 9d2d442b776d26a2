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

// One with other extensions: HSREQ and the stream id alone.
Bytes conclusion_for(std::string_view stream_id) {
  Bytes out = from_hex(test::kCallerConclusion);
  out.resize(kHandshakeBytes + 16);
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
  // It has spoken: its silence to the caller's words is the caller's.
  session.on_time(kNow + 4999);
  CHECK(session.state() == SessionState::kConclusion);
  session.clear_output();
  session.on_time(kNow + 5000);
  CHECK(session.state() == SessionState::kRejected);
  CHECK(session.failure() == Failure::kOriginSilent);
  CHECK(session.reject_code() == 2502);
  CHECK(session.to_origin().empty());
}

TEST_CASE("an origin without a word is followed by another one") {
  Session session({}, conclusion(), kClient, kNow);
  session.start_origin(kOrigin, kNow);
  session.clear_output();
  session.on_time(kNow + 1000);
  CHECK(session.state() == SessionState::kOriginFailed);
  CHECK(session.failure() == Failure::kOriginSilent);
  CHECK(session.to_origin().empty());
  CHECK(session.to_client().empty());
  CHECK_FALSE(session.origin_encryption());

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

TEST_CASE("an origin that lacks the stream of a client that searches is not the last one") {
  const auto rejected = [](std::uint32_t code) {
    Session session({}, conclusion(), kClient, kNow);
    session.search();
    session.start_origin(kOrigin, kNow);
    session.on_origin_packet(from_hex(test::kListenerInduction), kNow);
    session.clear_output();
    Bytes no = from_hex(test::kListenerInduction);
    set_handshake_type(no, code);
    session.on_origin_packet(no, kNow + 3);
    return session;
  };
  for (const std::uint32_t code : {2404U, 2410U, 2403U, 2409U, 2000U, 1000U, 1002U, 1005U, 2503U}) {
    Session session = rejected(code);
    CAPTURE(code);
    CHECK(session.state() == SessionState::kOriginFailed);
    CHECK(session.failure() == Failure::kOriginRejected);
    CHECK(session.reject_code() == code);
    CHECK((session.to_client().empty() && session.to_origin().empty()));
    CHECK_FALSE(session.wake_at());
    if (code == 2404) {  // none is left: the client gets it, and gets it again
      session.pass_rejection(kNow + 5);
      CHECK(session.state() == SessionState::kRejected);
      CHECK(static_cast<std::uint32_t>(parsed(session.to_client()).type) == code);
      session.clear_output();
      session.on_client_conclusion(conclusion(), kNow + 253);
      CHECK(static_cast<std::uint32_t>(parsed(session.to_client()).type) == code);
      continue;
    }
    // The next one has the same conclusion, and its answer is the client's.
    session.on_client_conclusion(conclusion(), kNow + 10);
    session.start_origin(kOrigin, kNow + 11);
    CHECK(session.reject_code() == 0);
    session.on_origin_packet(from_hex(test::kListenerInduction), kNow + 12);
    CHECK(session.state() == SessionState::kConclusion);
    session.clear_output();
    session.on_origin_packet(from_hex(test::kListenerConclusion), kNow + 13);
    CHECK(session.state() == SessionState::kEstablished);
    CHECK(parsed(session.to_client()).type == HandshakeType::kConclusion);
  }
  for (const std::uint32_t code : {1010U, 1011U, 1008U, 2400U, 2401U, 2405U}) {
    const Session session = rejected(code);
    CAPTURE(code);
    CHECK(session.state() == SessionState::kRejected);
    CHECK(static_cast<std::uint32_t>(parsed(session.to_client()).type) == code);
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
      {"#!::r=a/b,u=x=r=c/d", Failure::kBadStreamId, 2400, "ambiguous_stream_id"},
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
    CHECK(session.to_client().empty() == (session.state() == SessionState::kConclusion));
    return std::pair(session.state(), session.failure());
  };
  const std::pair second(SessionState::kConclusion, Failure::kNone);
  const std::pair malformed(SessionState::kRejected, Failure::kOriginMalformed);
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

TEST_CASE("an origin whose port is closed fails at once") {
  Session session({}, conclusion(), kClient, kNow);
  session.start_origin(kOrigin, kNow);
  session.on_origin_unreachable(kNow);
  CHECK(session.state() == SessionState::kOriginFailed);
  CHECK(session.failure() == Failure::kOriginUnreachable);
  session.reject(Reject::kGateway, kNow);
  session.on_origin_unreachable(kNow);
  CHECK(session.state() == SessionState::kRejected);

  // One that dies of the caller's conclusion takes no other one along.
  Session fatal({}, conclusion(), kClient, kNow);
  fatal.start_origin(kOrigin, kNow);
  fatal.on_origin_packet(from_hex(test::kListenerInduction), kNow);
  fatal.on_origin_unreachable(kNow + 1);
  CHECK(fatal.state() == SessionState::kRejected);
  CHECK(fatal.failure() == Failure::kOriginUnreachable);
  CHECK(fatal.reject_code() == 2502);
}

TEST_CASE("answers of libsrt before 1.3.1, to socket 0") {
  Session session({}, conclusion(), kClient, kNow);
  session.start_origin(kOrigin, kNow);
  Bytes induction = from_hex(test::kListenerInduction);
  set_destination(induction, 0);
  session.on_origin_packet(induction, kNow);
  REQUIRE(session.state() == SessionState::kConclusion);
  Bytes answer = from_hex(test::kListenerConclusion);
  set_destination(answer, 0);
  session.clear_output();
  session.on_origin_packet(answer, kNow);
  CHECK(session.state() == SessionState::kEstablished);
  CHECK(parsed(session.to_client()).header.destination == test::kCallerId);
}

TEST_CASE("the key length that origins want reaches the caller") {
  DoormanOptions doorman = kDoorman;
  doorman.encryption = 4;
  std::uint8_t buffer[kHandshakeBytes];
  const Admission told = admit(doorman, from_hex(test::kCallerInduction), kClient, kNow, buffer);
  CHECK(parsed(told.answer).encryption == 4);
  Session session({}, conclusion(), kClient, kNow);
  session.start_origin(kOrigin, kNow);
  session.on_origin_packet(from_hex(test::kListenerInduction), kNow);
  CHECK(session.origin_encryption() == 2);
}

TEST_CASE("the stream id goes on as it was understood, all else as it was") {
  Bytes asked = from_hex(test::kCallerConclusion);
  Bytes other = from_hex(test::kCallerConclusion);
  other.resize(kHandshakeBytes + 16);
  test::append_stream_id(other, "#!::m=publish,r=live/livestream ");
  other.insert(other.end(), asked.begin() + kHandshakeBytes + 16 + 36, asked.end());
  Session session({}, conclusion_of(other), kClient, kNow);
  session.start_origin(kOrigin, kNow);
  session.clear_output();
  session.on_origin_packet(from_hex(test::kListenerInduction), kNow);
  check_same_but_adjusted(copy(session.to_origin()), asked, test::kListenerCookie, 0x40e, kOrigin);
  // A repetition is one of what came, not of what goes on.
  Bytes again = conclusion_of(other);
  set_timestamp(again, 900'000);
  session.on_client_conclusion(again, kNow + 250);
  session.clear_output();
  session.on_time(kNow + 250);
  CHECK(parsed(session.to_origin()).header.timestamp == 900'000);

  // Without one: behind the first extension, and announced.
  Bytes none = from_hex(test::kCallerConclusion);
  none.resize(kHandshakeBytes + 16);
  store_be16(none.data() + kHeaderBytes + 6, 1);
  SessionOptions options;
  options.stream_id.stream_id = "live/default";
  Session filled(options, conclusion_of(none), kClient, kNow);
  filled.start_origin(kOrigin, kNow);
  filled.on_origin_packet(from_hex(test::kListenerInduction), kNow);
  const Handshake sent = parsed(filled.to_origin());
  std::string text;
  REQUIRE(stream_id_of(sent, text));
  CHECK(text == "#!::r=live/default,m=request");
  CHECK(sent.extension == 5);
}

TEST_CASE("aliases change the key alone: the origin gets the name that was asked") {
  const std::string to[] = {"/live/[stream]"};
  const route::AliasText rule{"/push/[stream]", to};
  const auto aliases = route::Aliases::make({&rule, 1});
  REQUIRE(aliases);
  SessionOptions options;
  options.aliases = &*aliases;
  Session session(options, conclusion_for("#!::r=push/cam,m=publish"), kClient, kNow);
  CHECK(session.key().text == "__defaultVhost__/live/cam");
  session.start_origin(kOrigin, kNow);
  session.on_origin_packet(from_hex(test::kListenerInduction), kNow);
  std::string text;
  REQUIRE(stream_id_of(parsed(session.to_origin()), text));
  CHECK(text == "#!::r=push/cam,m=publish");
}

TEST_CASE("conclusions that no listener should see") {
  const auto word = [](std::size_t at, std::uint32_t value) {
    Bytes out = from_hex(test::kCallerConclusion);
    store_be32(out.data() + kHeaderBytes + at, value);
    return out;
  };
  const auto with = [](std::uint16_t type, std::size_t bytes, std::string_view text = {}) {
    Bytes out = from_hex(test::kCallerConclusion);
    const std::size_t at = out.size();
    out.resize(at + 4 + bytes);
    store_be16(out.data() + at, type);
    store_be16(out.data() + at + 2, static_cast<std::uint16_t>(bytes / 4));
    for (std::size_t i = 0; i < text.size(); ++i) {
      out[at + 4 + (i ^ 3)] = static_cast<std::uint8_t>(text[i]);
    }
    return out;
  };
  Bytes unannounced = from_hex(test::kCallerConclusion);
  store_be16(unannounced.data() + kHeaderBytes + 6, 3);
  Bytes bare = from_hex(test::kCallerConclusion);
  bare.resize(kHandshakeBytes);
  struct Row {
    Bytes datagram;
    std::string_view detail;
    std::uint32_t code = 1004;
  };
  const Row rows[] = {
      {word(12, 76), "mss 76, allowed 336 to 65535"},
      {word(12, 335), "mss 335, allowed 336 to 65535"},
      {word(12, 0x80000000), "mss 2147483648, allowed 336 to 65535"},
      {word(16, 0), "window 0, allowed 32 to 262144"},
      {word(16, 0x7FFFFFFF), "window 2147483647, allowed 32 to 262144"},
      {word(8, 0x7FFFFFFF), "initial_sequence 2147483647, allowed 0 to 2147483646"},
      {word(8, 0xFFFFFFFF), "initial_sequence 4294967295, allowed 0 to 2147483646"},
      {word(0, 6), "version 6, allowed 5", 1008},
      {with(1, 12), "repeated_extension 1, allowed 0"},
      {with(5, 4, "x"), "repeated_extension 5, allowed 0"},
      {with(5, 0), "stream_id_bytes 0, allowed 4 to 512"},
      {with(5, 516), "stream_id_bytes 516, allowed 4 to 512"},
      {with(2, 12), "hsrsp_bytes 12, allowed 0"},
      {with(4, 4), "kmrsp_bytes 4, allowed 0"},
      {with(3, 16), "kmreq_bytes 16, allowed 20 to 104"},
      {with(3, 108), "kmreq_bytes 108, allowed 20 to 104"},
      {with(6, 20), "congestion_bytes 20, allowed 4 to 16"},
      {with(7, 68), "filter_bytes 68, allowed 4 to 64"},
      {with(7, 20, "fec,cols:100000"), "fec_cols 100000, allowed 1 to 512"},
      {with(7, 20, "fec,cols:9,cols:-x"), "fec_cols 4294967295, allowed 1 to 512"},
      {with(7, 24, "fec,rows:-400,cols:400"), "fec_cells 160000, allowed 1 to 16384"},
      {with(8, 12), "group_bytes 12, allowed 8"},
      {with(8, 4), "group_bytes 4, allowed 8"},
      {unannounced, "extension_flags 3, allowed 4 to 7"},
      {bare, "hsreq_extensions 0, allowed 1"},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.detail));
    Session session({}, conclusion_of(row.datagram), kClient, kNow);
    CHECK(session.state() == SessionState::kRejected);
    CHECK(session.failure() == Failure::kBadConclusion);
    CHECK(session.failure_detail() == row.detail);
    CHECK(session.reject_code() == row.code);
  }
  const Bytes good[] = {
      word(12, 336),       word(12, 9000),
      word(16, 32),        word(16, 262144),
      word(8, 0x7FFFFFFE), with(99, 40),  // of a newer libsrt
      with(6, 4, "live"),  with(7, 20, "fec,cols:10,rows:-5"),
      with(8, 8),          with(3, 56),
  };
  for (const Bytes& datagram : good) {
    Session session({}, conclusion_of(datagram), kClient, kNow);
    CHECK(session.failure_detail() == "");
    CHECK(session.state() == SessionState::kRouteWanted);
  }
}

}  // namespace
}  // namespace weir::srt
