#include "workers/core/origin_connect.h"

#include <cstring>
#include <utility>
#include <vector>

#include "workers/core/dial.h"

namespace weir {
namespace {

using ipc::DialOutcome;

ConnectStep failed(Side& side, DialOutcome outcome, std::string why) {
  side = Side{};
  return {ConnectStep::State::kFailed, outcome, std::move(why)};
}

}  // namespace

ConnectTarget target_of(const ipc::OriginRecord& record, ipc::EndpointKind kind,
                        const Endpoint& endpoint) {
  ConnectTarget out;
  out.endpoint = endpoint;
  out.tls_name = record.certificate_name();
  out.proxy_protocol = record.proxy_protocol_of(kind);
  return out;
}

ConnectStep OriginConnect::start(Side& side, const ConnectTarget& target, const Watch& watch) {
  side = Side{};
  auto dialed = net::start_connect(target.endpoint, options_);
  if (!dialed) {
    const int error = dialed.error().sys_errno;
    return failed(side, is_local_shortage(error) ? DialOutcome::kOk : dial_outcome(error),
                  dialed.error().text);
  }
  side.fd = std::move(*dialed);
  if (!watch(side.fd.get())) {
    return failed(side, DialOutcome::kOk, "no place in the event set");
  }
  return {};
}

ConnectStep OriginConnect::go_on(Side& side, const ConnectTarget& target) {
  if (!side.tls) {
    if (const int error = net::take_socket_error(side.fd.get()); error != 0) {
      return failed(side, dial_outcome(error), std::strerror(error));
    }
    if (!side.writable) return {};
  }
  std::vector<std::uint8_t> first;
  if (target.proxy_protocol != 0 && !side.tls) {
    first = proxy_header(target.proxy_protocol, target.client, target.local);
  }
  if (is_tls(target.endpoint)) return shake(side, target, first);
  side.out.append(ByteView(first));
  return {ConnectStep::State::kOpen, DialOutcome::kOk, {}};
}

ConnectStep OriginConnect::shake(Side& side, const ConnectTarget& target, ByteView first) {
  if (!side.tls) {
    side.tls = tls_.connect(side.fd.get(), target.endpoint, target.tls_name, first);
    if (!side.tls) return failed(side, DialOutcome::kOk, "TLS to origins cannot be had");
  }
  switch (side.handshake()) {
    case IoStatus::kBlocked:
      return {};
    case IoStatus::kOk:
      return {ConnectStep::State::kOpen, DialOutcome::kOk, {}};
    case IoStatus::kEnded:
      break;
  }
  const std::string why = tls_failure_text(*side.tls);  // the stream goes with the side
  return failed(side, DialOutcome::kTls, why);
}

}  // namespace weir
