// The run of rtmp_load and http_load: clients that are started at a bounded rate, frames in their
// time, the counted window, the report.
//
// Owner: t/90bench. Errors: a session that ends before the run does is counted as failed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "t/90bench/load_tcp.h"

namespace weir::load {

class TcpLoad : public TcpSockets {
 public:
  explicit TcpLoad(const TcpOptions& options)
      : TcpSockets(options.target),
        common_(options),
        setup_(options.mode == "setup"),
        frames_(options.phases, options.fps) {}

  int run() {
    const bool server = common_.mode == "origin";
    if (server) {
      if (!open_listener()) return 1;
      std::fprintf(stderr, "{\"event\":\"listening\"}\n");
      open_window(begin_);  // what publishers send is counted from the start
    }
    const auto limit = static_cast<std::int64_t>(common_.limit * kSecond);
    while (g_stop == 0 && !finished_ && now_ns() - begin_ < limit) {
      if (!server) drive_clients(now_ns());
      poll(frames_.next_due());
      frames_.fire([this](TcpConn& conn, std::int64_t at, std::uint32_t ms) {
        send(conn, stamp(at, conn.sequence++, ms));
      });
      reap();
    }
    if (!finished_) window_end_ = now_ns();
    report();
    return (finished_ || server) && totals_.failed + totals_.gaps + totals_.corrupt == 0 ? 0 : 1;
  }

 protected:
  // The next frame of a connection.
  virtual std::string_view stamp(std::int64_t now, std::uint32_t sequence, std::uint32_t ms) = 0;

  void on_made(TcpConn& conn) override {
    conn.totals = &totals_;
    if (conn.server) return;
    conn.player = true;
    conn.stream = dialed_++ % common_.streams;
    ++half_open_;
    ++live_;
  }
  void on_close(TcpConn& conn, bool failed) override {
    frames_.remove(conn);
    if (conn.server) return;
    --live_;
    if (!conn.media_seen) --half_open_;
    if (!failed || finished_ || ++totals_.failed > 5) return;
    std::fprintf(stderr, "session of stream %d ended %s its media\n", conn.stream,
                 conn.media_seen ? "in" : "before");
  }
  void on_media(TcpConn& conn) {
    conn.media_seen = true;
    --half_open_;
    ++totals_.done;
    totals_.first_byte.add(now_ns() - conn.started);
    if (setup_) close(conn, false);
  }

  const TcpOptions common_;
  const bool setup_;
  const std::int64_t begin_ = now_ns();
  FrameGroups frames_;
  TcpTotals totals_;
  std::vector<std::uint8_t> buffer_ = std::vector<std::uint8_t>(256 * 1024);

 private:
  static constexpr double kSetupSeconds = 30;  // until all have media, beyond the rate of starts

  void open_window(std::int64_t now) {
    totals_.counting = true;
    window_start_ = now;
    window_end_ = now + static_cast<std::int64_t>(common_.seconds * kSecond);
    cpu_start_ = cpu_seconds(common_.pids);
  }
  // Starts clients at a bounded rate, opens the counted window once all have media (set-ups: at
  // once), ends the run.
  void drive_clients(std::int64_t now) {
    const int total = setup_ ? common_.count : common_.players;
    const double since = static_cast<double>(now - begin_) / kSecond;
    const int allowed = setup_ ? total : static_cast<int>(since * common_.rate) + 1;
    while (dialed_ < std::min(total, allowed) && half_open_ < (setup_ ? common_.parallel : 256)) {
      if (dial()) continue;
      ++dialed_;
      ++totals_.failed;
    }
    if (!ready_ && dialed_ == total && half_open_ == 0) {
      ready_ = true;
      std::fprintf(stderr, "{\"event\":\"ready\",\"sessions\":%d}\n", live_);
      if (!setup_) window_start_ = now + static_cast<std::int64_t>(common_.warmup * kSecond);
    }
    if (!totals_.counting) {
      const double seconds = kSetupSeconds + static_cast<double>(total) / common_.rate;
      if (setup_ || (ready_ && now >= window_start_)) open_window(now);
      finished_ = !ready_ && !setup_ && since > seconds;
    } else {
      finished_ = now >= window_end_ || (setup_ && ready_);
    }
    if (finished_) window_end_ = now;
    if (finished_ && totals_.counting) totals_.cpu = cpu_seconds(common_.pids) - cpu_start_;
  }
  // Since its last frame, of the player that waits longest now, in ms: one that stands still has
  // no gap.
  double longest_silence() const {
    const std::int64_t now = now_ns();
    std::int64_t longest = 0;
    for (const auto& conn : conns()) {
      if (!conn || conn->dead || !conn->player) continue;
      longest = std::max(longest, now - std::max(conn->last_frame, conn->started));
    }
    return static_cast<double>(longest) / 1e6;
  }
  void report() const {
    const auto number = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
    const TcpTotals& t = totals_;
    std::printf(
        "{\"mode\":\"%s\",\"ready\":%s,\"sessions\":%llu,\"failed\":%llu,\"seconds\":%.3f,"
        "\"bytes\":%llu,\"frames\":%llu,\"requests\":%llu,\"gaps\":%llu,\"corrupt\":%llu,"
        "\"slow\":%llu,\"silence_ms\":%.0f,\"relay_cpu\":%.6f,\"first_byte_ms\":%s,"
        "\"frame_ms\":%s}\n",
        common_.mode.c_str(), ready_ ? "true" : "false", number(t.done), number(t.failed),
        static_cast<double>(window_end_ - window_start_) / kSecond, number(t.bytes),
        number(t.frames), number(t.requests), number(t.gaps), number(t.corrupt), number(t.slow),
        longest_silence(), t.cpu, t.first_byte.json().c_str(), t.latency.json().c_str());
  }

  int dialed_ = 0, half_open_ = 0, live_ = 0;
  std::int64_t window_start_ = 0, window_end_ = 0;
  double cpu_start_ = 0;
  bool ready_ = false, finished_ = false;
};

}  // namespace weir::load
