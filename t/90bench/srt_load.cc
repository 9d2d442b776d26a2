// Load for SRT relays: a listener and its callers, with SRT's handshake and packets.
//
//   srt_load origin --listen IP:PORT [--mbits R] [--burst K]
//   srt_load media  --target IP:PORT --sessions N [--publishers M] [--mbits R] [--burst K]
//                   [--seconds S] [--warmup S] [--pids A,B,...]
//   srt_load setup  --target IP:PORT --count N [--parallel P] [--pids A,B,...]
//
// `media`: N callers with a stream id each, of which M publish and the others play, R Mbit/s of
// payload in packets of seven TS packets, K at a time. The receiver acknowledges every 10 ms, its
// acknowledgements are acknowledged, both ends send keep-alives. `setup`: P callers at a time, each
// with a socket of its own, from induction to the listener's yes, then SHUTDOWN.
// Callers print one JSON line at the end; the origin does when it gets SIGTERM. --pids: the CPU
// time of these processes over the very window that is counted.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/endpoint.h"
#include "t/90bench/load_main.h"
#include "t/90bench/load_measure.h"
#include "t/90bench/load_srt.h"
#include "t/90bench/load_udp.h"

namespace weir::load {
namespace {

constexpr std::int64_t kResend = kSecond / 4;  // as libsrt does
constexpr std::int64_t kIdle = kSecond / 100;

struct Options {
  std::string mode, address = "127.0.0.1:10080", pids;
  double seconds = 5, warmup = 1, limit = 60;
  int sessions = 50, publishers = 0, count = 1000, parallel = 16;
  SrtMediaOptions media;
};

int wait_until(int epoll, std::int64_t until, std::array<epoll_event, 64>& events) {
  const timespec time{0, std::clamp<std::int64_t>(until - now_ns(), 0, kIdle)};
  return ::epoll_pwait2(epoll, events.data(), static_cast<int>(events.size()), &time, nullptr);
}

void watch(int epoll, int fd, std::size_t number) {
  epoll_event event{.events = EPOLLIN, .data = {.u64 = number}};
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

// ---- origin

class Origin {
 public:
  explicit Origin(const Options& options)
      : fd_(open_udp(*parse_listen(options.address), true)),
        epoll_(epoll_create1(EPOLL_CLOEXEC)),
        media_(options.media) {
    watch(epoll_, fd_, 0);
  }

  int run() {
    while (g_stop == 0) {
      const std::int64_t now = now_ns();
      std::int64_t next = now + kIdle;
      for (auto& [address, end] : ends_) next = std::min(next, media_.on_time(end, now));
      std::array<epoll_event, 64> events;
      if (wait_until(epoll_, next, events) > 0) receive();
    }
    std::printf("{\"accepted\":%u,\"open\":%zu,%s}\n", accepted_, ends_.size(),
                media_.json().c_str());
    return 0;
  }

 private:
  void receive() {
    for (int n; (n = batch_.receive(fd_)) > 0;) {
      const std::int64_t now = now_ns();
      for (int i = 0; i < n; ++i) {
        if (batch_.packet(i).size() >= kSrtHeader) take(i, now);
      }
      if (n < UdpBatch::kPackets) return;
    }
  }
  void take(int i, std::int64_t now) {
    const ByteView packet = batch_.packet(i);
    const std::string address = to_string(from_sockaddr(batch_.from(i)));
    if (srt_is_control(packet, SrtControl::kHandshake)) {
      if (packet.size() >= kSrtHandshake) greet(i, address);
      return;
    }
    const auto found = ends_.find(address);
    if (found == ends_.end()) return;
    if (srt_is_control(packet, SrtControl::kShutdown)) {
      ends_.erase(found);
    } else {
      media_.take(found->second, packet, now);
    }
  }
  void greet(int i, const std::string& address) {
    const ByteView packet = batch_.packet(i);
    const SrtHello hello = srt_parse_handshake(packet);
    SrtEnd stranger;
    stranger.fd = fd_;
    stranger.to = batch_.from(i);
    stranger.to_length = batch_.from_length(i);
    if (hello.type == kSrtInduction) {
      media_.send(stranger, srt_handshake({hello.own_id, 5, 0x4A17, kSrtInduction, 1, kCookie}));
      return;
    }
    if (hello.type != kSrtConclusion || hello.cookie != kCookie) return;
    SrtEnd& end = ends_[address];
    const bool repeated = end.open && end.peer_id == hello.own_id;
    if (!repeated) {
      end = stranger;
      end.own_id = kFirstId + ++accepted_;
      end.peer_id = hello.own_id;
      end.sends = !srt_wants_to_publish(packet);
    }
    auto answer = srt_handshake({end.peer_id, 5, 1, kSrtConclusion, end.own_id, kCookie});
    srt_add_terms(answer, 2);
    media_.send(end, answer);
    // The golden ratio spreads any number of them over the interval.
    if (!repeated) media_.open(end, static_cast<double>(accepted_ * 618034U % 1000000U) / 1e6);
  }

  static constexpr std::uint32_t kCookie = 0x5EED5EED, kFirstId = 0x10000000;
  int fd_, epoll_;
  UdpBatch batch_;
  SrtMedia media_;
  std::unordered_map<std::string, SrtEnd> ends_;
  std::uint32_t accepted_ = 0;
};

// ---- callers

struct Caller {
  SrtEnd end;
  std::size_t number = 0;
  std::uint32_t cookie = 0;
  std::int64_t started = 0, next_try = 0;
};

class Callers {
 public:
  explicit Callers(const Options& options)
      : options_(options),
        setup_(options.mode == "setup"),
        target_(*parse_listen(options.address)),
        epoll_(epoll_create1(EPOLL_CLOEXEC)),
        media_(options.media),
        callers_(static_cast<std::size_t>(setup_ ? options.parallel : options.sessions)) {}

  int run() {
    const std::int64_t deadline = now_ns() + static_cast<std::int64_t>(options_.limit * 1e9);
    std::size_t number = 0;
    for (Caller& caller : callers_) {
      caller.number = number++;
      dial(caller);
    }
    if (setup_) begin_count(now_ns());
    while (g_stop == 0 && !finished_) {
      const std::int64_t now = now_ns();
      std::int64_t next = now + kIdle;
      for (Caller& caller : callers_) next = std::min(next, on_time(caller, now));
      std::array<epoll_event, 64> events;
      const int n = wait_until(epoll_, next, events);
      for (int i = 0; i < n; ++i) receive(callers_[events[static_cast<std::size_t>(i)].data.u64]);
      if (!setup_) move_window(now);
      if (now > deadline || rejected_ > 0) return give_up();
    }
    report();
    for (const Caller& caller : callers_)
      if (caller.end.open) hang_up(caller);
    return 0;
  }

 private:
  void dial(Caller& caller) {
    caller.cookie = 0;
    caller.end = SrtEnd{};
    caller.end.fd = open_udp(target_, false);
    caller.end.own_id = 1000 + dialed_++;
    caller.end.sends = setup_ || caller.number < static_cast<std::size_t>(options_.publishers);
    caller.started = now_ns();
    caller.next_try = caller.started;
    watch(epoll_, caller.end.fd, caller.number);
  }
  void hang_up(const Caller& caller) {
    media_.send(caller.end, srt_control(SrtControl::kShutdown, 0, caller.end.peer_id, 4));
    ::close(caller.end.fd);
  }
  std::int64_t on_time(Caller& caller, std::int64_t now) {
    if (caller.end.open) return media_.on_time(caller.end, now);
    if (now >= caller.next_try) say_hello(caller, now);
    return caller.next_try;
  }
  void say_hello(Caller& caller, std::int64_t now) {
    caller.next_try = now + kResend;
    if (caller.cookie == 0) {
      media_.send(caller.end, srt_handshake({0, 4, 2, kSrtInduction, caller.end.own_id, 0}));
      return;
    }
    auto conclusion = srt_handshake({0, 5, 5, kSrtConclusion, caller.end.own_id, caller.cookie});
    srt_add_terms(conclusion, 1);
    srt_add_stream_id(conclusion, "#!::r=live/s" + std::to_string(caller.number) +
                                      (caller.end.sends ? ",m=publish" : ",m=request"));
    media_.send(caller.end, conclusion);
  }
  void receive(Caller& caller) {
    for (int n; (n = batch_.receive(caller.end.fd)) > 0;) {
      const std::int64_t now = now_ns();
      for (int i = 0; i < n; ++i) {
        const ByteView packet = batch_.packet(i);
        if (packet.size() < kSrtHeader) continue;
        if (!srt_is_control(packet, SrtControl::kHandshake)) {
          media_.take(caller.end, packet, now);
        } else if (packet.size() >= kSrtHandshake && !caller.end.open) {
          take_answer(caller, srt_parse_handshake(packet), now);
          if (setup_) return;  // the socket may be another one now
        }
      }
      if (n < UdpBatch::kPackets) return;
    }
  }
  void take_answer(Caller& caller, const SrtHello& answer, std::int64_t now) {
    if (answer.type == kSrtInduction && caller.cookie == 0) {
      caller.cookie = answer.cookie;
      say_hello(caller, now);
    } else if (answer.type == kSrtConclusion) {
      caller.end.peer_id = answer.own_id;
      setup_time_.add(now - caller.started);
      const bool last = ++established_ >= options_.count;
      if (!setup_) {
        media_.open(caller.end, static_cast<double>(caller.number) / options_.sessions);
        return;
      }
      hang_up(caller);
      dial(caller);
      finished_ = last;
    } else if (answer.type >= 1000 && answer.type < 0x80000000U) {
      std::fprintf(stderr, "srt_load: caller %zu rejected with %u\n", caller.number, answer.type);
      ++rejected_;
    }
  }
  void move_window(std::int64_t now) {
    if (counted_from_ == 0 && std::all_of(callers_.begin(), callers_.end(),
                                          [](const Caller& c) { return c.end.heard; })) {
      counted_from_ = now + static_cast<std::int64_t>(options_.warmup * 1e9);
    } else if (counted_from_ != 0 && began_ == 0 && now >= counted_from_) {
      begin_count(now);
    } else if (began_ != 0 && now >= began_ + static_cast<std::int64_t>(options_.seconds * 1e9)) {
      finished_ = true;
    }
  }
  void begin_count(std::int64_t now) {
    began_ = now;
    media_.reset();
    relay_cpu_ = cpu_seconds(options_.pids);
    own_cpu_ = own_cpu_seconds();
  }
  int give_up() const {
    const auto silent = std::count_if(callers_.begin(), callers_.end(),
                                      [](const Caller& c) { return !c.end.heard; });
    std::fprintf(stderr, "srt_load: %d established, %ld callers without media\n", established_,
                 static_cast<long>(silent));
    return 1;
  }
  void report() const {
    const double seconds = static_cast<double>(now_ns() - began_) / 1e9;
    const double cpu = cpu_seconds(options_.pids) - relay_cpu_;
    const auto datagrams = static_cast<double>(media_.sent() + media_.received());
    std::printf(
        "{\"established\":%d,\"seconds\":%.3f,\"datagrams\":%.0f,%s,\"relay_cpu\":%.4f,"
        "\"us_per_datagram\":%.4f,\"setups_per_cpu_s\":%.1f,\"setup_ms\":%s,\"own_cpu\":%.4f}\n",
        established_, seconds, datagrams, media_.json().c_str(), cpu,
        datagrams > 0 ? cpu * 1e6 / datagrams : 0.0, cpu > 0 ? established_ / cpu : 0.0,
        setup_time_.json().c_str(), own_cpu_seconds() - own_cpu_);
  }

  const Options options_;
  const bool setup_;
  const Endpoint target_;
  int epoll_;
  UdpBatch batch_;
  SrtMedia media_;
  std::vector<Caller> callers_;
  Histogram setup_time_;
  std::uint32_t dialed_ = 0;
  int established_ = 0, rejected_ = 0;
  std::int64_t counted_from_ = 0, began_ = 0;
  double relay_cpu_ = 0, own_cpu_ = 0;
  bool finished_ = false;
};

bool parse_arguments(int argc, char** argv, Options& out) {
  const OptionTable table{{"--listen", &out.address},    {"--target", &out.address},
                          {"--pids", &out.pids},         {"--seconds", &out.seconds},
                          {"--warmup", &out.warmup},     {"--limit", &out.limit},
                          {"--sessions", &out.sessions}, {"--publishers", &out.publishers},
                          {"--count", &out.count},       {"--parallel", &out.parallel},
                          {"--mbits", &out.media.mbits}, {"--burst", &out.media.burst}};
  return parse_options(argc, argv, out.mode, table) && out.sessions > 0 && out.parallel > 0 &&
         out.media.mbits > 0 && out.media.burst > 0 && parse_listen(out.address).has_value();
}

}  // namespace
}  // namespace weir::load

int main(int argc, char** argv) {
  weir::load::Options options;
  if (!weir::load::parse_arguments(argc, argv, options)) {
    std::fprintf(stderr, "usage: see the head of t/90bench/srt_load.cc\n");
    return 2;
  }
  weir::load::prepare_process();
  weir::load::end_with_parent();
  if (options.mode == "origin") return weir::load::Origin(options).run();
  if (options.mode == "media" || options.mode == "setup") return weir::load::Callers(options).run();
  return 2;
}
