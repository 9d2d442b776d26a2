// Records of kind, time step and length (u16), then bytes: client, dial, origin, clock, ICMP,
// search and what becomes of a no.
#include <cstdlib>

#include "workers/srt/srt_session.h"

using namespace weir::srt;

static void step(Session& s, unsigned kind, weir::ByteView bytes, std::uint64_t now) {
  if (kind == 0) s.on_client_conclusion(bytes, now);
  const bool open = !s.wake_at() && s.reject_code() + s.listener_id() == 0;
  if (kind == 1 && open) s.start_origin({}, now);
  if (kind == 2) s.on_origin_packet(bytes, now);
  if (kind == 3) s.on_time(now);
  if (kind == 4) s.on_origin_unreachable(now);
  if (kind == 5) s.search();
  const bool denied =
      s.state() == SessionState::kOriginFailed && s.failure() == Failure::kOriginRejected;
  if (kind == 6 && denied) s.pass_rejection(now);
  if (kind == 7 && denied) s.start_origin({}, now);
  if ((s.state() == SessionState::kEstablished) != (s.listener_id() != 0)) std::abort();
  if (kind == 3 && s.wake_at().value_or(now + 1) <= now) std::abort();
  s.clear_output();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::uint64_t now = 1'000'000;
  std::optional<Session> session;
  std::uint8_t answer[kHandshakeBytes];
  for (std::size_t n = 0; size >= 4; data += 4 + n, size -= 4 + n) {
    n = std::min<std::size_t>(weir::load_be16(data + 2), size - 4);
    now += data[1] * 4U;
    if (admit({}, {data + 4, n}, {}, now, answer).answer.size() > n) std::abort();
    if (!session)
      session.emplace(SessionOptions{}, weir::ByteView(data + 4, n), weir::Endpoint{}, now);
    step(*session, data[0] % 8, {data + 4, n}, now);
  }
  return 0;
}
