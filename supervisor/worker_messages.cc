#include "supervisor/worker_messages.h"

#include <cstring>
#include <functional>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "ipc/command_messages.h"

namespace weir {
namespace {

void log_dropped(const WorkerProcess& from, ipc::MessageType type, std::string_view why) {
  LogLine(LogLevel::kError, "message of a worker dropped")
      .field("kind", to_string(from.kind))
      .field("pid", from.pid)
      .field("type", static_cast<unsigned>(type))
      .field("reason", why);
}

}  // namespace

bool WorkerMessages::dispatch(WorkerProcess& process, std::uint32_t page, ByteView bytes) {
  ipc::MessageHeader header;
  if (bytes.size() < sizeof header) {
    log_dropped(process, header.type, "too short or too long");
    return false;
  }
  std::memcpy(&header, bytes.data(), sizeof header);
  if (!ipc::may_send(process.kind, header.type)) {
    log_dropped(process, header.type, "this kind of worker may not send it");
    return false;
  }
  if (header.type == ipc::MessageType::kReady) return true;
  if (!ipc::is_about_flows(header.type)) {
    dispatch_request(process, page, header.type, bytes);
  } else if (!flows_.on_message(page, process.kind, header.type, bytes, monotonic_ms())) {
    log_dropped(process, header.type, "malformed");
  }
  return false;
}

// Messages with an answer.
void WorkerMessages::dispatch_request(WorkerProcess& process, std::uint32_t page,
                                      ipc::MessageType type, ByteView bytes) {
  const std::uint64_t now = monotonic_ms();
  const auto answer = [&](auto message, auto act) {
    if (!ipc::decode(bytes, message)) return log_dropped(process, type, "malformed");
    auto reply = act(message);
    pool_.send(process, page, reply);
  };
  if (type == ipc::MessageType::kRouteRequest) {
    answer(ipc::RouteRequest{}, [&](const auto& m) { return registry_.route(m, now); });
  } else if (type == ipc::MessageType::kOriginRegister) {
    answer(ipc::OriginRegister{},
           [&](const auto& m) { return registry_.origins().register_origin(m, now); });
  } else if (type == ipc::MessageType::kOriginCommand) {
    answer(ipc::OriginCommand{}, [&](const auto& m) { return registry_.origins().command(m); });
  } else if (type == ipc::MessageType::kMasterCommand) {
    ipc::MasterCommand command;
    if (!ipc::decode(bytes, command)) return log_dropped(process, type, "malformed");
    command_(command.action, {page, command.header.request});
  } else {
    dispatch_session(process, page, type, bytes);
  }
}

// Messages without an answer.
void WorkerMessages::dispatch_session(WorkerProcess& process, std::uint32_t page,
                                      ipc::MessageType type, ByteView bytes) {
  const std::uint64_t now = monotonic_ms();
  if (type == ipc::MessageType::kSessionOpen) {
    ipc::SessionOpen open;
    if (ipc::decode(bytes, open)) {
      if (auto end = registry_.open_session(page, open, now)) pool_.send(process, page, *end);
      return;
    }
  } else if (type == ipc::MessageType::kSessionClose) {
    ipc::SessionClose close;
    if (ipc::decode(bytes, close)) return registry_.close_session(page, close.session, now);
  } else if (type == ipc::MessageType::kDialResult) {
    ipc::DialResult result;
    if (ipc::decode(bytes, result)) {
      if (result.outcome == ipc::DialOutcome::kOk) return;
      return registry_.origins().report_dial(result.origin, result.endpoint, now);
    }
  } else if (type == ipc::MessageType::kOriginAddress) {
    ipc::OriginAddress message;
    if (ipc::decode(bytes, message)) return registry_.origins().set_address(message);
  } else if (type == ipc::MessageType::kProbeResult) {
    ipc::ProbeResult result;
    if (ipc::decode(bytes, result)) {
      const bool ok = result.outcome == ipc::DialOutcome::kOk;
      return registry_.origins().report_probe(result.origin, result.endpoint, ok, now);
    }
  } else if (dispatch_news(type, bytes, now)) {
    return;
  }
  log_dropped(process, type, "malformed");
}

// Where streams are, and origins of names. False: malformed.
bool WorkerMessages::dispatch_news(ipc::MessageType type, ByteView bytes, std::uint64_t now_ms) {
  const auto take = [&](auto message, auto act) {
    if (!ipc::decode(bytes, message)) return false;
    std::invoke(act, registry_, message, now_ms);
    return true;
  };
  if (type == ipc::MessageType::kStreamLearned) {
    return take(ipc::StreamLearned{}, &Registry::learn_stream);
  }
  if (type == ipc::MessageType::kStreamUnlearned) {
    return take(ipc::StreamUnlearned{}, &Registry::unlearn_stream);
  }
  if (type == ipc::MessageType::kOriginLearn) {
    return take(ipc::OriginLearn{}, &Registry::note_learn);
  }
  if (type == ipc::MessageType::kNamedAddresses) {
    return take(ipc::NamedAddresses{}, [](Registry& registry, const auto& message, auto now) {
      registry.named_origins().on_answer(message, now);
    });
  }
  return type == ipc::MessageType::kStreamFound && take(ipc::StreamFound{}, &Registry::note_found);
}

}  // namespace weir
