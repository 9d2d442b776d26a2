#include "workers/srt/srt_key_lengths.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/clock.h"
#include "common/net/udp.h"
#include "common/proto/srt/packet.h"
#include "ipc/origin_walk.h"

namespace weir::srt {
namespace {

constexpr std::uint64_t kRoundMs = 1000;
constexpr std::uint64_t kAskAgainMs = 5000;  // who did not answer
constexpr std::size_t kQuestions = 32;       // at once
constexpr std::uint32_t kSocketId = 1;       // any will do: the socket is connected
constexpr auto kSrt = static_cast<std::size_t>(ipc::EndpointKind::kSrt);

bool is_length(std::uint16_t encryption) {
  return encryption >= 2 && encryption <= 4;
}

}  // namespace

KeyLengths::KeyLengths(event_base* base, const ipc::StateView& state)
    : base_(base), state_(state), timer_(make_timer<&KeyLengths::on_round>(base, this)) {}

void KeyLengths::start() {
  on_round();
}

void KeyLengths::stop() {
  questions_.clear();
  event_del(timer_.get());
}

void KeyLengths::learn(const Endpoint& origin, std::uint16_t encryption) {
  Known& row = known_[origin];
  if (row.encryption == encryption) return;
  row.encryption = encryption;
  decide();
}

void KeyLengths::on_round() {
  questions_.clear();  // of the round before
  const std::uint64_t now = monotonic_ms();
  for (auto& [origin, row] : known_) row.present = false;
  ipc::each_origin(state_, [&](ipc::OriginRef, const ipc::OriginRecord& record) {
    const std::size_t count =
        std::min<std::size_t>(record.endpoint_count[kSrt], limits::kEndpointsPerKind);
    for (std::size_t i = 0; i < count; ++i) {
      const Endpoint& origin = record.endpoints[kSrt][i];
      Known& row = known_[origin];
      row.present = true;
      if (row.encryption || row.ask_at_ms > now || questions_.size() >= kQuestions) continue;
      row.ask_at_ms = now + kAskAgainMs;
      ask(origin);
    }
  });
  std::erase_if(known_, [](const auto& each) { return !each.second.present; });
  decide();
  arm(timer_, kRoundMs);
}

void KeyLengths::ask(const Endpoint& origin) {
  auto fd = net::connect_udp(origin);
  if (!fd) return;
  std::array<std::uint8_t, kHandshakeBytes> buffer;
  const ByteView bytes = write_induction(buffer, kSocketId);
  if (::send(fd->get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) return;
  Question& question = questions_.emplace_front();
  question.owner = this;
  question.origin = origin;
  question.self = questions_.begin();
  question.answer.reset(event_new(
      base_, fd->get(), EV_READ,
      [](evutil_socket_t, short, void* self) {
        auto* asked = static_cast<Question*>(self);
        asked->owner->on_answer(*asked);
      },
      &question));
  question.fd = std::move(*fd);
  if (!question.answer || event_add(question.answer.get(), nullptr) != 0) questions_.pop_front();
}

void KeyLengths::on_answer(Question& question) {
  std::array<std::uint8_t, limits::kSrtHandshakeBytes> bytes;
  const ssize_t count = ::recv(question.fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  Handshake answer;
  const bool good = count > 0 &&
                    parse_handshake(ByteView(bytes).first(static_cast<std::size_t>(count)),
                                    answer) == HandshakeError::kNone &&
                    answers_induction(answer, kSocketId) && answer.extension == kInductionMagic;
  const Endpoint origin = question.origin;
  questions_.erase(question.self);
  if (good) learn(origin, answer.encryption);
}

void KeyLengths::decide() {
  advertised_ = 0;
  for (const auto& [origin, row] : known_) {
    if (!row.encryption || !is_length(*row.encryption)) continue;
    if (advertised_ != 0 && advertised_ != *row.encryption) {
      advertised_ = 0;
      return;
    }
    advertised_ = *row.encryption;
  }
}

}  // namespace weir::srt
