// For the tests of the RTMP session: fake crypto, and a driver that feeds a script in any splits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "t/00unit/session_rtmp_wire.h"
#include "workers/rtmp/rtmp_session.h"

namespace weir::rtmp::test {

// Not a MAC: sessions need only something that both sides compute alike.
inline void fake_hmac(ByteView key, ByteView data, std::uint8_t* out) {
  std::uint32_t sum = 2166136261U;
  for (const ByteView part : {key, data}) {
    for (const std::uint8_t b : part) sum = (sum ^ b) * 16777619U;
  }
  for (int i = 0; i < 32; ++i)
    out[i] = static_cast<std::uint8_t>((sum = sum * 1664525U + 1013904223U) >> 24);
}
inline void fake_random(MutableBytes out) {
  std::fill(out.begin(), out.end(), std::uint8_t{0xAB});
}
inline constexpr HandshakeCrypto kFakeCrypto{fake_hmac, fake_random};

inline Bytes client_handshake() {
  return Bytes(1537, 3);
}
inline Bytes client_c2() {
  return Bytes(1536, 7);
}
inline Bytes origin_handshake() {
  return Bytes(3073, 3);
}
inline Bytes join(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

struct Step {
  bool from_client = true;
  Bytes bytes;
  bool split = true;  // false: always fed in one piece
};
struct Outcome {
  Bytes to_client, to_origin;
  State state = State::kHandshake;
  Failure failure = Failure::kNone;
  bool client_raw = false, origin_raw = false, answered = false, refused = false, patching = false;
  std::size_t max_buffered = 0;
  // A fault ends the session at once, so how much of the faulty message has passed by then depends
  // on the splits; all before it does not.
  static bool same_bytes(const Bytes& a, const Bytes& b, bool failed) {
    const std::size_t n = failed ? std::min(a.size(), b.size()) : std::max(a.size(), b.size());
    return std::min(a.size(), b.size()) >= n &&
           std::equal(a.begin(), a.begin() + static_cast<long>(n), b.begin());
  }
  friend bool operator==(const Outcome& a, const Outcome& b) {
    const bool failed = a.failure != Failure::kNone;
    return same_bytes(a.to_client, b.to_client, failed) &&
           same_bytes(a.to_origin, b.to_origin, failed) && a.state == b.state &&
           a.failure == b.failure && a.client_raw == b.client_raw && a.origin_raw == b.origin_raw &&
           a.answered == b.answered && a.refused == b.refused && a.patching == b.patching;
  }
};

// Feeds the steps, each cut into pieces of at most `piece()` bytes. Dials when a route is wanted.
inline Outcome run(const std::vector<Step>& steps, const std::function<std::size_t()>& piece,
                   const SessionLimits& session_limits = {},
                   const ClientHandshakeOptions& options = {}) {
  Session session(kFakeCrypto, session_limits);
  Outcome out;
  const auto collect = [&] {
    out.max_buffered = std::max(out.max_buffered, session.buffered_bytes());
    out.to_client = join(std::move(out.to_client), session.to_client());
    out.to_origin = join(std::move(out.to_origin), session.to_origin());
    session.to_client().clear();
    session.to_origin().clear();
  };
  for (const Step& step : steps) {
    ByteView in(step.bytes);
    while (!in.empty()) {
      const std::size_t n = step.split ? std::clamp<std::size_t>(piece(), 1, in.size()) : in.size();
      if (step.from_client)
        session.on_client_bytes(in.first(n));
      else
        session.on_origin_bytes(in.first(n));
      collect();
      in = in.subspan(n);
    }
    if (session.state() == State::kRouteWanted) session.on_origin_connected(options);
    collect();
  }
  out.state = session.state();
  out.failure = session.failure();
  out.client_raw = session.client_raw();
  out.origin_raw = session.origin_raw();
  out.answered = session.origin_answered();
  out.refused = session.origin_refused();
  out.patching = session.patching();
  return out;
}
inline Outcome run_whole(const std::vector<Step>& steps, const SessionLimits& session_limits = {}) {
  return run(
      steps, [] { return SIZE_MAX; }, session_limits);
}
// True if byte by byte and `rounds` random splits give what the whole gives.
inline bool split_invariant(const std::vector<Step>& steps, int rounds = 8,
                            const SessionLimits& session_limits = {}) {
  const Outcome whole = run_whole(steps, session_limits);
  if (!(run(
            steps, [] { return std::size_t{1}; }, session_limits) == whole))
    return false;
  std::mt19937 random(4711);
  for (int i = 0; i < rounds; ++i) {
    const std::size_t top = std::size_t{2} << (random() % 11);
    if (!(run(
              steps, [&] { return 1 + random() % top; }, session_limits) == whole))
      return false;
  }
  return true;
}

// What the client's and the origin's decoders make of it, without handshakes.
inline Decoded client_view(const Outcome& o) {
  return decode(ByteView(o.to_client).subspan(3073));
}
inline std::vector<Message> without_sync(std::vector<Message> messages) {
  std::erase_if(messages, [](const Message& m) {
    Command c;
    return m.type == kCommandAmf0 && parse_command(m.payload, m.type, c) &&
           c.name.starts_with("onW");
  });
  return messages;
}

}  // namespace weir::rtmp::test
