// SessionWatch: what an SRT worker reads of the control packets of established sessions: losses,
// round trips, and that one is about to end. Also how the ends hear of an end. Owner: SrtWorker.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/proto/srt/packet.h"
#include "workers/srt/srt_process.h"

namespace weir::srt {

// Why a session ended whose caller has begun anew with the same port and socket id.
inline constexpr std::string_view kCallsAnew = "client_restarted";

class SessionWatch {
 public:
  explicit SessionWatch(SrtProcess& process) : process_(process) {}

  // A control packet of it goes by. Does not end it yet.
  void look(std::uint32_t flow, const Header& header, ByteView packet, bool of_client);
  // It shall end with the next end_closed().
  void close(std::uint32_t flow, std::string_view why);
  // Ends those that are closed. REQUIRES: not within the relay's work.
  void end_closed();
  // It has ended, and is forgotten: both ends hear of an end that neither has asked for.
  void tell_ends(std::uint32_t flow, const UdpEnd& end);
  void clear() { closing_.clear(); }

 private:
  // Why the session is about to end; empty: it is not.
  std::string_view& closing(std::uint32_t flow);

  SrtProcess& process_;
  std::vector<std::string_view> reasons_;  // by the relay's index
  std::vector<ipc::FlowRef> closing_;
};

}  // namespace weir::srt
