// The little of SRT that srt_load speaks: handshakes without encryption, and connections whose one
// end sends media and whose other end acknowledges it.
//
// Owner: t/90bench. Written apart from common/proto/srt, so that one checks the other. Nothing is
// sent again: a lost packet is reported to its sender, as by libsrt, and counted. Errors: what is
// no packet of a connection is ignored. Spec: draft-sharabayko-srt-01, sections 3 and 4.3.
#pragma once

#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "t/90bench/load_udp.h"

namespace weir::load {

enum class SrtControl : std::uint16_t {
  kHandshake = 0,
  kKeepAlive = 1,
  kAck = 2,
  kNak = 3,
  kShutdown = 5,
  kAckAck = 6,
};
inline constexpr std::size_t kSrtHeader = 16;
inline constexpr std::size_t kSrtHandshake = kSrtHeader + 48;
inline constexpr std::uint32_t kSrtInduction = 1, kSrtConclusion = 0xFFFFFFFF;

inline bool srt_is_control(ByteView packet, SrtControl type) {
  return packet.size() >= kSrtHeader &&
         load_be16(packet.data()) == (0x8000U | static_cast<unsigned>(type));
}

inline std::vector<std::uint8_t> srt_control(SrtControl type, std::uint32_t info,
                                             std::uint32_t peer_id, std::size_t content) {
  std::vector<std::uint8_t> out(kSrtHeader + content);
  store_be32(out.data(), 0x80000000U | static_cast<std::uint32_t>(type) << 16);
  store_be32(out.data() + 4, info);
  store_be32(out.data() + 8, static_cast<std::uint32_t>(now_ns() / 1000));
  store_be32(out.data() + 12, peer_id);
  return out;
}

// The fields of a handshake that vary.
struct SrtHello {
  std::uint32_t destination = 0, version = 5, extension = 0, type = kSrtInduction, own_id = 0,
                cookie = 0;
};

inline std::vector<std::uint8_t> srt_handshake(const SrtHello& hello) {
  auto out = srt_control(SrtControl::kHandshake, 0, hello.destination, 48);
  const std::uint32_t fields[] = {
      hello.version, hello.extension, 0 /* first sequence */, 1500,
      8192,          hello.type,      hello.own_id,           hello.cookie};
  for (std::size_t i = 0; i < std::size(fields); ++i)
    store_be32(out.data() + kSrtHeader + 4 * i, fields[i]);
  return out;
}

inline SrtHello srt_parse_handshake(ByteView packet) {
  const auto field = [&](std::size_t i) { return load_be32(packet.data() + kSrtHeader + 4 * i); };
  return {load_be32(packet.data() + 12), field(0), field(1), field(5), field(6), field(7)};
}

// The extension that asks for live mode with 120 ms, or (kind 2) agrees to it.
inline void srt_add_terms(std::vector<std::uint8_t>& out, std::uint8_t kind) {
  constexpr std::uint8_t kTerms[] = {0, 0, 0, 3, 0, 1, 5, 1, 0, 0, 0, 0xBF, 0, 120, 0, 120};
  const std::size_t at = out.size();
  out.insert(out.end(), std::begin(kTerms), std::end(kTerms));
  out[at + 1] = kind;
}

// Words of a stream id travel with their bytes reversed.
inline void srt_add_stream_id(std::vector<std::uint8_t>& out, std::string id) {
  id.resize((id.size() + 3) / 4 * 4);
  const std::size_t at = out.size();
  out.resize(at + 4 + id.size());
  store_be16(out.data() + at, 5);
  store_be16(out.data() + at + 2, static_cast<std::uint16_t>(id.size() / 4));
  for (std::size_t i = 0; i < id.size(); ++i)
    out[at + 4 + (i ^ 3U)] = static_cast<std::uint8_t>(id[i]);
}

inline bool srt_wants_to_publish(ByteView conclusion) {
  std::string text;
  for (std::size_t at = kSrtHandshake; at + 4 <= conclusion.size(); at += 4)
    for (std::size_t i = 4; i > 0; --i) text += static_cast<char>(conclusion[at + i - 1]);
  return text.find("m=publish") != std::string::npos;
}

// One end of a connection.
struct SrtEnd {
  int fd = -1;
  sockaddr_storage to{};  // of a socket that is not connected
  socklen_t to_length = 0;
  std::uint32_t own_id = 0, peer_id = 0;
  bool sends = false, open = false;
  bool heard = false;    // media has come, or an acknowledgement of ours
  bool unacked = false;  // media has come since the last acknowledgement
  std::uint64_t number = 0;
  std::uint32_t acks = 0;
  std::int64_t next_burst = 0, next_ack = 0, next_alive = 0;
  UdpInbound in;
};

struct SrtMediaOptions {
  double mbits = 5;    // of payload, each connection
  int burst = 1;       // packets that leave together: 1 an even stream, 16 a frame each 1/30 s
  int payload = 1316;  // seven TS packets
};

// Drives the open connections of one process, and counts for all of them.
class SrtMedia {
 public:
  explicit SrtMedia(const SrtMediaOptions& options)
      : options_(options),
        interval_(static_cast<std::int64_t>(options.burst * options.payload * 8e3 / options.mbits)),
        packet_(kSrtHeader + static_cast<std::size_t>(options.payload), 0x55) {
    for (std::size_t at = kSrtHeader; at < packet_.size(); at += 188) packet_[at] = 0x47;
  }

