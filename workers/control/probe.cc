#include "workers/control/probe.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

#include "common/net/crypto.h"
#include "common/net/udp.h"
#include "common/proto/srt/packet.h"
#include "workers/core/dial.h"

namespace weir::control {
namespace {

using ipc::DialOutcome;
using ipc::EndpointKind;

constexpr std::size_t kHelloBytes = 1 + 1536;  // C0 and C1 (RTMP 1.0, 5.2)
constexpr std::uint8_t kRtmpVersion = 3;
constexpr std::string_view kHttpBeginning = "HTTP/";
constexpr std::uint32_t kSrtSocketId = 1;      // any will do: the socket is connected
constexpr std::size_t kReadBytes = 17 * 1024;  // a TLS record

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

// What is answered is not judged, so any resource will do; each of these is a small one.
std::string http_request(EndpointKind kind, const Endpoint& to) {
  const std::string_view line = kind == EndpointKind::kApi ? "GET /api/v1/versions" : "HEAD /";
  return std::string(line) + " HTTP/1.1\r\nHost: " + to_string(to) +
         "\r\nUser-Agent: weir-probe\r\nConnection: close\r\n\r\n";
}

}  // namespace

Probe::Probe(event_base* base, OriginConnect& connect, const ipc::OriginRecord& origin,
             EndpointKind kind, std::size_t address, Done done)
    : base_(base),
      connect_(connect),
      done_(std::move(done)),
      kind_(kind),
      target_(target_of(origin, kind, origin.endpoints[static_cast<std::size_t>(kind)][address])) {}

void Probe::start() {
  if (const Step step = connect(); step != Step::kOpen) finish(step);
}

// `this` may be gone afterwards.
void Probe::finish(Step step) {
  if (step == Step::kOpen) return;
  event_.reset();
  ProbeVerdict verdict;
  if (step != Step::kNoVerdict) verdict = step == Step::kAlive ? DialOutcome::kOk : why_;
  const Done done = std::move(done_);
  done(verdict);
}

Probe::Step Probe::failed(DialOutcome why) {
  why_ = why;
  return Step::kFailed;
}

// Our own lack of descriptors or ports says nothing about the origin.
Probe::Step Probe::failed_by(int error) {
  return is_local_shortage(error) ? Step::kNoVerdict : failed(dial_outcome(error));
}

Probe::Step Probe::connect() {
  if (kind_ == EndpointKind::kSrt) return open_udp();
  return after(connect_.start(side_, target_, [this](int fd) { return watch(fd); }));
}

Probe::Step Probe::open_udp() {
  auto fd = net::connect_udp(target_.endpoint);
  if (!fd) return failed_by(fd.error().sys_errno);
  side_.fd = std::move(*fd);
  open_ = true;
  return watch(side_.fd.get()) ? send_induction() : Step::kNoVerdict;
}

bool Probe::watch(int fd) {
  event_.reset(event_new(
      base_, fd, EV_READ | EV_WRITE | EV_ET | EV_PERSIST,
      [](evutil_socket_t, short what, void* arg) {
        auto* self = static_cast<Probe*>(arg);
        // As if the other side had closed: what came with its end is then read to the end.
        self->side_.note(((what & EV_READ) != 0 ? EPOLLIN : 0U) |
                         ((what & EV_WRITE) != 0 ? EPOLLOUT : 0U) | EPOLLRDHUP);
        self->finish(self->on_ready());
      },
      this));
  return event_ && event_add(event_.get(), nullptr) == 0;
}

Probe::Step Probe::after(const ConnectStep& step) {
  switch (step.state) {
    case ConnectStep::State::kWaiting:
      return Step::kOpen;
    case ConnectStep::State::kFailed:
      return step.outcome == DialOutcome::kOk ? Step::kNoVerdict : failed(step.outcome);
    case ConnectStep::State::kOpen:
      break;
  }
  open_ = true;
  if (kind_ == EndpointKind::kRtmp) {
    side_.out.append(ByteView(hello()));
  } else {
    side_.out.append(http_request(kind_, target_.endpoint));
  }
  return exchange();
}

Probe::Step Probe::on_ready() {
  return open_ ? exchange() : after(connect_.go_on(side_, target_));
}

Probe::Step Probe::exchange() {
  std::size_t moved = 0;
  if (side_.flush(moved) == IoStatus::kEnded) side_.readable = true;  // it may have answered before
  std::array<std::uint8_t, kReadBytes> buffer;
  while (side_.readable) {
    ssize_t n = 0;
    const IoStatus status = side_.read(buffer, n);
    if (status == IoStatus::kBlocked) break;
    if (status == IoStatus::kEnded) {
      return kind_ == EndpointKind::kSrt && n < 0 ? failed_by(errno)
                                                  : failed(DialOutcome::kHandshake);
    }
    const Step step = judge(ByteView(buffer).first(static_cast<std::size_t>(n)));
    if (step != Step::kOpen) return step;
  }
  return Step::kOpen;
}

Probe::Step Probe::judge(ByteView bytes) {
  if (kind_ == EndpointKind::kSrt) return judge_srt(bytes);
  const std::size_t wanted = kind_ == EndpointKind::kRtmp ? 2 : kHttpBeginning.size();
  const std::size_t more = std::min(bytes.size(), wanted - answer_.size());
  answer_.insert(answer_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(more));
  // S0 must be version 3, and one byte of S1 shows that somebody is at work there.
  const bool right = kind_ == EndpointKind::kRtmp
                         ? answer_[0] == kRtmpVersion
                         : std::equal(answer_.begin(), answer_.end(), kHttpBeginning.begin());
  if (!right) return failed(DialOutcome::kHandshake);
  return answer_.size() == wanted ? Step::kAlive : Step::kOpen;
}

Probe::Step Probe::judge_srt(ByteView datagram) {
  srt::Handshake answer;
  const bool ok = srt::parse_handshake(datagram, answer) == srt::HandshakeError::kNone &&
                  srt::answers_induction(answer, kSrtSocketId);
  return ok ? Step::kAlive : failed(DialOutcome::kHandshake);
}

void Probe::ask_again() {
  if (kind_ == EndpointKind::kSrt && side_.fd) finish(send_induction());
}

Probe::Step Probe::send_induction() {
  std::array<std::uint8_t, srt::kHandshakeBytes> buffer;
  const ByteView bytes = srt::write_induction(buffer, kSrtSocketId);
  if (::send(side_.fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 ||
      errno == EAGAIN) {
    return Step::kOpen;
  }
  return failed_by(errno);
}

}  // namespace weir::control
