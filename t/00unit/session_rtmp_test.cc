// The RTMP session against transcripts: what usual clients and origins say, in any splits.
#include <doctest/doctest.h>

#include "t/00unit/session_rtmp_support.h"

namespace weir::rtmp::test {
namespace {

// ---- clients

enum class Client { kFfmpeg, kObs, kGstreamer };

// All that a publisher says until media begins, `media_bytes` appended.
Bytes publisher(Client client, std::uint32_t chunk_size, const std::vector<Message>& frames,
                std::vector<Message>* sent = nullptr) {
  Encoder e;
  const std::string url = "rtmp://media.example.com:1935/live?token=a%20b";
  e.add(connect("live?token=a%20b", url));
  if (client != Client::kGstreamer) e.add(control(kSetChunkSize, chunk_size));
  if (client == Client::kGstreamer) e.add(control(kWindowAckSize, 2500000));
  e.add(named("releaseStream", 2, "cam1?k=v"), client == Client::kObs ? 1 : 0);
  e.add(named("FCPublish", 3, "cam1?k=v"), client == Client::kObs ? 1 : 0);
  e.add(plain("createStream", 4), client == Client::kObs ? 1 : 0);
  if (client == Client::kObs) e.add(plain("_checkbw", 5), 1);
  if (client == Client::kGstreamer) e.add(control(kSetChunkSize, chunk_size));
  const std::uint32_t csid = client == Client::kFfmpeg ? 8 : 4;
  e.add(named("publish", 5, "cam1?k=v", csid, 1));
  for (const Message& m : frames) {
    const auto formats = e.formats(m);
    e.add(m, formats.back());
  }
  if (sent != nullptr) *sent = e.sent;
  return e.out;
}

Bytes player(std::uint32_t buffer_ms = 3000) {
  Encoder e;
  e.add(connect("live", "rtmp://127.0.0.1/live"));
  e.add(control(kWindowAckSize, 2500000));
  e.add(plain("createStream", 2));
  e.add(named("getStreamLength", 3, "cam1"), 1);
  e.add(named("play", 4, "cam1", 8, 1));
  Message length{2, kUserControl, 0, 0, Bytes(10, 0)};
  length.payload[1] = 3;
  length.payload[5] = 1;
  store_be32(length.payload.data() + 6, buffer_ms);
  e.add(length, 1);  // as librtmp: fmt 1
  return e.out;
}

// ---- origins

Encoder nginx_like(double create_transaction, double stream_id = 1) {
  Encoder e;
  e.add(control(kWindowAckSize, 5000000));
  e.add(control(kSetPeerBandwidth, 5000000, 5));
  e.add(control(kSetChunkSize, 4096));
  e.add(origin_connect_result());
  e.add(result(create_transaction, stream_id));
  return e;
}

Encoder srs_like(double create_transaction) {
  Encoder e;
  e.add(control(kWindowAckSize, 2500000));
  e.add(control(kSetPeerBandwidth, 2500000, 5));
  e.add(control(kSetChunkSize, 60000));
  e.add(origin_connect_result());
  e.add(command(amf([](amf0::Writer& w) { w.string("onBWDone").number(0).null(); })));
  e.add(empty_result(2));
  e.add(empty_result(3));
  e.add(result(create_transaction, 1));
  e.add(command(amf([](amf0::Writer& w) {
                  w.string("onFCPublish").number(0).null().begin_object().key("code");
                  w.string("NetStream.Publish.Start").end_object();
                }),
                5, 1));
  return e;
}

std::vector<Message> frames(std::uint32_t start, int count, std::uint32_t stream_id = 1) {
  std::vector<Message> out;
  for (int i = 0; i < count; ++i) {
    const std::uint32_t ts = start + static_cast<std::uint32_t>(i) * 20;
    out.push_back(media(i % 2 == 0 ? kVideo : kAudio, i % 2 == 0 ? 6 : 4, ts, i % 2 == 0 ? 700 : 90,
                        stream_id));
  }
  return out;
}

void add_all(Encoder& e, const std::vector<Message>& messages) {
  for (const Message& m : messages) {
    const auto formats = e.formats(m);
    e.add(m, formats.back());
  }
}

// The origin's messages without those that the session drops, and without chunk sizes: the client
// is told the origin's before its first message.
std::vector<Message> without_results(std::vector<Message> messages) {
  std::erase_if(messages, [](const Message& m) {
    Command c;
    return m.type == kSetChunkSize ||
           (m.type == kCommandAmf0 && parse_command(m.payload, m.type, c) &&
            (c.kind == CommandKind::kResult || c.kind == CommandKind::kOnBwDone));
  });
  return messages;
}

// Checks the client's view: its own answers first, then the origin's messages.
void check_client_view(const Outcome& o, const Encoder& origin, std::size_t own) {
  const Decoded view = client_view(o);
  REQUIRE(view.valid);
  CHECK(view.rest == 0);
  std::vector<Message> got = without_sync(view.messages);
  REQUIRE(got.size() >= own);
  got.erase(got.begin(), got.begin() + static_cast<long>(own));
  CHECK(without_results(got) == without_results(origin.sent));
}

std::vector<Step> session_steps(const Bytes& client, const Bytes& origin) {
  return {{true, client_handshake()},
          {true, join(client_c2(), client)},
          {false, origin_handshake()},
          {false, origin}};
}

TEST_CASE("publishers of all kinds reach the origin verbatim and go raw both ways") {
  for (const Client client : {Client::kFfmpeg, Client::kObs, Client::kGstreamer}) {
    for (const std::uint32_t chunk_size : {1U, 127U, 128U, 4096U, 65536U, 70000U}) {
      for (const bool srs : {false, true}) {
        std::vector<Message> sent;
        const Bytes bytes = publisher(client, chunk_size, frames(0, 6), &sent);
        Encoder origin = srs ? srs_like(4) : nginx_like(4);
        origin.add(status("NetStream.Publish.Start"));
        origin.add(control(kAcknowledgement, 77));
        const auto steps = session_steps(bytes, origin.out);
        const Outcome o = run_whole(steps);
        CHECK(o.failure == Failure::kNone);
        CHECK(o.state == State::kRelay);
        CHECK((o.client_raw && o.origin_raw && o.answered && !o.patching));
        // C0 C1 C2, then the client's bytes as they were.
        REQUIRE(o.to_origin.size() == 1537 + 1536 + bytes.size());
        CHECK(std::equal(bytes.begin(), bytes.end(), o.to_origin.begin() + 3073));
        CHECK(decode(ByteView(o.to_origin).subspan(3073)).messages == sent);
        check_client_view(o, origin, 8);
        CHECK(split_invariant(steps, 3));
      }
    }
  }
}

TEST_CASE("a player gets the origin's messages and goes raw") {
  for (const std::uint32_t start : {0U, 0xFFFFF0U, 0x1000000U, 0xFFFFFFF0U}) {
    Encoder origin = nginx_like(2);
    origin.add(status("NetStream.Play.Start"));
    origin.add({5, kDataAmf0, 1, 0, amf([](amf0::Writer& w) { w.string("|RtmpSampleAccess"); })});
    add_all(origin, frames(start, 12));
    const auto steps = session_steps(player(), origin.out);
    const Outcome o = run_whole(steps);
    CHECK(o.state == State::kRelay);
    CHECK((o.client_raw && o.origin_raw));
    check_client_view(o, origin, 6);
    CHECK(split_invariant(steps));
  }
}

TEST_CASE("what is wanted carries the client's texts and the key") {
  Session session(kFakeCrypto);
  session.on_client_bytes(client_handshake());
  session.on_client_bytes(join(client_c2(), publisher(Client::kObs, 4096, {})));
  REQUIRE(session.state() == State::kRouteWanted);
  CHECK(session.wanted().role == Role::kPublisher);
  CHECK(session.wanted().key.text == "media.example.com/live/cam1");
  CHECK(session.wanted().app == "live?token=a%20b");
  CHECK(session.wanted().stream == "cam1?k=v");
  CHECK(session.wanted().tc_url == "rtmp://media.example.com:1935/live?token=a%20b");
}

TEST_CASE("a connect answer promises nothing of Enhanced RTMP and echoes the encoding") {
  Session session(kFakeCrypto);
  Encoder e;
  e.add(command(amf([](amf0::Writer& w) {
    w.string("connect").number(1).begin_object().key("app").string("live");
    w.key("objectEncoding").number(3).end_object();
  })));
  session.on_client_bytes(join(join(client_handshake(), client_c2()), e.out));
  const Decoded view = decode(ByteView(session.to_client()).subspan(3073));
  REQUIRE(view.messages.size() == 5);
  CHECK(view.messages[2].type == kSetChunkSize);
  const std::string text(as_text(view.messages[4].payload));
  CHECK(text.find("fourCcList") == std::string::npos);
  CHECK(text.find("capsEx") == std::string::npos);
  Bytes expected;
  write_connect_result(expected, 1, 3);
  CHECK(view.messages[4].payload == expected);
  CHECK(view.messages[4].csid == 3);
}

TEST_CASE("an origin with other stream ids is patched in both directions") {
  std::vector<Message> sent;
  const Bytes bytes = publisher(Client::kFfmpeg, 4096, frames(0, 6), &sent);
  Encoder origin = nginx_like(4, 9);
  origin.add(status("NetStream.Publish.Start", "status", 9));
  add_all(origin, frames(0, 6, 9));
  auto steps = session_steps(bytes, origin.out);
  Encoder later;
  later.chunk_size = 4096;
  later.add(media(kVideo, 40, 500, 5000));
  steps.push_back({true, later.out});
  const Outcome o = run_whole(steps);
  CHECK(o.failure == Failure::kNone);
  CHECK((o.patching && !o.client_raw && !o.origin_raw && o.answered));
  for (Message& m : sent) m.stream_id = m.stream_id == 1 ? 9 : m.stream_id;
  sent.push_back(media(kVideo, 40, 500, 5000, 9));
  CHECK(decode(ByteView(o.to_origin).subspan(3073)).messages == sent);
  auto back = without_results(origin.sent);
  for (Message& m : back) m.stream_id = m.stream_id == 9 ? 1 : m.stream_id;
  auto got = client_view(o).messages;
  got.erase(got.begin(), got.begin() + 8);
  CHECK(without_results(got) == back);
  CHECK(split_invariant(steps));
}

TEST_CASE("pipelined publish waits for the origin's stream id") {
  Session session(kFakeCrypto);
  session.on_client_bytes(
      join(join(client_handshake(), client_c2()), publisher(Client::kObs, 4096, frames(0, 4))));
  session.on_origin_connected({});
  session.on_origin_bytes(origin_handshake());
  CHECK(session.state() == State::kReplay);
  CHECK_FALSE(session.can_reset());
  const auto sent = [&] { return decode(ByteView(session.to_origin()).subspan(3073)).messages; };
  const std::size_t connect_only = sent().size();
  Encoder origin;
  origin.add(origin_connect_result());
  session.on_origin_bytes(origin.out);
  CHECK(session.state() == State::kReplay);
  CHECK(sent().size() > connect_only);
  CHECK(sent().back().payload == plain("_checkbw", 5).payload);
  const std::size_t without_connect = origin.out.size();
  origin.add(result(4, 1));
  session.on_origin_bytes(ByteView(origin.out).subspan(without_connect));
  CHECK(session.state() == State::kAnswers);
  CHECK_FALSE(session.can_reset());
  CHECK_FALSE(session.client_raw());  // its commands count until the origin has answered
  CHECK_FALSE(session.origin_raw());
}

TEST_CASE("an origin's refusals pass as it said them") {
  Encoder denied = nginx_like(4);
  denied.add(status("NetStream.Publish.BadName", "error"));
  Outcome o = run_whole(session_steps(publisher(Client::kObs, 4096, {}), denied.out));
  CHECK((o.refused && !o.answered));
  CHECK(client_view(o).messages.back() == denied.sent.back());

  Encoder rejected;
  rejected.add(control(kWindowAckSize, 5000000));
  rejected.add(command(amf([](amf0::Writer& w) {
    w.string("_error").number(1).null().begin_object().key("level").string("error");
    w.key("code").string("NetConnection.Connect.Rejected").end_object();
  })));
  const auto steps = session_steps(publisher(Client::kFfmpeg, 4096, {}), rejected.out);
  o = run_whole(steps);
  CHECK((o.refused && !o.answered));
  CHECK(o.state == State::kReplay);
  CHECK(client_view(o).messages.back() == rejected.sent.back());
  CHECK(split_invariant(steps));
}

TEST_CASE("an origin that breaks the handshake can be replaced, one that has spoken cannot") {
  const Bytes bytes = publisher(Client::kObs, 4096, {});
  Session session(kFakeCrypto);
  session.on_client_bytes(join(join(client_handshake(), client_c2()), bytes));
  session.to_client().clear();
  session.on_origin_connected({});
  session.on_origin_bytes(Bytes(10, 4));
  REQUIRE(session.state() == State::kFailed);
  for (int i = 0; i < 2; ++i) {  // a broken one, and one that stops half way
    REQUIRE(session.can_reset());
    session.reset_origin();
    CHECK(session.state() == State::kRouteWanted);
    CHECK(session.failure() == Failure::kNone);
    CHECK(session.to_origin().empty());
    session.on_origin_connected({});
    if (i == 0) session.on_origin_bytes(ByteView(origin_handshake()).first(1000));
  }
  session.on_origin_bytes(origin_handshake());
  CHECK_FALSE(session.can_reset());
  Encoder origin = nginx_like(4);
  origin.add(status("NetStream.Publish.Start"));
  session.on_origin_bytes(origin.out);
  CHECK(std::equal(bytes.begin(), bytes.end(), session.to_origin().begin() + 3073,
                   session.to_origin().end()));
  CHECK((session.client_raw() && session.origin_raw()));
  CHECK_FALSE(session.can_reset());

  Session client(kFakeCrypto);  // the client's own faults are final
  client.on_client_bytes(Bytes(10, 4));
  CHECK(client.state() == State::kFailed);
  CHECK_FALSE(client.can_reset());
}

TEST_CASE("what an origin makes of the client's words is that client's end, with a word") {
  Session session(kFakeCrypto);
  session.on_client_bytes(
      join(join(client_handshake(), client_c2()), publisher(Client::kObs, 4096, {})));
  session.on_origin_connected({});
  session.on_origin_bytes(join(origin_handshake(), Bytes{0xC3}));
  CHECK(session.failure() == Failure::kOriginBadChunk);
  CHECK_FALSE(session.can_reset());
  Command c;
  const Decoded view = decode(ByteView(session.to_client()).subspan(3073));
  CHECK(parse_command(view.messages.back().payload, kCommandAmf0, c));
  CHECK(c.code == "NetStream.Publish.Denied");
}

TEST_CASE("refuse speaks to the client in the terms of its role") {
  const auto last_word = [](const Bytes& script) {
    Session session(kFakeCrypto);
    session.on_client_bytes(join(join(client_handshake(), client_c2()), script));
    session.refuse({}, "no origin");
    CHECK(session.state() == State::kFailed);
    CHECK(session.failure() == Failure::kRefused);
    const Decoded view = decode(ByteView(session.to_client()).subspan(3073));
    CHECK(view.valid);
    if (view.messages.empty()) return std::string();
    Command c;
    CHECK(parse_command(view.messages.back().payload, kCommandAmf0, c));
    CHECK(c.level == "error");
    return std::string(c.code);
  };
  CHECK(last_word(publisher(Client::kObs, 4096, {})) == "NetStream.Publish.Denied");
  CHECK(last_word(player()) == "NetStream.Play.StreamNotFound");
  CHECK(last_word(Encoder().add(connect("live", "")).out) == "NetConnection.Connect.Rejected");
  CHECK(last_word({}).empty());
}

TEST_CASE("the address prefix goes before C0") {
  ClientHandshakeOptions options;
  options.client_ipv4 = {{192, 0, 2, 7}};
  const Outcome o = run(
      session_steps(player(), {}), [] { return SIZE_MAX; }, {}, options);
  const Bytes start(o.to_origin.begin(), o.to_origin.begin() + 8);
  CHECK(start == Bytes{0xF3, 0, 4, 192, 0, 2, 7, 3});
}

// Random origins: any mix of chunk streams, formats, interleaving and dropped answers.
TEST_CASE("the client decodes what the origin meant, whatever was dropped") {
  std::mt19937 engine(99);
  const auto rnd = [&engine] { return static_cast<std::uint32_t>(engine()); };
  int raw = 0;
  for (int round = 0; round < 400; ++round) {
    Encoder origin;
    std::vector<Message> expected;
    // Answers on odd chunk streams and stamps, so that dropping them leaves the states apart.
    const std::uint32_t csid = round % 3 == 0 ? 3 : 4 + rnd() % 4;
    Message first = origin_connect_result();
    first.csid = csid;
    first.timestamp = rnd() % 3 == 0 ? 0 : rnd() % 2000;
    Message second = result(4, 1);
    second.csid = csid;
    second.timestamp = first.timestamp + rnd() % 40;
    origin.add(first);
    if (rnd() % 2 == 0) origin.add(control(kSetChunkSize, 1 + rnd() % 300));
    origin.add(second, origin.formats(second)[rnd() % origin.formats(second).size()]);
    std::map<std::uint32_t, std::uint32_t> clock{{csid, second.timestamp}};
    std::vector<std::vector<Bytes>> open;  // interleaved messages, chunk lists
    const int count = 3 + static_cast<int>(rnd() % 20);
    for (int i = 0; i < count; ++i) {
      const std::uint32_t on = rnd() % 2 == 0 ? csid : 3 + rnd() % 6;
      if (clock.find(on) == clock.end()) clock[on] = 0;
      const bool big_jump = rnd() % 10 == 0;
      clock[on] += big_jump ? 0x1000000 : (rnd() % 3) * 20;
      Message m = media(rnd() % 2 == 0 ? kVideo : kAggregate, on, clock[on],
                        rnd() % 4 == 0 ? 0 : 29 + (rnd() % 3) * 200, rnd() % 4 == 0 ? 0 : 1);
      if (rnd() % 6 == 0) {
        m = status("NetStream.Data.Start", "status", m.stream_id, on);
        m.timestamp = clock[on];
      }
      const auto formats = origin.formats(m);
      origin.add(m, formats[rnd() % formats.size()]);
    }
    const auto steps = session_steps(publisher(Client::kObs, 4096, {}), origin.out);
    const Outcome o = run_whole(steps);
    REQUIRE(o.failure == Failure::kNone);
    raw += o.origin_raw ? 1 : 0;
    check_client_view(o, origin, 8);
    if (round % 20 == 0) CHECK(split_invariant(steps, 2));
  }
  CHECK(raw > 100);
}

TEST_CASE("interleaved chunks of held and passing messages") {
  Encoder origin;
  origin.add(origin_connect_result());
  const Message answer = result(4, 1);
  const Message info = status("NetStream.Publish.Start");
  origin.add(answer);
  Message big = media(kVideo, 6, 40, 1000);
  std::vector<Bytes> a = origin.chunks(info, 0);
  std::vector<Bytes> b = origin.chunks(big, 0);
  REQUIRE(a.size() >= 1);
  REQUIRE(b.size() == 8);
  Bytes mixed = b[0];
  mixed = join(mixed, a[0]);
  mixed = join(mixed, b[1]);
  for (std::size_t i = 1; i < a.size(); ++i) mixed = join(mixed, a[i]);
  for (std::size_t i = 2; i < b.size(); ++i) mixed = join(mixed, b[i]);
  origin.out = join(origin.out, mixed);
  const auto steps = session_steps(publisher(Client::kObs, 4096, {}), origin.out);
  const Outcome o = run_whole(steps);
  CHECK(o.origin_raw);
  auto got = without_sync(client_view(o).messages);
  got.erase(got.begin(), got.begin() + 8);
  CHECK(without_results(got) == std::vector<Message>{info, big});
  CHECK(split_invariant(steps));
}

TEST_CASE("a dropped answer on a chunk stream of its own is made up for by a no-op") {
  Encoder origin;
  Message first = origin_connect_result();
  first.csid = 7;
  origin.add(first).add(result(4, 1)).add(status("NetStream.Publish.Start"));
  const Outcome o = run_whole(session_steps(publisher(Client::kObs, 4096, {}), origin.out));
  CHECK(o.origin_raw);
  const auto view = client_view(o).messages;
  REQUIRE(view.size() == 11);
  CHECK(view.back().csid == 7);
  CHECK(view.back().payload.size() == first.payload.size());
  CHECK(as_text(view.back().payload).substr(3, 10) == "onWeirSync");
}

// ---- limits and failures

Failure failure_of(const Bytes& client, const Bytes& origin = {}, const SessionLimits& l = {}) {
  const auto steps = session_steps(client, origin);
  const Outcome o = run_whole(steps, l);
  CHECK(split_invariant(steps, 2, l));
  CHECK(o.max_buffered < 400 * 1024);
  return o.failure;
}

TEST_CASE("each limit and fault has its name") {
  CHECK(run_whole({{true, Bytes(10, 6)}}).failure == Failure::kBadHandshake);
  CHECK(failure_of({0xC3}) == Failure::kBadChunk);
  const Bytes zero_size = Encoder().add(control(kSetChunkSize, 0)).out;
  CHECK(failure_of(zero_size) == Failure::kBadChunk);
  Encoder many;
  for (std::uint32_t i = 0; i < 65; ++i) many.add(media(kAudio, 3 + i, 0, 1));
  CHECK(failure_of(many.out) == Failure::kChunkStreamsLimit);
  CHECK(failure_of(Encoder().add(command(Bytes(70000, 0))).out) == Failure::kMessageTooLarge);
  CHECK(failure_of(Encoder().add(command(Bytes(20, 0xFF))).out) == Failure::kBadAmf);
  CHECK(failure_of(Encoder().add(plain("createStream", 1)).out) ==
        Failure::kUnsupportedCommandOrder);
  CHECK(failure_of(Encoder().add(connect("a", "")).add(connect("a", "")).out) ==
        Failure::kUnsupportedCommandOrder);
  CHECK(failure_of(Encoder().add(connect("a", "")).add(media(kVideo, 6, 0, 200000)).out) ==
        Failure::kPreambleLimit);
  CHECK(failure_of(Encoder().add(connect("a", "")).add(named("publish", 2, "")).out) ==
        Failure::kBadStreamKey);
  CHECK(failure_of(Encoder().add(connect("a", "")).add(named("play", 2, "../x")).out) ==
        Failure::kBadStreamKey);
  Encoder chatter;
  chatter.add(connect("a", ""));
  for (int i = 0; i < 100; ++i) chatter.add(plain("hello", 0));
  CHECK(failure_of(chatter.out) == Failure::kCommandsLimit);
  Encoder greedy;
  greedy.add(connect("a", ""));
  for (int i = 0; i < 17; ++i) greedy.add(plain("createStream", 2 + i));
  CHECK(failure_of(greedy.out) == Failure::kCommandsLimit);
}

TEST_CASE("each fault of an origin has its name") {
  const Bytes client = publisher(Client::kObs, 4096, {});
  CHECK(failure_of(client, {0xC3}) == Failure::kOriginBadChunk);
  CHECK(failure_of(client, Encoder().add(command(Bytes(70000, 0))).out) ==
        Failure::kOriginMessageTooLarge);
  for (const Message& answer : {result(4, 0), result(4, 0.5), empty_result(4)}) {
    CHECK(failure_of(client, Encoder().add(origin_connect_result()).add(answer).out) ==
          Failure::kOriginBadAmf);
  }
  Encoder many;
  for (std::uint32_t i = 0; i < 65; ++i) many.add(media(kAudio, 300 + i, 0, 1));
  CHECK(failure_of(client, many.out) == Failure::kOriginChunkStreamsLimit);
  const Outcome o = run_whole(
      {{true, join(client_handshake(), client_c2())}, {true, client}, {false, Bytes(10, 4)}});
  CHECK(o.failure == Failure::kOriginBadHandshake);
}

TEST_CASE("a large media message costs no memory and a slow dial stops the reading") {
  Session session(kFakeCrypto);
  session.on_client_bytes(
      join(join(client_handshake(), client_c2()), publisher(Client::kObs, 65536, {})));
  const Bytes piece(16384, 1);
  int reads = 0;
  while (session.want_client_bytes() && reads < 100) {
    session.on_client_bytes(piece);
    ++reads;
  }
  CHECK(reads == 8);
  CHECK(session.state() == State::kRouteWanted);
  CHECK(session.buffered_bytes() < 300 * 1024);
}

TEST_CASE("a session before publish or play holds a few kB") {
  Session session(kFakeCrypto);
  session.on_client_bytes(join(client_handshake(), client_c2()));
  Bytes().swap(session.to_client());
  session.on_client_bytes(Encoder().add(connect("live", "rtmp://h/live")).out);
  CHECK(session.buffered_bytes() < 4096);
}

}  // namespace
}  // namespace weir::rtmp::test