  // `phase`: 0 to 1, where in the interval this one sends.
  void open(SrtEnd& end, double phase) const {
    const std::int64_t now = now_ns();
    end.open = true;
    end.next_burst = now / interval_ * interval_ +
                     static_cast<std::int64_t>((1 + phase) * static_cast<double>(interval_));
    end.next_ack = now + kAckEvery;
    end.next_alive = now + kAliveEvery;
  }
  // Sends what is due; returns when the next is.
  std::int64_t on_time(SrtEnd& end, std::int64_t now) {
    if (end.sends && now >= end.next_burst) {
      for (int i = 0; i < options_.burst; ++i) send_media(end);
      end.next_burst += interval_;
    }
    if (now >= end.next_ack) {
      end.next_ack += kAckEvery;
      if (end.unacked) acknowledge(end);
    }
    if (now >= end.next_alive) {
      end.next_alive += kAliveEvery;
      send(end, srt_control(SrtControl::kKeepAlive, 0, end.peer_id, 0));
    }
    return std::min(end.sends ? end.next_burst : end.next_alive, end.next_ack);
  }
  // REQUIRES: at least a header.
  void take(SrtEnd& end, ByteView packet, std::int64_t now) {
    ++received_;
    if (load_be32(packet.data() + 12) != end.own_id) {
      ++foreign_;
    } else if ((packet[0] & 0x80) == 0) {
      take_media(end, packet, now);
    } else if (srt_is_control(packet, SrtControl::kAck)) {
      end.heard = true;
      send(end, srt_control(SrtControl::kAckAck, load_be32(packet.data() + 4), end.peer_id, 0));
    }
  }
  void send(const SrtEnd& end, ByteView packet) {
    ++sent_;
    // The socket API takes every address family through this one pointer type.
    const auto* to = end.to_length == 0 ? nullptr : reinterpret_cast<const sockaddr*>(&end.to);
    if (::sendto(end.fd, packet.data(), packet.size(), MSG_DONTWAIT, to, end.to_length) < 0)
      ++refused_;
  }
  void reset() {
    totals_ = UdpTotals{};
    sent_ = received_ = 0;
  }
  std::uint64_t sent() const { return sent_; }
  std::uint64_t received() const { return received_; }
  // "media":{...},"foreign":...,"refused":...
  std::string json() const {
    return "\"media\":" + totals_.json() + ",\"foreign\":" + std::to_string(foreign_) +
           ",\"refused\":" + std::to_string(refused_);
  }

 private:
  static constexpr std::int64_t kAckEvery = kSecond / 100, kAliveEvery = kSecond;
  // In the first TS packet, after its header.
  static constexpr std::size_t kNumberAt = kSrtHeader + 4, kTimeAt = kNumberAt + 8;

  void send_media(SrtEnd& end) {
    store_be32(packet_.data(), static_cast<std::uint32_t>(end.number & 0x7FFFFFFF));
    store_be32(packet_.data() + 4,
               0xE0000000U | static_cast<std::uint32_t>(end.number & 0x3FFFFFF));
    store_be32(packet_.data() + 8, static_cast<std::uint32_t>(now_ns() / 1000));
    store_be32(packet_.data() + 12, end.peer_id);
    store_be64(packet_.data() + kNumberAt, end.number++);
    store_be64(packet_.data() + kTimeAt, static_cast<std::uint64_t>(now_ns()));
    send(end, packet_);
  }
  void take_media(SrtEnd& end, ByteView packet, std::int64_t now) {
    if (packet.size() < kTimeAt + 8) return;
    const std::uint64_t number = load_be64(packet.data() + kNumberAt);
    if (end.in.started && number > end.in.next) {
      auto nak = srt_control(SrtControl::kNak, 0, end.peer_id, 8);
      store_be32(nak.data() + kSrtHeader, 0x80000000U | static_cast<std::uint32_t>(end.in.next));
      store_be32(nak.data() + kSrtHeader + 4, static_cast<std::uint32_t>(number - 1));
      send(end, nak);
    }
    totals_.count(end.in, number,
                  now - static_cast<std::int64_t>(load_be64(packet.data() + kTimeAt)));
    end.heard = end.unacked = true;
  }
  // With round trip time, buffer, rates: 28 bytes.
  void acknowledge(SrtEnd& end) {
    end.unacked = false;
    auto ack = srt_control(SrtControl::kAck, ++end.acks, end.peer_id, 28);
    const std::uint32_t fields[] = {
        static_cast<std::uint32_t>(end.in.next), 1000, 500, 8000, 475, 10000, 625000};
    for (std::size_t i = 0; i < std::size(fields); ++i)
      store_be32(ack.data() + kSrtHeader + 4 * i, fields[i]);
    send(end, ack);
  }

  const SrtMediaOptions options_;
  const std::int64_t interval_;
  std::vector<std::uint8_t> packet_;
  UdpTotals totals_;
  std::uint64_t sent_ = 0, received_ = 0, foreign_ = 0, refused_ = 0;
};

}  // namespace weir::load
