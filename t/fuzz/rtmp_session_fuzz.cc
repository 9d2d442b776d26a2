// Records of side (bit 7) and length (u16), then bytes, after both handshakes; whole and split.
#include <cstdlib>

#include "t/00unit/session_rtmp_support.h"

using namespace weir;
using namespace weir::rtmp::test;

// What a StreamWatch finds in bytes, whole and one by one.
static void watch(ByteView bytes) {
  for (const bool player : {false, true}) {
    const auto fresh = [player] {
      return player ? rtmp::StreamWatch::of_player(rtmp::ChunkParser(), {})
                    : rtmp::StreamWatch::of_publisher(rtmp::ChunkParser());
    };
    rtmp::StreamWatch whole = fresh();
    rtmp::StreamWatch split = fresh();
    const bool goes_on = whole.feed(bytes);
    for (const std::uint8_t& b : bytes) {
      if (!split.feed({&b, 1})) break;
    }
    if (whole.failure() != split.failure()) std::abort();
    if (goes_on != (whole.failure() == rtmp::Failure::kNone)) std::abort();
  }
}

// What was passed to the client is a chunk stream that a decoder can read.
static void check_client_view(const rtmp::Bytes& to_client) {
  rtmp::ChunkParser view({80, 1 << 20});
  rtmp::ChunkEvent event;
  ByteView in = ByteView(to_client).subspan(3073);
  while (view.next(in, event) == ParseStatus::kComplete) continue;
  if (view.error() != rtmp::ChunkError::kNone) std::abort();
}

// The same bytes for a player that searches: after each no another origin is asked.
static void search(const std::vector<Step>& steps) {
  rtmp::Session session(kFakeCrypto);
  rtmp::Bytes to_client;
  bool raw = false;
  for (const Step& step : steps) {
    if (session.state() == rtmp::State::kRouteWanted) {
      if (!raw) session.hold();
      session.on_origin_connected({});
      session.on_origin_bytes(origin_handshake());
    }
    if (step.from_client) {
      session.on_client_bytes(step.bytes);
    } else {
      session.on_origin_bytes(step.bytes);
    }
    const bool no = session.word() == rtmp::ReplayHalf::Word::kNo;
    if (session.holds() && no && session.can_reset()) session.reset_origin();
    to_client = join(std::move(to_client), session.to_client());
    session.to_client().clear();
    session.to_origin().clear();
    raw = raw || session.origin_raw();
    if (session.buffered_bytes() > 4 * 1024 * 1024) std::abort();
  }
  if (session.failure() == rtmp::Failure::kNone && !raw && to_client.size() >= 3073) {
    check_client_view(to_client);
  }
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  watch({data, size});
  std::vector<Step> steps{{true, join(client_handshake(), client_c2()), false}};
  for (bool dialled = false; size >= 3;) {
    const std::size_t n = std::min<std::size_t>(load_be16(data + 1), size - 3);
    const bool client = (data[0] & 0x80) == 0;
    if (!client && !dialled) steps.push_back({false, origin_handshake(), false});
    dialled = dialled || !client;
    steps.push_back({client, Bytes(data + 3, data + 3 + n)});
    data += 3 + n;
    size -= 3 + n;
  }
  const Outcome whole = run_whole(steps);
  if (whole.max_buffered > 2 * 1024 * 1024 || !split_invariant(steps, 0)) std::abort();
  search(steps);
  if (whole.failure == rtmp::Failure::kNone && !whole.origin_raw) {
    check_client_view(whole.to_client);
  }
  return 0;
}
