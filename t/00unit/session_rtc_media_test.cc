// The WebRTC worker's pure decisions: replays, moves of a client, the STUN server's budget.
#include <doctest/doctest.h>

#include <array>

#include "workers/rtc/rtc_session.h"

using namespace weir;
using namespace weir::rtc;

namespace {

constexpr HashSeed kSeed{1, 2};

Endpoint at(const char* text) {
  return *parse_listen(text);
}

StunTransaction transaction(std::uint8_t n) {
  StunTransaction out{};
  out[0] = n;
  out[11] = static_cast<std::uint8_t>(n * 7);
  return out;
}

}  // namespace

TEST_CASE("what a STUN message is for") {
  std::array<std::uint8_t, kStunWriteBytes> buffer;
  const StunCrypto crypto{[](ByteView, ByteView, ByteView, std::uint8_t* out) {
    std::fill(out, out + kStunIntegrityBytes, std::uint8_t{0});
  }};
  StunMessage message;
  BindingRequest request;
  request.username = "a:b";
  request.password = "p";
  CHECK(classify_stun(write_binding_request(buffer, request, crypto), message) == StunUse::kCheck);
  CHECK(message.username == "a:b");
  const StunTransaction id{};
  CHECK(classify_stun(StunWriter(buffer, StunClass::kRequest, kStunBinding, id).finish(),
                      message) == StunUse::kPlain);
  CHECK(classify_stun(StunWriter(buffer, StunClass::kRequest, 3, id).finish(), message) ==
        StunUse::kMalformed);
  CHECK(classify_stun(StunWriter(buffer, StunClass::kIndication, kStunBinding, id).finish(),
                      message) == StunUse::kOther);
  CHECK(classify_stun(write_binding_success(buffer, id, at("192.0.2.1:5"), {}, crypto), message) ==
        StunUse::kOther);
  CHECK(classify_stun({}, message) == StunUse::kMalformed);
}

TEST_CASE("a way has both addresses in its tag") {
  const auto tag = path_tag(kSeed, at("192.0.2.1:5"), at("192.0.2.9:1"));
  CHECK(tag != 0);
  CHECK(tag == path_tag(kSeed, at("192.0.2.1:5"), at("192.0.2.9:1")));
  CHECK(tag != path_tag(kSeed, at("192.0.2.1:6"), at("192.0.2.9:1")));
  CHECK(tag != path_tag(kSeed, at("192.0.2.1:5"), at("192.0.2.8:1")));
}

TEST_CASE("a transaction from elsewhere is a replay") {
  TransactionTable table(kSeed);
  using Seen = TransactionTable::Seen;
  CHECK(table.from_of(transaction(1)) == nullptr);
  const auto from = [](std::uint16_t socket) {
    TransactionTable::From out;
    out.socket = socket;
    return out;
  };
  CHECK(table.note(transaction(1), 10, from(10)) == Seen::kNew);
  CHECK(table.note(transaction(1), 10, from(10)) == Seen::kAgain);
  CHECK(table.note(transaction(1), 11, from(11)) == Seen::kElsewhere);
  CHECK(table.from_of(transaction(1))->socket == 10);  // the replay has not taken its place
  CHECK(table.note(transaction(2), 11, from(11)) == Seen::kNew);
  CHECK(table.from_of(transaction(2))->socket == 11);
}

TEST_CASE("a second request from the same way within a while") {
  ProofMemory memory;
  CHECK_FALSE(memory.repeated(1, 1, 10, 1000));
  CHECK(memory.repeated(1, 1, 10, 6000));
  CHECK_FALSE(memory.repeated(1, 1, 10, 60000));  // too late
  CHECK_FALSE(memory.repeated(1, 2, 10, 60001));  // another session in the slot
  CHECK_FALSE(memory.repeated(1, 2, 11, 60002));
}

TEST_CASE("when the media moves") {
  MoveQuestion question;
  CHECK(may_move(question));  // nobody is there yet
  question.has_client = true;
  question.media_seen = true;
  question.quiet_ms = 100000;
  CHECK_FALSE(may_move(question));  // a check of a spare way
  for (bool MoveQuestion::*reason : {&MoveQuestion::same_host, &MoveQuestion::use_candidate,
                                     &MoveQuestion::repeated, &MoveQuestion::followed}) {
    MoveQuestion meant = question;
    meant.*reason = true;
    const std::uint64_t wait = meant.same_host ? kQuietSameHostMs : kQuietMs;
    meant.quiet_ms = wait - 1;
    CHECK_FALSE(may_move(meant));
    meant.quiet_ms = wait;
    CHECK(may_move(meant));
    meant.quiet_ms = 0;
    meant.media_seen = false;  // ICE is still at work
    CHECK(may_move(meant));
  }
}

TEST_CASE("what a proof gives the right to, where the session is not") {
  ClaimQuestion question;
  CHECK(decide_claim(question) == Claim::kClient);  // the first address
  question.has_client = question.owned = true;
  CHECK(decide_claim(question) == Claim::kNone);  // sent again
  question.fresh = true;
  CHECK(decide_claim(question) == Claim::kOwner);
  question.by_tcp = true;
  CHECK(decide_claim(question) == Claim::kOwner);
  question.recorded_tcp = true;
  CHECK(decide_claim(question) == Claim::kClient);  // another connection
  question.by_tcp = false;
  CHECK(decide_claim(question) == Claim::kNone);  // a connection stays with its worker
  question.owned = false;
  CHECK(decide_claim(question) == Claim::kClient);
  question.owned = question.young = true;
  CHECK(decide_claim(question) == Claim::kClient);
  question.recorded_tcp = question.fresh = question.young = false;
  question.same_client = true;
  CHECK(decide_claim(question) == Claim::kClient);
}

TEST_CASE("a session goes to and fro at a bounded pace") {
  ClaimPace pace;
  CHECK(pace.take(1, 1, 1000));
  CHECK_FALSE(pace.take(1, 1, 1400));
  CHECK(pace.take(1, 2, 1400));  // another session in the slot
  CHECK(pace.take(2, 1, 1400));
  CHECK(pace.take(1, 2, 1900));
}

TEST_CASE("the STUN server never sends more than it got") {
  StunBudget budget;
  std::size_t got = 0;
  std::size_t sent = 0;
  std::uint32_t answers = 0;
  for (std::uint64_t now = 0; now < 20000; now += 50) {
    got += 20;
    if (!budget.take(7, 20, 40, now)) continue;
    sent += 40;
    ++answers;
    CHECK(sent <= got);
  }
  CHECK(answers > 150);
  CHECK(answers <= 10 * 20);  // ten a second
  // Room for one address does not help another.
  CHECK_FALSE(budget.take(8, 20, 40, 20000));
}

TEST_CASE("the STUN server's answers in all are bounded") {
  StunBudget budget;
  std::uint32_t answers = 0;
  for (std::uint32_t tag = 1; tag < 10000; ++tag) answers += budget.take(tag, 64, 40, 5) ? 1U : 0U;
  CHECK(answers == 2000);
  CHECK(budget.take(20000, 64, 40, 1005));
}
