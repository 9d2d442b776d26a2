// Master, the channels: what workers may say and what is answered.
#include <sys/epoll.h>

#include <cstring>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "supervisor/master.h"

namespace weir {
namespace {

constexpr int kBatch = 64;  // messages of one worker before the others get their turn

void log_dropped(ipc::WorkerKind kind, pid_t pid, ipc::MessageType type, std::string_view why) {
  LogLine(LogLevel::kError, "message of a worker dropped")
      .field("kind", to_string(kind))
      .field("pid", pid)
      .field("type", static_cast<unsigned>(type))
      .field("reason", why);
}

}  // namespace

void Master::watch(Process& process, std::uint32_t page, bool writable) {
  if (process.writable_wanted == writable) return;
  epoll_event event{};
  event.events = EPOLLIN | (writable ? static_cast<std::uint32_t>(EPOLLOUT) : 0U);
  event.data.u64 = page;
  // If it fails, watch_again() sends what waits.
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, process.channel.fd(), &event) == 0) {
    process.writable_wanted = writable;
  }
}

// Each beat: messages that wait although nobody looks whether they can go.
void Master::watch_again() {
  for (auto& [page, process] : processes_) {
    if (process.channel.queued() == 0 || process.writable_wanted) continue;
    if (!process.channel.flush()) watch(process, page, true);
  }
}

bool Master::send_bytes(Process& process, std::uint32_t page, ByteView bytes, int pass_fd) {
  switch (process.channel.send(bytes, pass_fd)) {
    case ipc::SendStatus::kSent:
      return true;
    case ipc::SendStatus::kQueued:
      watch(process, page, true);
      return true;
    case ipc::SendStatus::kFull:
    case ipc::SendStatus::kClosed:
      return false;
  }
  return false;
}

void Master::on_channel(std::uint32_t page, std::uint32_t events) {
  const auto found = processes_.find(page);
  if (found == processes_.end()) return;
  Process& process = found->second;
  if ((events & EPOLLOUT) != 0 && process.channel.flush()) watch(process, page, false);
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  if (receive_batch(page, kBatch)) return;
  // It is about to end, or it is broken: without a channel it can do nothing that we count.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, process.channel.fd(), nullptr);
}

// False when the channel is closed.
bool Master::receive_batch(std::uint32_t page, int limit) {
  Process& process = processes_.at(page);
  for (int i = 0; i < limit; ++i) {
    const ipc::Received received = process.channel.receive();
    if (received.status == ipc::ReceiveStatus::kEmpty) return true;
    if (received.status == ipc::ReceiveStatus::kClosed) return false;
    dispatch(process, page, received.bytes);
  }
  return true;
}

void Master::dispatch(Process& process, std::uint32_t page, ByteView bytes) {
  ipc::MessageHeader header;
  if (bytes.size() < sizeof header) {
    log_dropped(process.kind, process.pid, header.type, "too short or too long");
    return;
  }
  std::memcpy(&header, bytes.data(), sizeof header);
  if (!ipc::may_send(process.kind, header.type)) {
    log_dropped(process.kind, process.pid, header.type, "this kind of worker may not send it");
    return;
  }
  const std::uint64_t now = monotonic_ms();
  if (header.type == ipc::MessageType::kReady) {
    on_ready(process, page);
  } else if (header.type == ipc::MessageType::kRouteRequest) {
    ipc::RouteRequest request;
    if (!ipc::decode(bytes, request))
      return log_dropped(process.kind, process.pid, header.type, "malformed");
    ipc::RouteAnswer answer = registry_->route(request, now);
    send(process, page, answer);
  } else if (header.type == ipc::MessageType::kOriginRegister) {
    ipc::OriginRegister message;
    if (!ipc::decode(bytes, message))
      return log_dropped(process.kind, process.pid, header.type, "malformed");
    ipc::Reply reply = registry_->origins().register_origin(message, now);
    send(process, page, reply);
  } else if (header.type == ipc::MessageType::kOriginCommand) {
    ipc::OriginCommand message;
    if (!ipc::decode(bytes, message))
      return log_dropped(process.kind, process.pid, header.type, "malformed");
    ipc::Reply reply = registry_->origins().command(message);
    send(process, page, reply);
  } else if (ipc::is_about_flows(header.type)) {
    if (!flows_->on_message(page, process.kind, header.type, bytes, now)) {
      log_dropped(process.kind, process.pid, header.type, "malformed");
    }
  } else {
    dispatch_session(process, page, header.type, bytes);
  }
}

// Messages without an answer.
void Master::dispatch_session(Process& process, std::uint32_t page, ipc::MessageType type,
                              ByteView bytes) {
  const std::uint64_t now = monotonic_ms();
  if (type == ipc::MessageType::kSessionOpen) {
    ipc::SessionOpen open;
    if (ipc::decode(bytes, open)) {
      if (auto end = registry_->open_session(page, open, now)) send(process, page, *end);
      return;
    }
  } else if (type == ipc::MessageType::kSessionClose) {
    ipc::SessionClose close;
    if (ipc::decode(bytes, close)) return registry_->close_session(page, close.session, now);
  } else if (type == ipc::MessageType::kDialResult) {
    ipc::DialResult result;
    if (ipc::decode(bytes, result)) {
      if (result.outcome == ipc::DialOutcome::kOk) return;
      return registry_->origins().report_dial(result.origin, result.endpoint, now);
    }
  } else if (type == ipc::MessageType::kOriginAddress) {
    ipc::OriginAddress message;
    if (ipc::decode(bytes, message)) return registry_->origins().set_address(message);
  } else if (type == ipc::MessageType::kProbeResult) {
    ipc::ProbeResult result;
    if (ipc::decode(bytes, result)) {
      const bool ok = result.outcome == ipc::DialOutcome::kOk;
      return registry_->origins().report_probe(result.origin, result.endpoint, ok, now);
    }
  }
  log_dropped(process.kind, process.pid, type, "malformed");
}

// Without a control worker nobody probes, and then nobody is ejected either.
void Master::send_probes() {
  auto probes = registry_->origins().take_probes();
  const Generation* current = in_phase(Phase::kCurrent);
  if (probes.empty() || current == nullptr) return;
  for (const Seat& seat : current->seats) {
    const auto found = processes_.find(seat.page);
    if (found == processes_.end() || found->second.kind != ipc::WorkerKind::kControl) continue;
    for (ipc::ProbeNow& probe : probes) send(found->second, seat.page, probe);
  }
}

void Master::on_ready(Process& process, std::uint32_t page) {
  if (process.ready) return;
  process.ready = true;
  ipc::WorkerRecord record = state_->worker(page);
  if (record.state == ipc::WorkerState::kStarting) record.state = ipc::WorkerState::kReady;
  state_->put_worker(page, record);
  LogLine(LogLevel::kInfo, "worker is ready")
      .field("kind", to_string(process.kind))
      .field("slot", process.slot)
      .field("worker_pid", process.pid)
      .field("generation", process.generation)
      .field("after_ms", monotonic_ms() - process.started_ms);
  Generation* generation = find_generation(process.generation);
  if (generation == nullptr) return;
  if (generation->phase == Phase::kCurrent) {
    for (const Seat& seat : generation->seats) {
      if (seat.page == page) serve_flows(*generation, seat);
    }
  }
  if (generation->phase != Phase::kStarting) return;
  for (const Seat& seat : generation->seats) {
    const auto found = processes_.find(seat.page);
    if (found == processes_.end() || !found->second.ready) return;
  }
  commit(*generation);
}

}  // namespace weir
