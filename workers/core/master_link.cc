#include "workers/core/master_link.h"

#include <csignal>
#include <utility>

#include "common/base/access_log.h"
#include "common/base/log.h"

namespace weir {

MasterLink::MasterLink(event_base* base, UniqueFd channel, ipc::WorkerKind kind,
                       ipc::Counters& counters, Handlers handlers)
    : channel_(std::move(channel)),
      kind_(kind),
      counters_(counters),
      handlers_(std::move(handlers)) {
  read_event_.reset(event_new(
      base, channel_.fd(), EV_READ | EV_PERSIST,
      [](evutil_socket_t, short, void* self) { static_cast<MasterLink*>(self)->on_readable(); },
      this));
  write_event_.reset(event_new(
      base, channel_.fd(), EV_WRITE,
      [](evutil_socket_t, short, void* self) { static_cast<MasterLink*>(self)->on_writable(); },
      this));
  add_or_end(read_event_.get());
  beat_event_.reset(event_new(
      base, -1, EV_PERSIST,
      [](evutil_socket_t, short, void* self) { static_cast<MasterLink*>(self)->on_beat(); }, this));
  quit_signal_.reset(evsignal_new(
      base, SIGTERM,
      [](evutil_socket_t, short, void* self) {
        LogLine(LogLevel::kNotice, "told to end by a signal");
        static_cast<MasterLink*>(self)->handlers_.on_quit();
      },
      this));
  add_or_end(quit_signal_.get());
  static constexpr timeval kEvery{ipc::kBeatMs / 1000, 0};
  add_or_end(beat_event_.get(), &kEvery);
}

std::uint32_t MasterLink::next_request() {
  if (++last_request_ == 0) ++last_request_;
  return last_request_;
}

bool MasterLink::send_bytes(ByteView bytes) {
  if (!connected_) return false;
  switch (channel_.send(bytes)) {
    case ipc::SendStatus::kSent:
      return true;
    case ipc::SendStatus::kQueued:
      counters_.add(ipc::Counter::kIpcQueued);
      // Should that fail, the next beat sends it.
      event_add(write_event_.get(), nullptr);
      return true;
    case ipc::SendStatus::kFull:
      LogLine(LogLevel::kError, "message to the master dropped, its queue is full")
          .field("queued", channel_.queued());
      return false;
    case ipc::SendStatus::kClosed:
      return false;  // the read event reports it
  }
  return false;
}

void MasterLink::on_writable() {
  const std::size_t before = channel_.queued();
  const bool empty = channel_.flush();
  counters_.sub(ipc::Counter::kIpcQueued, before - channel_.queued());
  if (!empty && connected_) event_add(write_event_.get(), nullptr);
}

void MasterLink::on_beat() {
  counters_.beat();
  const bool waits = event_pending(write_event_.get(), EV_WRITE, nullptr) != 0;
  if (connected_ && channel_.queued() > 0 && !waits) on_writable();
}

void MasterLink::on_readable() {
  static constexpr int kBatch = 64;  // then other events get their turn
  for (int i = 0; i < kBatch; ++i) {
    ipc::Received received = channel_.receive();
    if (received.status == ipc::ReceiveStatus::kEmpty) return;
    if (received.status == ipc::ReceiveStatus::kClosed) {
      lost();
      return;
    }
    dispatch(received);
  }
}

void MasterLink::dispatch(ipc::Received& received) {
  ipc::MessageHeader header;
  if (received.bytes.size() < sizeof header) return;
  std::memcpy(&header, received.bytes.data(), sizeof header);
  const ipc::MessageRule* rule = ipc::find_rule(header.type);
  if (rule == nullptr || rule->from_worker ||
      (rule->kinds & (1U << static_cast<unsigned>(kind_))) == 0) {
    LogLine(LogLevel::kError, "unexpected message from the master ignored")
        .field("type", static_cast<unsigned>(header.type));
    return;
  }
  if (header.type == ipc::MessageType::kReopenLog) {
    ipc::ReopenLog reopen;
    if (!received.fd || !ipc::decode(received.bytes, reopen)) return;
    (reopen.log == ipc::LogKind::kAccess ? access_log_adopt_fd
                                         : log_adopt_fd)(std::move(received.fd));
  } else if (header.type == ipc::MessageType::kDrain) {
    ipc::Drain drain;
    if (ipc::decode(received.bytes, drain)) handlers_.on_drain(drain.deadline_ms);
  } else if (header.type == ipc::MessageType::kQuit) {
    handlers_.on_quit();
  } else if (header.type == ipc::MessageType::kFlowAssign && handlers_.on_assign) {
    ipc::FlowAssign assign;
    if (ipc::decode(received.bytes, assign)) handlers_.on_assign(assign, std::move(received.fd));
  } else if (handlers_.on_message) {
    handlers_.on_message(header.type, received.bytes);
  }
}

void MasterLink::lost() {
  connected_ = false;
  event_del(read_event_.get());
  event_del(write_event_.get());
  LogLine(LogLevel::kWarn,
          "the master is gone; finishing the sessions that are here, then leaving");
  handlers_.on_drain(0);
}

}  // namespace weir
