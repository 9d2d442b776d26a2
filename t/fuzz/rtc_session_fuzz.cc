// Records of flags, address, time step and length, then a packet: how a worker judges STUN
// requests.
#include <cstdlib>

#include "workers/rtc/rtc_session.h"

using namespace weir;
using namespace weir::rtc;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static TransactionTable table(HashSeed{1, 2});
  static ProofMemory proofs;
  static ClaimPace pace;
  StunBudget budget;
  std::uint64_t now = 0, got = 0, sent = 0;
  for (std::size_t n = 0; size >= 4; data += 4 + n, size -= 4 + n) {
    n = std::min<std::size_t>(data[3], size - 4);
    now += data[2] * 8U;
    StunMessage m;
    const StunUse use = classify_stun({data + 4, n}, m);
    got += n;
    if (use == StunUse::kPlain && budget.take(1, n, 32 + data[1] % 32U, now)) sent += 32;
    if (sent > got) std::abort();
    if (use != StunUse::kCheck) continue;
    const std::uint32_t tag = data[1] + 1U;
    TransactionTable::From from;
    from.socket = data[1];
    const auto seen = table.note(m.transaction, tag, from);
    const TransactionTable::From* const known = table.from_of(m.transaction);
    const bool new_here = seen == TransactionTable::Seen::kNew;
    if (known == nullptr || (new_here && known->socket != data[1])) std::abort();
    const bool again = proofs.repeated(data[1] % 4U, 1, tag, now), bit = (data[0] & 1U) != 0;
    const MoveQuestion move{true, false, m.use_candidate, again, bit, true, data[2]};
    if (may_move(move) || (pace.take(data[1], 1, now) && pace.take(data[1], 1, now))) std::abort();
  }
  return 0;
}
