#include "supervisor/flow_service.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "supervisor/flow_handover.h"
#include "supervisor/flow_store.h"

namespace weir {
namespace {

constexpr std::uint64_t kHandoverEveryMs = 2;
constexpr std::uint64_t kAdoptMs = 5000;  // how long a new master waits for the old one's sessions
constexpr rlim_t kOtherDescriptors = 8192;
constexpr std::array kFlowWorkers = {ipc::WorkerKind::kRtc, ipc::WorkerKind::kSrt};

// Control tells hooks of their end, http the origins.
bool hears_of_flows(ipc::WorkerKind kind) {
  return kind == ipc::WorkerKind::kControl || kind == ipc::WorkerKind::kHttp;
}

// One upstream socket a session, besides channels and listen sockets.
void raise_descriptor_limit(std::uint64_t sessions) {
  const rlim_t wanted = static_cast<rlim_t>(sessions) + kOtherDescriptors;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
  const rlimit raised{wanted, std::max(wanted, limit.rlim_max)};
  if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < wanted) {
    LogLine(LogLevel::kInfo, "descriptors for fewer sessions than max_udp_sessions")
        .field("descriptors", limit.rlim_cur)
        .field("wanted", wanted);
  }
}

}  // namespace

bool serves_flows(ipc::WorkerKind kind) {
  return std::find(kFlowWorkers.begin(), kFlowWorkers.end(), kind) != kFlowWorkers.end();
}

Result<void> FlowService::set_up(const Config& config, Registry& registry, Flows::Send send,
                                 UniqueFd predecessor, std::optional<ipc::FlowFile> file) {
  raise_descriptor_limit(static_cast<std::uint64_t>(config.max_udp_sessions));
  const bool upgrade = static_cast<bool>(predecessor);
  auto store = open_flow_store(config, upgrade, std::move(file));
  if (!store) return tl::unexpected(store.error());
  flows_.emplace(std::move(store->table), registry, std::move(send));
  file_ = std::move(store->file);
  const std::uint64_t now = monotonic_ms();
  flows_->apply(config);
  if (upgrade) {
    flows_->expect_adoption();
    adopt_until_ms_ = now + config.worker_ready_timeout + kAdoptMs;
    from_predecessor_.emplace(std::move(predecessor));
    return {};
  }
  flows_->restore(store->saved, now);
  if (file_) return file_->publish();
  return {};
}

void FlowService::serve(const Generation& generation, const Seat& seat) {
  if (!serves_flows(seat.row->kind) && !hears_of_flows(seat.row->kind)) return;
  const auto slots =
      std::count_if(generation.seats.begin(), generation.seats.end(),
                    [&seat](const Seat& other) { return other.row->kind == seat.row->kind; });
  flows_->worker_serves(seat.page, seat.row->kind, seat.slot, static_cast<unsigned>(slots),
                        monotonic_ms());
}

void FlowService::serve_all(const Generation& generation) {
  for (const Seat& seat : generation.seats) {
    if (hears_of_flows(seat.row->kind)) serve(generation, seat);
  }
  for (const ipc::WorkerKind kind : kFlowWorkers) {
    bool any = false;
    for (const Seat& seat : generation.seats) {
      if (seat.row->kind != kind) continue;
      any = true;
      serve(generation, seat);
    }
    if (!any) flows_->kind_stopped(kind, monotonic_ms());
  }
}

void FlowService::begin_handover(UniqueFd successor) {
  flows_->freeze();
  to_successor_.emplace(std::move(successor));
  hand_over(monotonic_ms());
}

void FlowService::hand_over(std::uint64_t now_ms) {
  if (flows_->hand_over(*to_successor_, handover_cursor_, now_ms)) {
    to_successor_.reset();
    file_.reset();  // and with it our hold on the lock: whoever comes after the successor must get
                    // it
  } else {
    next_handover_ms_ = now_ms + kHandoverEveryMs;
  }
}

void FlowService::adopt() {
  const std::uint64_t now = monotonic_ms();
  while (from_predecessor_) {
    ipc::Received received = from_predecessor_->receive();
    if (received.status == ipc::ReceiveStatus::kEmpty) return;
    if (received.status == ipc::ReceiveStatus::kClosed) return finish_adoption(now);
    FlowHandover message;
    if (received.bytes.size() != sizeof message) continue;
    std::memcpy(static_cast<void*>(&message), received.bytes.data(), sizeof message);
    if (message.magic != ipc::kFlowMagic || message.version != ipc::kFlowVersion) {
      LogLine(LogLevel::kError, "session of the old master has another layout and ends")
          .field("version", message.version);
      continue;
    }
    flows_->adopt(message.slot, message.record, std::move(received.fd), now);
  }
}

void FlowService::finish_adoption(std::uint64_t now_ms) {
  from_predecessor_.reset();
  flows_->finish_adoption(now_ms);
  if (!file_) return;
  if (auto published = file_->publish(); !published) {
    LogLine(LogLevel::kError, "sessions will not outlive the service")
        .field("error", published.error().text);
  }
}

std::uint64_t FlowService::next_timer_ms() const {
  std::uint64_t next = flows_->next_timer_ms();
  const auto consider = [&next](bool wanted, std::uint64_t at) {
    if (wanted && (next == 0 || at < next)) next = at;
  };
  consider(to_successor_.has_value(), next_handover_ms_);
  consider(from_predecessor_.has_value(), adopt_until_ms_);
  return next;
}

void FlowService::run_timers(std::uint64_t now_ms) {
  if (const std::uint64_t next = flows_->next_timer_ms(); next != 0 && now_ms >= next) {
    flows_->tick(now_ms);
  }
  if (to_successor_ && now_ms >= next_handover_ms_) hand_over(now_ms);
  if (from_predecessor_ && now_ms >= adopt_until_ms_) {
    LogLine(LogLevel::kError, "the old master hands its sessions over too slowly");
    finish_adoption(now_ms);
  }
}

}  // namespace weir
