// BusyList: the connections of a Server that its timer looks at, in no order. Adding and removing
// take the same time however many there are. Owner: the Server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "workers/core/http_connection.h"
#include "workers/core/tcp_worker.h"

namespace weir::http {

class BusyList {
 public:
  explicit BusyList(ConnTable<Connection>& conns) : conns_(conns) {}

  void add(std::uint32_t index) {
    conns_[index].in_list = true;
    conns_[index].list_index = static_cast<std::uint32_t>(list_.size());
    list_.push_back(index);
  }
  // The last one takes its place. Nothing happens if it is not there.
  void remove(std::uint32_t index) {
    Connection& conn = conns_[index];
    if (!conn.in_list) return;
    conn.in_list = false;
    list_[conn.list_index] = list_.back();
    conns_[list_[conn.list_index]].list_index = conn.list_index;
    list_.pop_back();
  }
  std::size_t size() const { return list_.size(); }
  bool empty() const { return list_.empty(); }
  std::uint32_t operator[](std::size_t i) const { return list_[i]; }

  // The one without a request that has been there for longest, if that is since `since_ms`.
  std::optional<std::uint32_t> longest_idle(std::uint64_t since_ms) const {
    std::optional<std::uint32_t> oldest;
    for (const std::uint32_t index : list_) {
      const Connection& conn = conns_[index];
      if (conn.exchange || conn.closing || !conn.in.empty() || conn.side.shaking()) continue;
      if (!oldest || conn.last_move_ms < conns_[*oldest].last_move_ms) oldest = index;
    }
    return oldest && conns_[*oldest].last_move_ms <= since_ms ? oldest : std::nullopt;
  }

 private:
  ConnTable<Connection>& conns_;
  std::vector<std::uint32_t> list_;
};

}  // namespace weir::http
