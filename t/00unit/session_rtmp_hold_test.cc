// The RTMP session of a player that is searching: what one origin says before its yes is held, and
// another one can be asked.
#include <doctest/doctest.h>

#include "t/00unit/session_rtmp_support.h"

namespace weir::rtmp::test {
namespace {

using Word = ReplayHalf::Word;

Bytes player_until_play() {
  Encoder e;
  e.add(connect("live", "rtmp://127.0.0.1/live"));
  e.add(plain("createStream", 2));
  e.add(named("play", 3, "cam1", 8, 1));
  return e.out;
}

Bytes buffer_length() {
  Encoder e;
  Message m{2, kUserControl, 0, 0, Bytes(10, 0)};
  m.payload[1] = 3;
  return e.add(m).out;
}

Message said(std::string_view level, std::string_view code, std::uint32_t stream_id) {
  Bytes payload;
  write_on_status(payload, level, code, "x");
  return command(payload, 5, stream_id);
}

// An origin until its word on play.
Encoder origin(std::uint32_t chunk_size, std::uint32_t stream_id) {
  Encoder e;
  e.add(control(kWindowAckSize, 5000000));
  e.add(control(kSetChunkSize, chunk_size));
  e.chunk_size = chunk_size;
  e.add(origin_connect_result());
  e.add(plain("onBWDone", 0));
  e.add(result(2, stream_id));
  return e;
}

Bytes says_no() {
  Encoder e = origin(300, 5);
  e.add(said("error", "NetStream.Play.StreamNotFound", 5));
  e.add(said("status", "NetStream.Play.Start", 5));  // as nginx-rtmp
  return e.out;
}

Bytes says_yes() {
  Encoder e = origin(1000, 1);
  e.add(said("status", "NetStream.Play.Start", 1));
  e.add({6, kVideo, 1, 0, Bytes(5000, 7)});
  return e.out;
}

struct Client {
  Session session{kFakeCrypto};
  Bytes to_client;
  Bytes to_origin;

  Client() {
    session.on_client_bytes(join(client_handshake(), client_c2()));
    session.on_client_bytes(player_until_play());
    collect();
  }
  void collect() {
    to_client = join(std::move(to_client), session.to_client());
    to_origin = join(std::move(to_origin), session.to_origin());
    session.to_client().clear();
    session.to_origin().clear();
  }
  void dial() {
    to_origin.clear();
    session.on_origin_connected({});
    session.on_origin_bytes(origin_handshake());
    collect();
  }
  // Until the origin has said no.
  void hear(const Bytes& bytes, std::size_t piece) {
    ByteView in(bytes);
    while (!in.empty()) {
      const std::size_t n = std::min(piece, in.size());
      session.on_origin_bytes(in.first(n));
      collect();
      in = in.subspan(n);
      if (session.word() == Word::kNo && session.holds()) return;
    }
  }
};

TEST_CASE("after a no the next origin's words are all that the player reads") {
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{100000}}) {
    Client plain;  // one that was brought there at once
    plain.dial();
    plain.hear(says_yes(), piece);

    Client client;
    client.session.hold();
    const std::size_t told = client.to_client.size();
    for (int i = 0; i < 3; ++i) {
      client.dial();
      client.hear(says_no(), piece);
      CHECK(client.session.word() == Word::kNo);
      CHECK(client.to_client.size() == told);
      CHECK_FALSE(client.session.origin_answered());
      if (i == 1) client.session.on_client_bytes(buffer_length());
      REQUIRE(client.session.can_reset());
      client.session.reset_origin();
      CHECK(client.session.state() == State::kRouteWanted);
    }
    client.dial();
    client.hear(says_yes(), piece);
    CHECK(client.to_client == plain.to_client);
    CHECK(client.session.origin_answered());
    CHECK_FALSE(client.session.holds());
    CHECK_FALSE(client.session.can_reset());
    CHECK(client.session.ready_for_relay());
    // The origin has all of the client's words, also what came while another one was asked.
    const Bytes sent = join(player_until_play(), buffer_length());
    REQUIRE(client.to_origin.size() >= sent.size());
    CHECK(std::equal(sent.rbegin(), sent.rend(), client.to_origin.rbegin()));
  }
}

TEST_CASE("the last origin's no is passed on, as without holding") {
  for (const std::size_t piece : {std::size_t{1}, std::size_t{100000}}) {
    Client plain;
    plain.dial();
    plain.hear(says_no(), piece);
    Client client;
    client.session.hold();
    client.dial();
    client.hear(says_no(), 100000);
    client.session.pass_on();
    client.collect();
    CHECK(client.session.origin_refused());
    CHECK_FALSE(client.session.origin_answered());
    CHECK(client.to_client == plain.to_client);
    // It may be asked again, and say yes then.
    Encoder again;
    again.add(named("play", 4, "cam1", 8, 1));
    client.session.on_client_bytes(again.out);
    CHECK(client.session.word() == Word::kNone);
  }
}

TEST_CASE("a refusal of our own comes in place of what was held") {
  Client client;
  client.session.hold();
  client.dial();
  client.hear(says_no(), 100000);
  client.session.refuse({}, "none has it");
  client.collect();
  const Decoded got = decode(ByteView(client.to_client).subspan(3073));
  REQUIRE(got.valid);
  Command last;
  REQUIRE(parse_command(got.messages.back().payload, kCommandAmf0, last));
  CHECK(last.code == "NetStream.Play.StreamNotFound");
  CHECK(last.description == "none has it");
  CHECK(got.messages.back().stream_id == 1);
}

TEST_CASE("what is held is bounded, and none of it is lost") {
  Client client;
  client.session.hold();
  client.dial();
  Encoder e = origin(4096, 1);
  for (int i = 0; i < 10; ++i) e.add({4, kDataAmf0, 1, 0, Bytes(4000, 2)});
  client.hear(e.out, 1000);
  CHECK_FALSE(client.session.holds());
  CHECK(client.session.word() == Word::kNone);
  const Decoded got = decode(ByteView(client.to_client).subspan(3073));
  REQUIRE(got.valid);
  CHECK(std::count_if(got.messages.begin(), got.messages.end(),
                      [](const Message& m) { return m.type == kDataAmf0; }) == 10);
}

TEST_CASE("which words are a no") {
  const auto word_of = [](const Message& m) {
    Client client;
    client.session.hold();
    client.dial();
    Encoder e = origin(4096, 1);
    e.add(m);
    client.session.on_origin_bytes(e.out);
    return client.session.word();
  };
  CHECK(word_of(said("error", "NetStream.Play.StreamNotFound", 1)) == Word::kNo);
  CHECK(word_of(said("error", "NetStream.Play.Failed", 1)) == Word::kNo);
  CHECK(word_of(said("error", "NetStream.Play.Unauthorized", 1)) == Word::kElse);
  CHECK(word_of(said("status", "NetStream.Play.Start", 1)) == Word::kYes);
  CHECK(word_of(said("status", "NetStream.Play.Reset", 1)) == Word::kNone);
  CHECK(word_of(said("status", "NetConnection.Connect.ReconnectRequest", 0)) == Word::kNone);
  CHECK(word_of(plain("_error", 3)) == Word::kNo);
  CHECK(word_of({6, kVideo, 1, 0, Bytes(10, 7)}) == Word::kYes);
}

}  // namespace
}  // namespace weir::rtmp::test
