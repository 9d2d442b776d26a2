// RtcWorker: which of its proven ways a client's media takes (docs/UDP.md, "Addresses of a
// client"). A move is taken back when the client speaks from its old address, until a second
// request from the new one confirms it; only then the session table has the new address.
#include <algorithm>

#include "common/base/clock.h"
#include "workers/rtc/rtc_worker.h"

namespace weir::rtc {
namespace {

using ipc::Counter;

constexpr std::size_t kMovers = 1024;
constexpr std::uint64_t kMoverMs = 5000;     // how long a way without the media is watched
constexpr std::uint64_t kConfirmMs = 15000;  // consent comes every 5 s, give or take (RFC 7675)

}  // namespace

// The index of a way among those of the flow; kNoPath: it is none of them any more.
std::uint8_t RtcWorker::path_at(std::uint32_t index, const Way& way) {
  if (way.tcp) {
    const TcpLeg* leg = leg_of(index);
    return leg != nullptr && leg->client == way.key.address ? kTcpPath : kNoPath;
  }
  const UdpFlow& flow = relay_.flow(index);
  for (std::uint8_t i = 0; i < flow.path_count; ++i) {
    if (flow.paths[i].key == way.key && flow.paths[i].local == way.local) return i;
  }
  return kNoPath;
}

RtcWorker::Way RtcWorker::way_at(std::uint32_t index, std::uint8_t path) {
  if (path != kTcpPath) {
    const UdpClientPath& found = relay_.flow(index).paths[path];
    return {false, found.key, found.local};
  }
  const TcpLeg* leg = leg_of(index);
  return leg != nullptr ? Way{true, {leg->client, 0}, leg->local} : Way{};
}

// When the last packet, and the last proof, came by a way.
RtcWorker::Heard RtcWorker::heard_by(std::uint32_t index, std::uint8_t path) {
  if (path == kTcpPath) {
    const TcpLeg* leg = leg_of(index);
    return leg != nullptr ? Heard{leg->packet_ms, leg->proof_ms} : Heard{};
  }
  const UdpClientPath& found = relay_.flow(index).paths[path];
  return {found.packet_ms, found.proof_ms};
}

// A proven request has come by a way that the relay knows already.
void RtcWorker::on_way(std::uint32_t index, const Way& way, const Proof& proof) {
  UdpFlow& flow = relay_.flow(index);
  const std::uint8_t path = path_at(index, way);
  if (path == kNoPath) return;
  auto mover = std::find_if(movers_.begin(), movers_.end(), [&](const Mover& each) {
    return each.flow == flow.ref && each.way == way;
  });
  if (path == flow.media_path()) {
    const bool unsure = mover != movers_.end() && mover->moved && !proof.repeated;
    if (flow.recorded || unsure) return;
    record(index, path);
    if (mover != movers_.end()) movers_.erase(mover);
    return;
  }
  const std::uint64_t now = monotonic_ms();
  if (mover == movers_.end()) {
    if (movers_.size() >= kMovers) return;  // its next request may find room
    Mover made;
    made.flow = flow.ref;
    made.way = way;
    mover = movers_.insert(movers_.end(), made);
  }
  mover->moved = false;
  mover->use_candidate = proof.use_candidate;
  mover->repeated = proof.repeated;
  mover->until_ms = now + kMoverMs;
  if (try_move(index, path, *mover, now)) movers_.erase(mover);
}

// True: it is done with, the table has the way.
bool RtcWorker::try_move(std::uint32_t index, std::uint8_t path, Mover& mover, std::uint64_t now) {
  const UdpFlow& flow = relay_.flow(index);
  const std::uint8_t present = flow.media_path();
  const Way before = present == kNoPath ? Way{} : way_at(index, present);
  MoveQuestion question;
  question.has_client = !before.key.address.empty();
  question.same_host =
      !before.tcp && !mover.way.tcp && before.key.address.same_address(mover.way.key.address);
  question.use_candidate = mover.use_candidate;
  question.repeated = mover.repeated;
  question.followed = mover.followed;
  question.media_seen = flow.media_seen;
  question.quiet_ms = question.has_client ? now - heard_by(index, present).packet_ms : now;
  if (!may_move(question)) return false;
  counters_.add(Counter::kRtcMoves);
  if (!question.has_client || !question.media_seen) {
    record(index, path);
    return true;
  }
  mover.moved = true;
  mover.before = before;
  mover.moved_ms = now;
  mover.until_ms = now + kConfirmMs;
  relay_.point_to(index, path);
  return false;
}

void RtcWorker::record(std::uint32_t index, std::uint8_t path) {
  if (path != kTcpPath) {
    relay_.move_client(index, path);
  } else if (const TcpLeg* leg = leg_of(index); leg != nullptr) {
    relay_.move_to_tcp(index, leg->client, leg->local);
  }
}

void RtcWorker::check_movers(std::uint64_t now) {
  std::erase_if(movers_, [&](Mover& mover) {
    const std::uint32_t index = relay_.find(mover.flow);
    const std::uint8_t path = index == kNoFlow ? kNoPath : path_at(index, mover.way);
    if (path == kNoPath || now > mover.until_ms) return true;
    const bool present = path == relay_.flow(index).media_path();
    if (mover.moved) return !present || take_back(index, mover);
    if (present) return true;
    const Heard heard = heard_by(index, path);
    mover.followed = mover.followed || heard.packet_ms > heard.proof_ms;
    return try_move(index, path, mover, now);
  });
}

// Whether the client is where it was before, and gets its media there again.
bool RtcWorker::take_back(std::uint32_t index, const Mover& mover) {
  const std::uint8_t before = path_at(index, mover.before);
  if (before == kNoPath || heard_by(index, before).packet_ms <= mover.moved_ms) return false;
  UdpFlow& flow = relay_.flow(index);
  relay_.point_to(index, before);
  flow.recorded = true;  // the table has never had another one
  counters_.add(Counter::kRtcMovesUndone);
  LogLine(LogLevel::kInfo, "client speaks from its old address, media goes there again")
      .session(flow.session)
      .field("client", mover.before.key.address)
      .field("other", to_string(mover.way.key.address));
  return true;
}

}  // namespace weir::rtc
