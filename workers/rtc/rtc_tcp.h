// TcpLegs: clients that reach the WebRTC port by TCP (RFC 6544), packets framed as RFC 4571 says.
// A connection is nobody's until the first frame has proven whose it is; what it may buffer is
// bounded both ways, and a packet that does not fit is dropped, as a network would. Owner:
// RtcWorker; must die before the event base. Legs are named by {index, generation}.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/fd.h"
#include "common/proto/rtc/tcp_frame.h"
#include "workers/core/poller.h"

namespace weir::rtc {

struct LegRef {
  std::uint32_t index = 0xFFFFFFFF;
  std::uint32_t generation = 0;
  friend bool operator==(const LegRef&, const LegRef&) = default;
};

struct TcpLeg {
  bool used = false;
  std::uint32_t generation = 0;
  UniqueFd fd;
  Endpoint client;
  Endpoint local;
  std::uint32_t flow = 0xFFFFFFFF;  // of the relay; none until it has proven itself
  std::uint32_t claim = 0;          // request number while the master is asked
  bool paused = false;              // nothing is read while the master is asked
  bool writable_wanted = false;
  bool unwatched = false;  // the kernel refused to: it is closed within a second
  std::uint64_t opened_ms = 0;
  std::uint64_t packet_ms = 0;  // last packet, since it belongs to a flow
  std::uint64_t proof_ms = 0;   // last proof
  FrameSplitter splitter{0};
  std::vector<std::uint8_t> first;  // the frame that the claim was made with
  std::vector<std::uint8_t> out;    // what the socket did not take
};

class TcpLegs {
 public:
  struct Handlers {
    // One packet. The leg may be closed, paused or given to a flow from within.
    std::function<void(LegRef, ByteView)> on_packet;
    // The connection has ended; the leg is gone after this call.
    std::function<void(LegRef)> on_close;
  };
  TcpLegs(event_base* base, Handlers handlers);

  LegRef add(UniqueFd fd, const Endpoint& client, std::uint64_t now_ms);
  // Null when it has ended.
  TcpLeg* find(LegRef ref);
  // False: dropped, there is no room.
  bool send(LegRef ref, ByteView packet);
  void pause(LegRef ref);
  void resume(LegRef ref);
  // Without on_close.
  void close(LegRef ref);
  // Closes those that have not proven themselves since `before_ms`.
  void close_unproven(std::uint64_t before_ms);
  std::size_t size() const { return legs_.size() - free_.size(); }

 private:
  void on_ready(std::uint64_t token, std::uint32_t events);
  void read(LegRef ref);
  void take(LegRef ref, ByteView bytes);
  void flush(TcpLeg& leg, LegRef ref);
  void watch(TcpLeg& leg, LegRef ref);
  void lost(LegRef ref);

  Handlers handlers_;
  Poller poller_;
  std::vector<TcpLeg> legs_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint8_t> buffer_;
};

}  // namespace weir::rtc
