// What a connection of rtmp_load or http_load is, and which of them get a frame when.
//
// Owner: t/90bench; a connection is TcpSockets' (load_tcp.h), what is counted TcpLoad's
// (load_run.h). No errors here.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "t/90bench/load_main.h"
#include "t/90bench/load_measure.h"
#include "t/90bench/load_wire.h"

namespace weir::load {

struct TcpOptions {
  std::string mode, target = "127.0.0.1:1935", pids;
  double bitrate = 5e6, fps = 30, seconds = 5, warmup = 1, rate = 500, limit = 3600;
  int players = 1, streams = 1, phases = 1;
  int count = 1000, parallel = 8;  // mode "setup": sessions in all, and at a time

  OptionTable table() {
    return {{"--target", &target},   {"--listen", &target},    {"--pids", &pids},
            {"--bitrate", &bitrate}, {"--fps", &fps},          {"--seconds", &seconds},
            {"--warmup", &warmup},   {"--rate", &rate},        {"--limit", &limit},
            {"--players", &players}, {"--streams", &streams},  {"--phases", &phases},
            {"--count", &count},     {"--parallel", &parallel}};
  }
  bool ok() const {
    return fps > 0 && rate > 0 && target.find(':') != std::string::npos && players > 0 &&
           streams > 0 && phases > 0 && count > 0 && parallel > 0;
  }
};

struct TcpTotals {
  std::uint64_t bytes = 0, frames = 0, gaps = 0, corrupt = 0, failed = 0, slow = 0, done = 0,
                requests = 0;
  Histogram first_byte, latency;
  bool counting = false;
  double cpu = 0;
};

struct TcpConn {
  TcpConn() = default;
  TcpConn(const TcpConn&) = delete;
  TcpConn& operator=(const TcpConn&) = delete;
  virtual ~TcpConn() = default;

  TcpTotals* totals = nullptr;
  int fd = -1;
  bool server = false, player = false;  // a player gets media
  bool connecting = false, want_write = false, dead = false, sending = false, media_seen = false,
       sequence_known = false;
  int stream = 0;
  std::uint32_t sequence = 0;
  std::size_t group = 0, position = 0;
  std::int64_t started = 0, last_frame = 0;
  std::string queue;      // bytes the socket did not take
  std::string_view file;  // what follows them; lives as long as the tool

  // As a reader's sink.
  void on_corrupt() const { ++totals->corrupt; }
  void on_frame(const Frame& frame) {
    if (sequence_known && frame.sequence != sequence) ++totals->gaps;
    sequence_known = true;
    sequence = frame.sequence + 1;
    last_frame = now_ns();
    if (!totals->counting) return;
    ++totals->frames;
    totals->latency.add(last_frame - frame.sent_ns);
  }
};

// Connections in groups that share a moment of the frame interval: players of one stream get their
// frames together, streams do not.
class FrameGroups {
 public:
  FrameGroups(int groups, double fps)
      : interval_(static_cast<double>(kSecond) / fps), groups_(static_cast<std::size_t>(groups)) {}

  void add(TcpConn& conn, std::size_t group) {
    if (conn.sending || conn.dead) return;
    conn.group = group % groups_.size();
    conn.position = groups_[conn.group].size();
    groups_[conn.group].push_back(&conn);
    conn.sending = true;
  }
  void remove(TcpConn& conn) {
    if (!conn.sending) return;
    auto& members = groups_[conn.group];
    members[conn.position] = members.back();
    members[conn.position]->position = conn.position;
    members.pop_back();
    conn.sending = false;
  }
  std::int64_t next_due() const {
    const auto n = static_cast<double>(groups_.size());
    const double at = static_cast<double>(rounds_) + static_cast<double>(next_) / n;
    return base_ + static_cast<std::int64_t>(at * interval_);
  }
  // Calls send(conn, now, ms since it started) for each whose turn it is; that may remove it.
  template <class Send>
  void fire(Send&& send) {
    while (next_due() <= now_ns()) {
      auto& members = groups_[next_];
      for (std::size_t i = members.size(); i > 0; --i) {
        TcpConn& conn = *members[i - 1];
        const std::int64_t at = now_ns();
        const auto ms = static_cast<std::uint32_t>((at - conn.started) / 1'000'000);
        send(conn, at, ms & 0x7FFFFF);
      }
      if (++next_ == groups_.size()) {
        next_ = 0;
        ++rounds_;
      }
    }
  }

 private:
  const double interval_;
  const std::int64_t base_ = now_ns();
  std::vector<std::vector<TcpConn*>> groups_;
  std::size_t next_ = 0;
  std::uint64_t rounds_ = 0;
};

}  // namespace weir::load
