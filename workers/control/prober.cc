#include "workers/control/prober.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/net/crypto.h"
#include "common/net/tcp.h"
#include "common/proto/srt/packet.h"
#include "workers/core/dial.h"

namespace weir::control {
namespace {

constexpr std::size_t kConcurrent = 64;
constexpr std::uint64_t kTickMs = 50;
constexpr std::size_t kHelloBytes = 1 + 1536;  // C0 and C1 (RTMP 1.0, 5.2)
constexpr std::uint8_t kRtmpVersion = 3;
constexpr std::uint32_t kSrtSocketId = 1;  // any will do: the socket is connected

// The same C0C1 for all probes of this process: nobody's secrets depend on it.
const std::array<std::uint8_t, kHelloBytes>& hello() {
  static const auto bytes = [] {
    std::array<std::uint8_t, kHelloBytes> out{};
    out[0] = kRtmpVersion;  // then time 0 and zero, both four bytes, then random bytes
    net::fill_random(MutableBytes(out).subspan(9));
    return out;
  }();
  return bytes;
}

// The cast is what the one C interface for all address families asks for.
Result<UniqueFd> connect_udp(const Endpoint& to) {
  sockaddr_storage address{};
  const socklen_t length = to_sockaddr(to, address);
  UniqueFd fd(::socket(address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
    return fail_errno("cannot connect to " + to_string(to), errno);
  }
  return fd;
}

ipc::DialOutcome outcome_of(int error) {
  if (error == ECONNREFUSED) return ipc::DialOutcome::kRefused;
  if (error == ETIMEDOUT) return ipc::DialOutcome::kTimeout;
  return ipc::DialOutcome::kOther;
}

}  // namespace

Prober::Prober(event_base* base, const ipc::StateView& state, ipc::Counters& counters,
               const ProbeSettings& settings, Send send)
    : base_(base), state_(state), counters_(counters), settings_(settings), send_(std::move(send)) {
  if (settings_.interval_ms == 0) return;
  timer_.reset(event_new(
      base, -1, EV_PERSIST,
      [](evutil_socket_t, short, void* self) { static_cast<Prober*>(self)->tick(); }, this));
  const timeval period = to_timeval(std::min(kTickMs, settings_.interval_ms));
  add_or_end(timer_.get(), &period);
}

void Prober::stop() {
  timer_.reset();
  probes_.clear();
  due_.clear();
}

// The origins of this round, spread over the interval so that they are not asked all at once.
void Prober::collect() {
  due_.clear();
  next_due_ = 0;
  const auto& header = state_.header();
  const std::uint32_t used = header.origins_used.load(std::memory_order_relaxed);
  constexpr auto kRtmp = static_cast<std::size_t>(ipc::EndpointKind::kRtmp);
  constexpr auto kSrt = static_cast<std::size_t>(ipc::EndpointKind::kSrt);
  std::uint32_t seen = 0;
  for (std::uint32_t slot = 0; slot < header.origin_capacity && seen < used; ++slot) {
    ipc::OriginRecord origin;
    if (!state_.read_origin(slot, origin)) continue;
    ++seen;
    if (origin.state == ipc::OriginState::kDead) continue;
    const ipc::OriginRef ref{slot, origin.generation};
    if (origin.endpoint_count[kRtmp] > 0) {
      due_.push_back({ref, origin.endpoints[kRtmp][0], origin.proxy_protocol});
    } else if (origin.endpoint_count[kSrt] > 0) {
      due_.push_back({ref, origin.endpoints[kSrt][0], 0, ipc::EndpointKind::kSrt});
    }
  }
  const std::uint64_t ticks = std::max<std::uint64_t>(1, settings_.interval_ms / kTickMs);
  per_tick_ = (due_.size() + ticks - 1) / ticks;
}

void Prober::tick() {
  const std::uint64_t now = monotonic_ms();
  for (auto it = probes_.begin(); it != probes_.end();) {
    Probe& probe = *it++;
    if (now >= probe.deadline_ms) finish(probe, ipc::DialOutcome::kTimeout);
  }
  if (now >= next_round_ms_ && next_due_ >= due_.size()) {
    next_round_ms_ = now + settings_.interval_ms;
    collect();
  }
  for (std::size_t i = 0; i < per_tick_ && next_due_ < due_.size(); ++i) {
    if (probes_.size() >= kConcurrent) return;
    start(due_[next_due_++]);
  }
}

void Prober::start(const Due& due) {
  auto fd = due.kind == ipc::EndpointKind::kSrt ? connect_udp(due.endpoint)
                                                : net::start_connect(due.endpoint, {});
  if (!fd) {
    // Our own lack of descriptors or ports says nothing about the origin.
    const int error = fd.error().sys_errno;
    if (error == EMFILE || error == ENFILE || error == EADDRNOTAVAIL || error == ENOMEM) return;
    report(due.origin, due.kind, outcome_of(error));
    return;
  }
  probes_.emplace_front();
  Probe& probe = probes_.front();
  probe.self = probes_.begin();
  probe.prober = this;
  probe.origin = due.origin;
  probe.scheme = due.endpoint.scheme;
  // An origin that expects a PROXY header wants one that says it is no client's connection.
  if (due.proxy_protocol != 0) probe.hello = proxy_header(due.proxy_protocol, {}, {});
  probe.hello.insert(probe.hello.end(), hello().begin(), hello().end());
  probe.kind = due.kind;
  probe.fd = std::move(*fd);
  probe.deadline_ms = monotonic_ms() + settings_.timeout_ms;
  if (!wait_for(probe, EV_WRITE)) probes_.erase(probe.self);
}

bool Prober::wait_for(Probe& probe, short what) {
  probe.event.reset(event_new(
      base_, probe.fd.get(), what,
      [](evutil_socket_t, short ready, void* arg) {
        auto* one = static_cast<Probe*>(arg);
        one->prober->on_ready(*one, ready);
      },
      &probe));
  return probe.event && event_add(probe.event.get(), nullptr) == 0;
}

void Prober::on_ready(Probe& probe, short what) {
  if (probe.kind == ipc::EndpointKind::kSrt) {
    (what & EV_WRITE) != 0 ? ask_srt(probe) : read_srt(probe);
    return;
  }
  if (!probe.connected) {
    const int error = net::take_socket_error(probe.fd.get());
    if (error != 0) {
      finish(probe, outcome_of(error));
      return;
    }
    probe.connected = true;
    if (probe.scheme == Scheme::kRtmps || probe.scheme == Scheme::kTls) {
      finish(probe, ipc::DialOutcome::kOk);  // that it accepts has to do; no TLS in a probe
      return;
    }
  }
  if ((what & EV_WRITE) != 0) {
    send_hello(probe);
  } else {
    read_answer(probe);
  }
}

void Prober::send_hello(Probe& probe) {
  const auto& bytes = probe.hello;
  const ssize_t count = ::send(probe.fd.get(), bytes.data() + probe.sent, bytes.size() - probe.sent,
                               MSG_NOSIGNAL | MSG_DONTWAIT);
  if (count < 0 && errno != EAGAIN && errno != EINTR) {
    finish(probe, ipc::DialOutcome::kHandshake);
    return;
  }
  if (count > 0) probe.sent += static_cast<std::size_t>(count);
  const bool armed = wait_for(probe, probe.sent < bytes.size() ? EV_WRITE : EV_READ);
  if (!armed) probes_.erase(probe.self);
}

// S0 must be version 3, and one byte of S1 shows that somebody is at work there.
void Prober::read_answer(Probe& probe) {
  std::array<std::uint8_t, 64> bytes;
  const ssize_t count = ::recv(probe.fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
    if (!wait_for(probe, EV_READ)) probes_.erase(probe.self);
    return;
  }
  if (count <= 0 || (probe.received == 0 && bytes[0] != kRtmpVersion)) {
    finish(probe, ipc::DialOutcome::kHandshake);
    return;
  }
  probe.received += static_cast<std::size_t>(count);
  if (probe.received >= 2) {
    finish(probe, ipc::DialOutcome::kOk);
  } else if (!wait_for(probe, EV_READ)) {
    probes_.erase(probe.self);
  }
}

// A first word of SRT; a listener keeps nothing of who says it. Lost, it counts as a failure, of
// which there must be several in a row.
void Prober::ask_srt(Probe& probe) {
  srt::Handshake hello;
  hello.header.control = true;
  hello.version = 4;  // what an induction is written in
  hello.extension = 2;
  hello.mss = 1500;
  hello.window = 8192;
  hello.socket_id = kSrtSocketId;
  std::array<std::uint8_t, srt::kHandshakeBytes> buffer;
  const ByteView bytes = srt::write_handshake(buffer, hello, {});
  if (::send(probe.fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    finish(probe, outcome_of(errno));
  } else if (!wait_for(probe, EV_READ)) {
    probes_.erase(probe.self);
  }
}

void Prober::read_srt(Probe& probe) {
  std::array<std::uint8_t, 1500> bytes;
  const ssize_t count = ::recv(probe.fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
    if (!wait_for(probe, EV_READ)) probes_.erase(probe.self);
    return;
  }
  if (count < 0) {
    finish(probe, outcome_of(errno));
    return;
  }
  srt::Handshake answer;
  const auto error =
      srt::parse_handshake(ByteView(bytes).first(static_cast<std::size_t>(count)), answer);
  const bool ok = error == srt::HandshakeError::kNone &&
                  answer.type == srt::HandshakeType::kInduction &&
                  answer.header.destination == kSrtSocketId;
  finish(probe, ok ? ipc::DialOutcome::kOk : ipc::DialOutcome::kHandshake);
}

// Ends the probe: `probe` is gone afterwards.
void Prober::finish(Probe& probe, ipc::DialOutcome outcome) {
  const ipc::OriginRef origin = probe.origin;
  const ipc::EndpointKind kind = probe.kind;
  probes_.erase(probe.self);
  report(origin, kind, outcome);
}

void Prober::report(ipc::OriginRef origin, ipc::EndpointKind kind, ipc::DialOutcome outcome) {
  const bool ok = outcome == ipc::DialOutcome::kOk;
  counters_.add(ok ? ipc::Counter::kProbesOk : ipc::Counter::kProbesFailed);
  if (ok) {
    ipc::OriginRecord record;
    const bool healthy = state_.read_origin(origin, record) && record.failures_in_row == 0 &&
                         record.state == ipc::OriginState::kUp;
    if (healthy) return;
  }
  ipc::ProbeResult result;
  result.origin = origin;
  result.endpoint = kind;
  result.outcome = outcome;
  send_(result);
}

}  // namespace weir::control
