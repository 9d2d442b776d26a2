// The RTMP session against odd clients: transaction ids, names, a second try, another stream.
#include <doctest/doctest.h>

#include "t/00unit/session_rtmp_support.h"

namespace weir::rtmp::test {
namespace {

struct Talk {
  Session session{kFakeCrypto};

  explicit Talk(const Bytes& client) {
    session.on_client_bytes(join(join(client_handshake(), client_c2()), client));
    session.on_origin_connected({});
    session.on_origin_bytes(origin_handshake());
  }
  void origin(const Bytes& bytes) { session.on_origin_bytes(bytes); }
  std::vector<Message> sent() {
    return decode(ByteView(session.to_origin()).subspan(3073)).messages;
  }
  std::vector<Message> told() {
    return decode(ByteView(session.to_client()).subspan(3073)).messages;
  }
};

Bytes naming(std::string_view app, std::string_view name, std::string_view kind = "publish",
             const std::vector<Message>& before = {}) {
  Encoder e;
  e.add(connect(app, "rtmp://127.0.0.1/" + std::string(app)));
  for (const Message& m : before) e.add(m);
  e.add(plain("createStream", 4)).add(named(kind, 5, name, 8, 1));
  return e.out;
}

Message srs_connect_result() {
  return command(amf([](amf0::Writer& w) {
    w.string("_result").number(1).begin_object().key("fmsVer").string("FMS").end_object();
    w.begin_object().key("code").string("NetConnection.Connect.Success").key("data");
    w.begin_ecma_array(1).key("srs_server").string("SRS/7.0.18").end_object().end_object();
  }));
}

std::string name_in(const Message& m) {
  Command c;
  REQUIRE(parse_command(m.payload, m.type, c));
  return std::string(c.stream);
}

TEST_CASE("answers are told apart by nature and order where ids are not enough") {
  struct Case {
    double release, fc_publish, create;
    bool answers_all;
  };
  for (const Case c : {Case{2, 3, 4, true},
                       {2, 2, 2, true},
                       {0, 0, 0, true},
                       {0, 0, 0, false},
                       {4, 3, 4, false},
                       {1, 1, 1, true},
                       {3, 2, 1, false}}) {
    for (const double connect_id : {0.0, 1.0, 5.0}) {
      Encoder e;
      e.add(connect("live", "rtmp://h/live", connect_id));
      e.add(named("releaseStream", c.release, "a")).add(named("FCPublish", c.fc_publish, "a"));
      e.add(plain("createStream", c.create)).add(named("publish", 9, "a", 8, 1));
      Encoder origin;
      origin.add(origin_connect_result(1));  // whatever it was asked with
      if (c.answers_all) origin.add(empty_result(c.release)).add(empty_result(c.fc_publish));
      origin.add(result(c.create, 1)).add(status("NetStream.Publish.Start"));
      const std::vector<Step> steps{{true, join(join(client_handshake(), client_c2()), e.out)},
                                    {false, origin_handshake()},
                                    {false, origin.out}};
      const Outcome o = run_whole(steps);
      CHECK((o.answered && o.client_raw && o.origin_raw));
      CHECK(client_view(o).messages.size() == 10);  // eight of its own, chunk size, status
      CHECK(split_invariant(steps, 2));
    }
  }
}

TEST_CASE("the answer of a command that Weir has not answered passes") {
  Encoder e;
  e.add(connect("live", "rtmp://h/live")).add(plain("createStream", 2));
  e.add(named("getStreamLength", 3, "a")).add(named("play", 4, "a", 8, 1));
  Talk talk(e.out);
  talk.session.to_client().resize(3073);
  Encoder origin;
  origin.add(origin_connect_result()).add(result(3, 12.5)).add(result(2, 1));
  talk.origin(origin.out);
  CHECK(talk.session.state() == State::kAnswers);
  REQUIRE(talk.told().size() == 2);
  CHECK(talk.told()[0].type == kSetChunkSize);
  CHECK(talk.told()[1].payload == result(3, 12.5).payload);
}

TEST_CASE("what an origin says out of place is dropped") {
  Talk talk(naming("live", "a", "play"));
  talk.session.to_client().resize(3073);
  Encoder origin;
  const Message done = command(amf([](amf0::Writer& w) { w.string("onBWDone").number(0).null(); }));
  origin.add(origin_connect_result()).add(done).add(plain("onSomething", 0));
  origin.add(result(4, 1)).add(done).add(status("NetStream.Play.Start"));
  talk.origin(origin.out);
  CHECK(talk.session.origin_raw());
  for (const Message& m : talk.told()) {
    CHECK(as_text(m.payload).find("onBWDone") == std::string_view::npos);
    CHECK(as_text(m.payload).find("onSomething") == std::string_view::npos);
  }
}

TEST_CASE("texts that origins read differently are rewritten, all else stays") {
  std::vector<Message> before{named("releaseStream", 2, "other"), named("FCPublish", 3, "cam\n")};
  Encoder later;
  const Bytes client = naming("live//", "cam\n", "publish", before);
  Encoder origin;
  origin.add(origin_connect_result()).add(result(4, 1)).add(status("NetStream.Publish.Start"));
  later.add(media(kVideo, 6, 0, 700)).add(media(kVideo, 6, 40, 700), 2);
  later.add(media(kVideo, 8, 80, 300));
  const std::vector<Step> steps{{true, join(join(client_handshake(), client_c2()), client)},
                                {false, origin_handshake()},
                                {false, origin.out},
                                {true, later.out}};
  const Outcome o = run_whole(steps);
  CHECK((o.failure == Failure::kNone && o.answered && !o.client_raw));
  const auto sent = decode(ByteView(o.to_origin).subspan(3073)).messages;
  REQUIRE(sent.size() == 8);
  Command c;
  REQUIRE(parse_command(sent[0].payload, sent[0].type, c));
  CHECK((c.app == "live" && c.tc_url == "rtmp://127.0.0.1/live//"));
  CHECK((name_in(sent[1]) == "cam" && name_in(sent[2]) == "cam" && name_in(sent[4]) == "cam"));
  CHECK(std::vector<Message>(sent.begin() + 5, sent.end()) == later.sent);
  CHECK(split_invariant(steps));
}

TEST_CASE("SRS gets no slash in the query of a name, others get it as it came") {
  for (const bool srs : {false, true}) {
    Talk talk(naming("live", "cam?k=/x", "publish", {named("FCPublish", 3, "cam?k=/x")}));
    Encoder origin;
    origin.add(srs ? srs_connect_result() : origin_connect_result()).add(result(4, 7));
    origin.add(status("NetStream.Publish.Start", "status", 7));
    talk.origin(origin.out);
    const auto sent = talk.sent();
    REQUIRE(sent.size() == 4);
    const char* name = srs ? "cam?k=%2Fx" : "cam?k=/x";
    CHECK((name_in(sent[1]) == name && name_in(sent[3]) == name));
    CHECK(sent[3].stream_id == 7);
    CHECK(talk.session.origin_answered());
  }
}

TEST_CASE("every createStream is answered with 1, and the origin's last id is used") {
  Encoder e;
  e.add(connect("live", "rtmp://h/live"))
      .add(plain("createStream", 2))
      .add(plain("createStream", 3));
  e.add(named("publish", 4, "a", 8, 1)).add(media(kVideo, 6, 0, 200));
  Talk talk(e.out);
  CHECK(talk.told().back().payload == result(3, 1).payload);
  Encoder origin;
  origin.add(origin_connect_result()).add(result(2, 5)).add(result(3, 9));
  origin.add(status("NetStream.Publish.Start", "status", 9));
  talk.origin(origin.out);
  CHECK(talk.sent().back().stream_id == 9);
  CHECK(talk.told().back().stream_id == 1);
}

TEST_CASE("a refused publish may be asked again, for the same stream only") {
  for (const bool other : {false, true}) {
    Talk talk(naming("live", "a"));
    Encoder origin;
    origin.add(origin_connect_result()).add(result(4, 1));
    origin.add(status("NetStream.Publish.BadName", "error"));
    talk.origin(origin.out);
    CHECK((talk.session.origin_refused() && !talk.session.client_raw()));
    talk.session.on_client_bytes(Encoder().add(plain("createStream", 6)).out);
    talk.origin(Encoder().add(result(6, 1)).out);
    CHECK(talk.told().back().payload == result(6, 1).payload);  // this one Weir has not answered
    talk.session.on_client_bytes(Encoder().add(named("publish", 7, other ? "b" : "a", 8, 1)).out);
    if (other) {
      CHECK(talk.session.failure() == Failure::kStreamLeft);
      CHECK(talk.session.to_origin().empty());
      continue;
    }
    talk.origin(Encoder().add(status("NetStream.Publish.Start")).out);
    CHECK((talk.session.origin_answered() && !talk.session.origin_refused()));
    CHECK(talk.session.ready_for_relay());
  }
}

TEST_CASE("orders of commands that would pass what is judged") {
  const auto failure = [](const std::vector<Message>& messages) {
    Encoder e;
    e.add(connect("live", "rtmp://h/live"));
    for (const Message& m : messages) e.add(m);
    Session session(kFakeCrypto);
    session.on_client_bytes(join(join(client_handshake(), client_c2()), e.out));
    return session.failure();
  };
  CHECK(failure({plain("createStream", 2), named("FCPublish", 3, "b"), named("play", 4, "a")}) ==
        Failure::kUnsupportedCommandOrder);
  CHECK(failure({named("FCUnpublish", 3, "b"), named("play", 4, "a")}) ==
        Failure::kUnsupportedCommandOrder);
  CHECK(failure({named("play2", 3, "b")}) == Failure::kUnsupportedCommandOrder);
  CHECK(failure({named("FCSubscribe", 3, "b"), named("play", 4, "a")}) == Failure::kNone);
  const Message twice = command(amf([](amf0::Writer& w) {
    w.string("connect").number(1).begin_object().key("app").string("a");
    w.key("app").string("b").end_object();
  }));
  Session session(kFakeCrypto);
  session.on_client_bytes(join(join(client_handshake(), client_c2()), Encoder().add(twice).out));
  CHECK(session.failure() == Failure::kBadAmf);
  // Pipelined behind the first one.
  Encoder e;
  e.add(connect("live", "rtmp://h/live")).add(plain("createStream", 2));
  e.add(named("publish", 3, "a", 8, 1)).add(named("publish", 4, "b", 8, 1));
  Talk talk(e.out);
  talk.origin(Encoder().add(origin_connect_result()).add(result(2, 1)).out);
  CHECK(talk.session.failure() == Failure::kStreamLeft);
}

// ---- after the relay has begun

std::unique_ptr<StreamWatch> watch_of(std::string_view kind) {
  Talk talk(naming("live", "a", kind));
  Encoder origin;
  origin.add(origin_connect_result()).add(result(4, 1));
  origin.add(status(kind == "play" ? "NetStream.Play.Start" : "NetStream.Publish.Start"));
  talk.origin(origin.out);
  REQUIRE(talk.session.ready_for_relay());
  return talk.session.take_watch();
}

// How a watch takes a message, in one piece and byte by byte, behind an acknowledgement.
Failure taken(std::string_view kind, const Message& message) {
  const Bytes bytes = Encoder().add(control(kAcknowledgement, 77)).add(message).out;
  const auto whole = watch_of(kind);
  const bool goes_on = whole->feed(bytes);
  const auto split = watch_of(kind);
  for (const std::uint8_t& b : bytes) {
    if (!split->feed({&b, 1})) break;
  }
  CHECK(split->failure() == whole->failure());
  CHECK(goes_on == (whole->failure() == Failure::kNone));
  return whole->failure();
}

TEST_CASE("a player that leaves its stream") {
  for (const char* name : {"pause", "seek", "createStream", "receiveVideo", "_checkbw"}) {
    CHECK(taken("play", plain(name, 0)) == Failure::kNone);
  }
  CHECK(taken("play", named("play", 0, "a", 8, 1)) == Failure::kNone);
  CHECK(taken("play", named("play", 0, "b", 8, 1)) == Failure::kStreamLeft);
  CHECK(taken("play", named("publish", 0, "a", 8, 1)) == Failure::kStreamLeft);
  CHECK(taken("play", named("FCPublish", 0, "a")) == Failure::kStreamLeft);
  for (const char* name : {"closeStream", "deleteStream", "play2", "play", "connect"}) {
    CHECK(taken("play", plain(name, 0)) == Failure::kStreamLeft);
  }
  CHECK(taken("play", command(Bytes(20, 0xFF))) == Failure::kBadAmf);
}

TEST_CASE("a publisher whose stream ends") {
  CHECK(taken("publish", status("NetStream.Publish.Start")) == Failure::kStreamLeft);
  CHECK(taken("publish", status("NetStream.Unpublish.Success")) == Failure::kStreamLeft);
  CHECK(taken("publish", status("NetStream.Publish.BadName", "error")) == Failure::kStreamLeft);
  CHECK(taken("publish", plain("onFCUnpublish", 0)) == Failure::kStreamLeft);
  CHECK(taken("publish", status("NetStream.Publish.Idle")) == Failure::kNone);
  CHECK(taken("publish", status("NetConnection.Connect.ReconnectRequest")) == Failure::kNone);
  CHECK(taken("publish", result(9, 1)) == Failure::kNone);
  CHECK(taken("publish", command(Bytes(20, 0xFF))) == Failure::kNone);  // the client's to judge
}

}  // namespace
}  // namespace weir::rtmp::test
