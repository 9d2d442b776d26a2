#include "workers/rtc/rtc_session.h"

#include <algorithm>
#include <cstring>

namespace weir::rtc {
namespace {

constexpr std::size_t kTransactions = 8192;  // some seconds of a few thousand sessions
constexpr std::size_t kProofs = 4096;
constexpr std::uint64_t kRepeatedMs = 12000;  // consent comes every 5 s, give or take (RFC 7675)
constexpr std::uint64_t kClaimEveryMs = 500;
constexpr std::size_t kBudgets = 4096;
constexpr std::uint32_t kAnswersPerAddress = 10;
constexpr std::uint32_t kAnswersInAll = 2000;
constexpr std::uint64_t kCreditMax = 2048;

}  // namespace

StunUse classify_stun(ByteView packet, StunMessage& out) {
  if (parse_stun(packet, out) != StunError::kNone) return StunUse::kMalformed;
  if (out.cls != StunClass::kRequest) return StunUse::kOther;
  if (out.method != kStunBinding) return StunUse::kMalformed;
  return out.username.empty() ? StunUse::kPlain : StunUse::kCheck;
}

std::uint32_t path_tag(HashSeed seed, const Endpoint& client, const Endpoint& local) {
  char bytes[2 * (sizeof client.ip + sizeof client.port)];
  char* out = bytes;
  for (const Endpoint* end : {&client, &local}) {
    std::memcpy(out, end->ip, sizeof end->ip);
    std::memcpy(out + sizeof end->ip, &end->port, sizeof end->port);
    out += sizeof end->ip + sizeof end->port;
  }
  const std::uint64_t hash = keyed_hash(seed, {bytes, sizeof bytes});
  return std::max<std::uint32_t>(1, static_cast<std::uint32_t>(hash));
}

TransactionTable::TransactionTable(HashSeed seed) : seed_(seed), entries_(kTransactions) {}

std::uint64_t TransactionTable::id_of(const StunTransaction& transaction) const {
  return keyed_hash(seed_, as_text(transaction));
}

TransactionTable::Seen TransactionTable::note(const StunTransaction& transaction, std::uint32_t tag,
                                              const From& from) {
  const std::uint64_t id = id_of(transaction);
  Entry& entry = entries_[id % kTransactions];
  if (entry.tag != 0 && entry.id == id) {
    return entry.tag == tag ? Seen::kAgain : Seen::kElsewhere;
  }
  entry = {id, tag, from};
  return Seen::kNew;
}

const TransactionTable::From* TransactionTable::from_of(const StunTransaction& transaction) const {
  const std::uint64_t id = id_of(transaction);
  const Entry& entry = entries_[id % kTransactions];
  return entry.tag != 0 && entry.id == id ? &entry.from : nullptr;
}

ProofMemory::ProofMemory() : entries_(kProofs) {}

bool ProofMemory::repeated(std::uint32_t slot, std::uint32_t generation, std::uint32_t tag,
                           std::uint64_t now_ms) {
  Entry& entry = entries_[(slot ^ tag) % kProofs];
  const bool same = entry.slot == slot && entry.generation == generation && entry.tag == tag;
  const bool out = same && now_ms < entry.at_ms + kRepeatedMs;
  entry = {slot, generation, tag, now_ms};
  return out;
}

Claim decide_claim(const ClaimQuestion& question) {
  const bool same = question.same_client && question.by_tcp == question.recorded_tcp;
  if (!question.has_client || same) return Claim::kClient;
  if (!question.fresh) return Claim::kNone;
  if (!question.recorded_tcp) return Claim::kOwner;
  // A connection cannot follow its session to another worker. Another connection takes its place;
  // UDP does while ICE is at work, since clients prefer it, and when the connection has gone.
  const bool wins = question.by_tcp || question.young || !question.owned;
  return wins ? Claim::kClient : Claim::kNone;
}

ClaimPace::ClaimPace() : entries_(kProofs) {}

bool ClaimPace::take(std::uint32_t slot, std::uint32_t generation, std::uint64_t now_ms) {
  Entry& entry = entries_[slot % kProofs];
  if (entry.generation == generation && now_ms < entry.at_ms + kClaimEveryMs) return false;
  entry = {generation, now_ms};
  return true;
}

bool may_move(const MoveQuestion& question) {
  if (!question.has_client) return true;
  const bool meant = question.same_host || question.use_candidate || question.repeated;
  if (!meant && !question.followed) return false;
  if (!question.media_seen) return true;
  return question.quiet_ms >= (question.same_host ? kQuietSameHostMs : kQuietMs);
}

StunBudget::StunBudget() : entries_(kBudgets) {}

bool StunBudget::take(std::uint32_t tag, std::size_t request_bytes, std::size_t answer_bytes,
                      std::uint64_t now_ms) {
  const std::uint64_t second = now_ms / 1000;
  if (second != second_) {
    second_ = second;
    answers_ = 0;
  }
  Entry& entry = entries_[tag % kBudgets];
  if (entry.tag != tag) entry = {tag, 0, 0, second};
  if (entry.second != second) {
    entry.second = second;
    entry.answers = 0;
  }
  entry.credit = std::min<std::uint64_t>(kCreditMax, entry.credit + request_bytes);
  if (entry.credit < answer_bytes || entry.answers >= kAnswersPerAddress ||
      answers_ >= kAnswersInAll) {
    return false;
  }
  entry.credit -= answer_bytes;
  ++entry.answers;
  ++answers_;
  return true;
}

}  // namespace weir::rtc
