#include "workers/rtc/rtc_tcp.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <utility>

#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/net/tcp.h"
#include "workers/core/udp_socket.h"

namespace weir::rtc {
namespace {

constexpr std::size_t kReadBytes = 64 * 1024;

}  // namespace

TcpLegs::TcpLegs(event_base* base, Handlers handlers)
    : handlers_(std::move(handlers)),
      poller_(base, 0,
              [this](std::uint64_t token, std::uint32_t events) { on_ready(token, events); }),
      buffer_(kReadBytes) {}

LegRef TcpLegs::add(UniqueFd fd, const Endpoint& client, std::uint64_t now_ms) {
  auto index = static_cast<std::uint32_t>(legs_.size());
  if (free_.empty()) {
    legs_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  TcpLeg& leg = legs_[index];
  const std::uint32_t generation = leg.generation + 1;
  leg = TcpLeg{};
  leg.used = true;
  leg.generation = generation;
  leg.client = client;
  leg.local = net::local_address(fd.get());
  leg.opened_ms = now_ms;
  leg.splitter = FrameSplitter(limits::kRtcTcpFrameBytes);
  leg.fd = std::move(fd);
  const LegRef ref{index, generation};
  leg.unwatched = !poller_.add(leg.fd.get(), EPOLLIN, Token{index, generation, 0}.pack());
  return ref;
}

TcpLeg* TcpLegs::find(LegRef ref) {
  if (ref.index >= legs_.size()) return nullptr;
  TcpLeg& leg = legs_[ref.index];
  return leg.used && leg.generation == ref.generation ? &leg : nullptr;
}

void TcpLegs::watch(TcpLeg& leg, LegRef ref) {
  const std::uint32_t in = leg.paused ? 0U : static_cast<std::uint32_t>(EPOLLIN);
  const std::uint32_t out = leg.writable_wanted ? static_cast<std::uint32_t>(EPOLLOUT) : 0U;
  leg.unwatched =
      !poller_.modify(leg.fd.get(), in | out, Token{ref.index, ref.generation, 0}.pack());
}

void TcpLegs::pause(LegRef ref) {
  TcpLeg* leg = find(ref);
  if (leg == nullptr) return;
  leg->paused = true;
  watch(*leg, ref);
}

void TcpLegs::resume(LegRef ref) {
  TcpLeg* leg = find(ref);
  if (leg == nullptr) return;
  leg->paused = false;
  watch(*leg, ref);
}

void TcpLegs::close(LegRef ref) {
  TcpLeg* leg = find(ref);
  if (leg == nullptr) return;
  poller_.remove(leg->fd.get());
  const std::uint32_t generation = leg->generation;
  *leg = TcpLeg{};
  leg->generation = generation;
  free_.push_back(ref.index);
}

void TcpLegs::lost(LegRef ref) {
  if (find(ref) == nullptr) return;
  handlers_.on_close(ref);
  close(ref);
}

void TcpLegs::close_unproven(std::uint64_t before_ms) {
  for (std::uint32_t i = 0; i < legs_.size(); ++i) {
    const TcpLeg& leg = legs_[i];
    if (!leg.used) continue;
    if (leg.unwatched) {
      LogLine(LogLevel::kError, "a connection ends, the kernel does not watch its socket")
          .field("client", leg.client);
    }
    const bool late = leg.flow == 0xFFFFFFFF && leg.opened_ms < before_ms;
    if (late || leg.unwatched) lost({i, leg.generation});
  }
}

void TcpLegs::on_ready(std::uint64_t token, std::uint32_t events) {
  const Token at = Token::unpack(token);
  const LegRef ref{at.index, at.generation};
  TcpLeg* leg = find(ref);
  if (leg == nullptr) return;
  if ((events & EPOLLOUT) != 0) flush(*leg, ref);
  if ((events & (EPOLLERR | EPOLLHUP)) != 0 && leg->paused) {
    lost(ref);
  } else if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) {
    read(ref);
  }
}

void TcpLegs::read(LegRef ref) {
  const TcpLeg* leg = find(ref);
  if (leg == nullptr || leg->paused) return;
  const ssize_t n = ::recv(leg->fd.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
  if (n > 0) {
    take(ref, ByteView(buffer_).first(static_cast<std::size_t>(n)));
  } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
    lost(ref);
  }
}

void TcpLegs::take(LegRef ref, ByteView bytes) {
  for (TcpLeg* leg = find(ref); leg != nullptr; leg = find(ref)) {
    ByteView frame;
    const ParseStatus status = leg->splitter.next(bytes, frame);
    if (status == ParseStatus::kNeedMore) return;
    if (status == ParseStatus::kInvalid) {
      lost(ref);
      return;
    }
    // What was read beyond the first frame is dropped while the master is asked: ICE repeats it.
    if (!leg->paused) handlers_.on_packet(ref, frame);
  }
}

bool TcpLegs::send(LegRef ref, ByteView packet) {
  TcpLeg* leg = find(ref);
  if (leg == nullptr) return false;
  const std::size_t size = kFrameHeaderBytes + packet.size();
  if (leg->out.size() + size > limits::kRtcTcpQueueBytes) return false;
  std::uint8_t header[kFrameHeaderBytes];
  store_frame_header(header, packet.size());
  std::size_t sent = 0;
  if (leg->out.empty()) {
    // The socket API takes writable pointers to what it only reads.
    iovec parts[2] = {{header, sizeof header},
                      {const_cast<std::uint8_t*>(packet.data()), packet.size()}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    const ssize_t n = ::sendmsg(leg->fd.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) sent = static_cast<std::size_t>(n);
    if (sent == size) return true;
  }
  for (std::size_t at = sent; at < size; ++at) {
    leg->out.push_back(at < sizeof header ? header[at] : packet[at - sizeof header]);
  }
  if (!std::exchange(leg->writable_wanted, true)) watch(*leg, ref);
  return true;
}

void TcpLegs::flush(TcpLeg& leg, LegRef ref) {
  const ssize_t n =
      ::send(leg.fd.get(), leg.out.data(), leg.out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n > 0) leg.out.erase(leg.out.begin(), leg.out.begin() + n);
  if (!leg.out.empty()) return;
  leg.writable_wanted = false;
  watch(leg, ref);
}

}  // namespace weir::rtc
