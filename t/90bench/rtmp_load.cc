// Load for RTMP relays: synthetic origin, players, publishers and set-up loops in one program.
//
//   rtmp_load origin  --listen IP:PORT [--bitrate B] [--fps F] [--chunk C] [--pace MODE] [--phases
//   P] rtmp_load play    --target IP:PORT --players N [--streams M] [--seconds S] [--warmup S]
//   [--rate R] rtmp_load publish --target IP:PORT --players N [--streams M] ... (N publishers)
//   rtmp_load setup   --target IP:PORT --count N [--parallel K]
//
// MODE is when frames leave: burst (all together), stream (streams spread over the frame interval,
// the players of one together; the default), conn (every connection on its own). All clients take
// --pids A,B,...: the CPU time of these processes over the very window that is counted.
// Clients print {"event":"ready"} on stderr when every session has media, and one JSON line at the
// end; exit 0 if no session failed. Every run is bounded by --seconds or --limit.
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>

#include "t/90bench/load_measure.h"
#include "t/90bench/load_reader.h"

namespace weir::load {
namespace {

constexpr std::size_t kQueueMax = 4U << 20;
constexpr std::uint32_t kAckWindow = 2'500'000;
constexpr std::int64_t kSetupTimeout = 20 * kSecond;

volatile std::sig_atomic_t g_stop = 0;

struct Options {
  std::string mode, target = "127.0.0.1:1935", pace = "stream", app = "live";
  std::string pids;
  double bitrate = 5e6, fps = 30, seconds = 5, warmup = 1, rate = 500, limit = 3600;
  std::uint32_t chunk = 60000;
  int players = 1, streams = 1, count = 1000, parallel = 8, phases = 1;
};

enum class Role : std::uint8_t { kServer, kPlayer, kPublisher };
// Client: connecting → handshake → connect → create → start → media. Server: handshake → connect
// (any command) → media.
enum class Step : std::uint8_t { kConnecting, kHandshake, kConnect, kCreate, kStart, kMedia };

class Load;

struct Conn {
  Load* load = nullptr;
  int fd = -1;
  Role role = Role::kServer;
  Step step = Step::kHandshake;
  bool want_write = false, dead = false, sending = false, media_seen = false,
       sequence_known = false;
  int stream = 0;
  std::uint32_t sequence = 0, timestamp_base = 0;
  std::size_t group = 0, position = 0;
  std::uint64_t received = 0, acked = 0;
  std::int64_t started = 0, last_frame = 0;
  std::string queue;      // bytes the socket did not take
  std::string handshake;  // bytes of it so far
  Reader reader;

  void on_media_start();
  void on_frame(const Frame& frame);
  void on_corrupt();
  void on_message(std::uint8_t type, const std::string& body);
};

struct Totals {
  std::uint64_t bytes = 0, frames = 0, gaps = 0, corrupt = 0, failed = 0, slow = 0, done = 0;
  double cpu = 0;
};

class Load {
 public:
  explicit Load(const Options& options)
      : options_(options),
        frame_(static_cast<std::size_t>(options.bitrate / 8 / options.fps), options.chunk),
        epoll_(epoll_create1(EPOLL_CLOEXEC)) {}
  ~Load() {
    for (auto& conn : conns_)
      if (conn) ::close(conn->fd);
    if (listen_ >= 0) ::close(listen_);
    ::close(epoll_);
  }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  int run();

 private:
  friend struct Conn;

  bool open_listener();
  void accept_all();
  bool dial();
  Conn* adopt(int fd, Role role);
  void close(Conn& conn, bool failed);
  void reap();
  void poll(std::int64_t until);
  void on_event(Conn& conn, std::uint32_t events);
  void on_readable(Conn& conn);
  bool feed_handshake(Conn& conn, Bytes& in);
  void send(Conn& conn, std::string_view bytes);
  void flush(Conn& conn);
  void watch(Conn& conn, bool write);
  void on_command(Conn& conn, const std::string& body);
  void serve(Conn& conn, const Command& command);
  void advance(Conn& conn, const Command& command);
  void start_sending(Conn& conn);
  void stop_sending(Conn& conn);
  void fire_due();
  std::int64_t next_due() const;
  void send_command(Conn& conn, const std::string& body, std::uint32_t stream_id);
  void on_media(Conn& conn);
  void drive_clients(std::int64_t now);
  void open_window(std::int64_t now);
  double longest_silence() const;
  void report() const;

  const Options options_;
  FrameTemplate frame_;
  int epoll_ = -1, listen_ = -1;
  sockaddr_storage address_{};
  socklen_t address_size_ = 0;
  std::vector<std::unique_ptr<Conn>> conns_;
  std::vector<Conn*> dead_;
  std::vector<std::vector<Conn*>> groups_;
  std::size_t next_group_ = 0, joined_ = 0;
  std::int64_t base_ = now_ns();
  std::uint64_t rounds_ = 0;
  std::vector<std::uint8_t> buffer_ = std::vector<std::uint8_t>(256 * 1024);
  // clients
  int dialed_ = 0, half_open_ = 0, live_ = 0;
  std::int64_t begin_ = now_ns(), window_start_ = 0, window_end_ = 0;
  bool ready_ = false, window_open_ = false, finished_ = false;
  double cpu_start_ = 0;
  Totals totals_;
  Histogram first_byte_, latency_;
};

// ---- sockets

bool Load::open_listener() {
  address_ = parse_address(options_.target, address_size_);
  listen_ = ::socket(address_.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(listen_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const auto* at = reinterpret_cast<const sockaddr*>(&address_);  // the socket API's own idiom
  if (::bind(listen_, at, address_size_) != 0 || ::listen(listen_, 65535) != 0) {
    std::perror("rtmp_load: listen");
    return false;
  }
  epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
  return epoll_ctl(epoll_, EPOLL_CTL_ADD, listen_, &event) == 0;
}

void Load::accept_all() {
  for (;;) {
    const int fd = ::accept4(listen_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    adopt(fd, Role::kServer)->started = now_ns();
  }
}

bool Load::dial() {
  const int fd = ::socket(address_.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const std::int64_t now = now_ns();
  const auto* at = reinterpret_cast<const sockaddr*>(&address_);  // the socket API's own idiom
  if (::connect(fd, at, address_size_) != 0 && errno != EINPROGRESS) {
    ::close(fd);
    return false;
  }
  Conn* conn = adopt(fd, options_.mode == "publish" ? Role::kPublisher : Role::kPlayer);
  conn->started = now;
  conn->step = Step::kConnecting;
  conn->stream = dialed_++ % options_.streams;
  ++half_open_;
  ++live_;
  watch(*conn, true);
  return true;
}

Conn* Load::adopt(int fd, Role role) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  auto made = std::make_unique<Conn>();
  Conn* conn = made.get();
  conn->load = this;
  conn->fd = fd;
  conn->role = role;
  const auto slot = static_cast<std::size_t>(fd);
  if (conns_.size() <= slot) conns_.resize(slot + 1);
  conns_[slot] = std::move(made);
  epoll_event event{.events = EPOLLIN | EPOLLRDHUP, .data = {.ptr = conn}};
  epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  return conn;
}

void Load::close(Conn& conn, bool failed) {
  if (conn.dead) return;
  conn.dead = true;
  stop_sending(conn);
  if (conn.role != Role::kServer) {
    --live_;
    if (!conn.media_seen) --half_open_;
    if (failed && !finished_) {
      ++totals_.failed;
      if (totals_.failed <= 5)
        std::fprintf(stderr, "rtmp_load: session of stream %d ended in step %d\n", conn.stream,
                     static_cast<int>(conn.step));
    }
  }
  epoll_ctl(epoll_, EPOLL_CTL_DEL, conn.fd, nullptr);
  dead_.push_back(&conn);
}

void Load::reap() {
  for (Conn* conn : dead_) {
    const int fd = conn->fd;
    conns_[static_cast<std::size_t>(fd)].reset();
    ::close(fd);
  }
  dead_.clear();
}

void Load::watch(Conn& conn, bool write) {
  if (conn.want_write == write) return;
  conn.want_write = write;
  epoll_event event{.events = EPOLLIN | EPOLLRDHUP | (write ? std::uint32_t{EPOLLOUT} : 0U),
                    .data = {.ptr = &conn}};
  epoll_ctl(epoll_, EPOLL_CTL_MOD, conn.fd, &event);
}

void Load::send(Conn& conn, std::string_view bytes) {
  if (conn.dead) return;
  if (conn.queue.empty()) {
    const ssize_t sent = ::send(conn.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN) return close(conn, true);
    if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  if (bytes.empty()) return;
  if (conn.queue.size() + bytes.size() > kQueueMax) {
    ++totals_.slow;
    return close(conn, true);
  }
  conn.queue.append(bytes);
  watch(conn, true);
}

void Load::flush(Conn& conn) {
  while (!conn.queue.empty()) {
    const ssize_t sent =
        ::send(conn.fd, conn.queue.data(), conn.queue.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno != EAGAIN) close(conn, true);
      return;
    }
    conn.queue.erase(0, static_cast<std::size_t>(sent));
  }
  std::string().swap(conn.queue);
  watch(conn, false);
}

void Load::on_event(Conn& conn, std::uint32_t events) {
  if (conn.dead) return;
  if (conn.step == Step::kConnecting && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(conn.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return close(conn, true);
    conn.step = Step::kHandshake;
    watch(conn, false);
    std::string hello(1 + kHandshakeSize, '\x5A');
    hello.replace(0, 9, std::string("\x03\0\0\0\0\0\0\0\0", 9));
    return send(conn, hello);
  }
  if ((events & EPOLLOUT) != 0) flush(conn);
  if (!conn.dead && (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0) on_readable(conn);
}

void Load::on_readable(Conn& conn) {
  const ssize_t got = ::recv(conn.fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) return close(conn, true);
  Bytes in(buffer_.data(), static_cast<std::size_t>(got));
  conn.received += in.size();
  if (window_open_) totals_.bytes += in.size();
  if (conn.step == Step::kHandshake && !feed_handshake(conn, in)) return;
  if (!conn.reader.feed(in, conn)) {
    ++totals_.corrupt;
    return close(conn, true);
  }
  if (conn.role == Role::kPlayer && conn.received - conn.acked >= kAckWindow) {
    conn.acked = conn.received;
    std::string out;
    put_message(out, 2, kTypeAck, 0, 0, number_body(static_cast<std::uint32_t>(conn.received)),
                128);
    send(conn, out);
  }
}

// ---- RTMP, both ends

// Server: C0 C1, answer, C2. Client: S0 S1 S2, then C2 and connect. False: wants more.
bool Load::feed_handshake(Conn& conn, Bytes& in) {
  const bool server = conn.role == Role::kServer;
  const std::size_t need = 1 + 2 * kHandshakeSize;
  const std::size_t had = conn.handshake.size();
  const std::size_t take = std::min(need - had, in.size());
  conn.handshake.append(reinterpret_cast<const char*>(in.data()), take);  // same bytes
  in = in.subspan(take);
  const std::string_view peer = std::string_view(conn.handshake).substr(1);
  if (server && had < 1 + kHandshakeSize && conn.handshake.size() >= 1 + kHandshakeSize) {
    std::string answer(1 + kHandshakeSize, '\x33');
    answer.replace(0, 9, std::string("\x03\0\0\0\0\0\0\0\0", 9));
    answer.append(peer.substr(0, kHandshakeSize));
    send(conn, answer);
  }
  if (conn.dead || conn.handshake.size() < need) return false;
  conn.step = Step::kConnect;
  if (!server) {
    send(conn, peer.substr(0, kHandshakeSize));
    std::string body;
    amf_text(body, "connect");
    amf_number(body, 1);
    body.push_back(3);
    amf_property(body, "app", options_.app);
    amf_property(body, "flashVer", "LNX 9,0,124,2");
    amf_property(body, "tcUrl", "rtmp://" + options_.target + "/" + options_.app);
    amf_end(body);
    send_command(conn, body, 0);
  }
  std::string().swap(conn.handshake);
  return !conn.dead;
}

void Load::send_command(Conn& conn, const std::string& body, std::uint32_t stream_id) {
  std::string out;
  put_message(out, 3, kTypeCommand, stream_id, 0, body, 128);
  send(conn, out);
}

void Load::on_command(Conn& conn, const std::string& body) {
  Command command;
  if (!parse_command(body, command)) return;
  if (conn.role == Role::kServer)
    serve(conn, command);
  else
    advance(conn, command);
}

void put_status(std::string& out, std::string_view code, std::uint32_t chunk) {
  std::string body;
  amf_text(body, "onStatus");
  amf_number(body, 0);
  amf_null(body);
  body.push_back(3);
  amf_property(body, "level", "status");
  amf_property(body, "code", code);
  amf_property(body, "description", "ok");
  amf_end(body);
  put_message(out, 5, kTypeCommand, 1, 0, body, chunk);
}

void Load::serve(Conn& conn, const Command& command) {
  std::string out;
  std::string body;
  if (command.name == "connect") {
    put_message(out, 2, kTypeWindowAck, 0, 0, number_body(kAckWindow), 128);
    put_message(out, 2, kTypePeerBandwidth, 0, 0, number_body(kAckWindow) + '\x02', 128);
    put_message(out, 2, kTypeSetChunkSize, 0, 0, number_body(options_.chunk), 128);
    amf_text(body, "_result");
    amf_number(body, command.transaction);
    body.push_back(3);
    amf_property(body, "fmsVer", "FMS/3,5,3,888");
    amf_end(body);
    body.push_back(3);
    amf_property(body, "level", "status");
    amf_property(body, "code", "NetConnection.Connect.Success");
    amf_end(body);
    put_message(out, 3, kTypeCommand, 0, 0, body, options_.chunk);
  } else if (command.name == "createStream") {
    amf_text(body, "_result");
    amf_number(body, command.transaction);
    amf_null(body);
    amf_number(body, 1);
    put_message(out, 3, kTypeCommand, 0, 0, body, options_.chunk);
  } else if (command.name == "play") {
    const std::size_t digits = command.text.find_last_not_of("0123456789");
    std::from_chars(command.text.data() + (digits == command.text.npos ? 0 : digits + 1),
                    command.text.data() + command.text.size(), conn.stream);
    put_message(out, 2, kTypeUserControl, 0, 0, std::string("\0\0\0\0\0\x01", 6), options_.chunk);
    put_status(out, "NetStream.Play.Start", options_.chunk);
    put_message(out, 6, kTypeVideo, 1, 0, std::string("\x17\0\0\0\0\x01\x64\0\x1f\xff", 10),
                options_.chunk);
    start_sending(conn);
  } else if (command.name == "publish") {
    put_status(out, "NetStream.Publish.Start", options_.chunk);
  }
  if (!out.empty()) send(conn, out);
}

void Load::advance(Conn& conn, const Command& command) {
  const std::string stream = "s" + std::to_string(conn.stream);
  std::string body;
  if (command.name == "_error") return close(conn, true);
  if (conn.step == Step::kConnect && command.name == "_result" && command.transaction == 1) {
    conn.step = Step::kCreate;
    std::string out;
    put_message(out, 2, kTypeSetChunkSize, 0, 0, number_body(options_.chunk), 128);
    send(conn, out);
    amf_text(body, "createStream");
    amf_number(body, 2);
    amf_null(body);
    send_command(conn, body, 0);
  } else if (conn.step == Step::kCreate && command.name == "_result" && command.transaction == 2) {
    conn.step = Step::kStart;
    amf_text(body, conn.role == Role::kPlayer ? "play" : "publish");
    amf_number(body, 3);
    amf_null(body);
    // Publishers need a name each; players share.
    amf_text(body, stream);
    if (conn.role == Role::kPublisher) amf_text(body, "live");
    send_command(conn, body, static_cast<std::uint32_t>(command.number));
  } else if (conn.step == Step::kStart && command.name == "onStatus" &&
             conn.role == Role::kPublisher) {
    std::string out;
    put_message(out, 6, kTypeVideo, 1, 0, std::string("\x17\0\0\0\0\x01\x64\0\x1f\xff", 10),
                options_.chunk);
    send(conn, out);
    on_media(conn);
    start_sending(conn);
  }
}

void Conn::on_message(std::uint8_t type, const std::string& body) {
  if (type == kTypeCommand && !dead) load->on_command(*this, body);
}
void Conn::on_media_start() {
  if (role == Role::kPlayer && !media_seen) load->on_media(*this);
}
void Conn::on_corrupt() {
  ++load->totals_.corrupt;
}
void Conn::on_frame(const Frame& frame) {
  if (sequence_known && frame.sequence != sequence) ++load->totals_.gaps;
  sequence_known = true;
  sequence = frame.sequence + 1;
  last_frame = now_ns();
  if (!load->window_open_) return;
  ++load->totals_.frames;
  load->latency_.add(last_frame - frame.sent_ns);
}

void Load::on_media(Conn& conn) {
  conn.media_seen = true;
  conn.step = Step::kMedia;
  --half_open_;
  ++totals_.done;
  first_byte_.add(now_ns() - conn.started);
  if (options_.mode == "setup") close(conn, false);
}

// ---- frames, in groups that share a moment of the frame interval

void Load::start_sending(Conn& conn) {
  if (conn.sending) return;
  const std::size_t n = groups_.size();
  conn.group = options_.pace == "burst"  ? 0
               : options_.pace == "conn" ? joined_++ % n
                                         : static_cast<std::size_t>(conn.stream) % n;
  conn.position = groups_[conn.group].size();
  groups_[conn.group].push_back(&conn);
  conn.sending = true;
}

void Load::stop_sending(Conn& conn) {
  if (!conn.sending) return;
  auto& members = groups_[conn.group];
  members[conn.position] = members.back();
  members[conn.position]->position = conn.position;
  members.pop_back();
  conn.sending = false;
}

std::int64_t Load::next_due() const {
  const auto n = static_cast<double>(groups_.size());
  const double interval = static_cast<double>(kSecond) / options_.fps;
  const double at = static_cast<double>(rounds_) + static_cast<double>(next_group_) / n;
  return base_ + static_cast<std::int64_t>(at * interval);
}

void Load::fire_due() {
  for (std::int64_t now = now_ns(); next_due() <= now; now = now_ns()) {
    auto& members = groups_[next_group_];
    for (std::size_t i = members.size(); i > 0; --i) {  // send() may remove the current one
      Conn& conn = *members[i - 1];
      const std::int64_t at = now_ns();
      const auto ms = static_cast<std::uint32_t>((at - conn.started) / 1'000'000);
      send(conn, frame_.stamp(at, conn.sequence++, ms & 0x7FFFFF));
    }
    if (++next_group_ == groups_.size()) {
      next_group_ = 0;
      ++rounds_;
    }
  }
}

// ---- the run

void Load::poll(std::int64_t until) {
  const std::int64_t wait = std::clamp<std::int64_t>(until - now_ns(), 0, 100'000'000);
  const timespec timeout{.tv_sec = 0, .tv_nsec = wait};
  std::array<epoll_event, 512> events;
  const int n =
      epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &timeout, nullptr);
  for (int i = 0; i < n; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.ptr == nullptr)
      accept_all();
    else
      on_event(*static_cast<Conn*>(event.data.ptr), event.events);
  }
  fire_due();
  reap();
}

void Load::open_window(std::int64_t now) {
  window_open_ = true;
  window_start_ = now;
  window_end_ = now + static_cast<std::int64_t>(options_.seconds * kSecond);
  cpu_start_ = cpu_seconds(options_.pids);
}

// Starts clients at a bounded rate, opens the counted window once all have media, ends the run.
void Load::drive_clients(std::int64_t now) {
  const bool setup = options_.mode == "setup";
  const int total = setup ? options_.count : options_.players;
  if (setup && !window_open_) open_window(now);
  const int parallel = setup ? options_.parallel : 256;
  const auto allowed =
      setup ? total
            : static_cast<int>(static_cast<double>(now - begin_) / kSecond * options_.rate) + 1;
  while (dialed_ < std::min(total, allowed) && half_open_ < parallel) {
    if (dial()) continue;
    ++dialed_;
    ++totals_.failed;
  }
  const auto over = totals_.done + totals_.failed;
  if (!ready_ && dialed_ == total && half_open_ == 0) {
    ready_ = true;
    std::fprintf(stderr, "{\"event\":\"ready\",\"sessions\":%d}\n", live_);
    if (!setup) window_start_ = now + static_cast<std::int64_t>(options_.warmup * kSecond);
  }
  if (setup)
    finished_ = over >= static_cast<std::uint64_t>(total) || now > window_end_;
  else if (ready_ && !window_open_ && now >= window_start_)
    open_window(now);
  else if (window_open_ && now >= window_end_)
    finished_ = true;
  if (!ready_ && !setup &&
      now - begin_ > kSetupTimeout + static_cast<std::int64_t>(static_cast<double>(total) /
                                                               options_.rate * kSecond))
    finished_ = true;
  if (!finished_) return;
  window_end_ = now;
  totals_.cpu = cpu_seconds(options_.pids) - cpu_start_;
}

// Since its last frame, of the player that waits longest now, in ms: one that stands still has no
// gap.
double Load::longest_silence() const {
  const std::int64_t now = now_ns();
  std::int64_t longest = 0;
  for (const auto& conn : conns_) {
    if (!conn || conn->dead || conn->role != Role::kPlayer) continue;
    longest = std::max(longest, now - std::max(conn->last_frame, conn->started));
  }
  return static_cast<double>(longest) / 1e6;
}

void Load::report() const {
  const double seconds = static_cast<double>(window_end_ - window_start_) / kSecond;
  std::printf(
      "{\"mode\":\"%s\",\"ready\":%s,\"sessions\":%llu,\"failed\":%llu,\"seconds\":%.3f,"
      "\"bytes\":%llu,\"frames\":%llu,\"gaps\":%llu,\"corrupt\":%llu,\"slow\":%llu,"
      "\"silence_ms\":%.0f,\"relay_cpu\":%.6f,\"first_byte_ms\":%s,\"frame_ms\":%s}\n",
      options_.mode.c_str(), ready_ ? "true" : "false",
      static_cast<unsigned long long>(totals_.done),
      static_cast<unsigned long long>(totals_.failed), seconds,
      static_cast<unsigned long long>(totals_.bytes),
      static_cast<unsigned long long>(totals_.frames),
      static_cast<unsigned long long>(totals_.gaps),
      static_cast<unsigned long long>(totals_.corrupt),
      static_cast<unsigned long long>(totals_.slow), longest_silence(), totals_.cpu,
      first_byte_.json().c_str(), latency_.json().c_str());
}

int Load::run() {
  const bool server = options_.mode == "origin";
  groups_.resize(options_.pace == "burst" ? 1U : static_cast<std::size_t>(options_.phases));
  if (server && !open_listener()) return 1;
  if (!server) address_ = parse_address(options_.target, address_size_);
  if (server) {
    std::fprintf(stderr, "{\"event\":\"listening\"}\n");
    open_window(begin_);  // what publishers send is counted from the start
  }
  const auto limit = static_cast<std::int64_t>(options_.limit * kSecond);
  while (g_stop == 0 && !finished_ && now_ns() - begin_ < limit) {
    if (!server) drive_clients(now_ns());
    poll(next_due());
  }
  if (!finished_) window_end_ = now_ns();
  report();
  return (finished_ || server) && totals_.failed + totals_.gaps + totals_.corrupt == 0 ? 0 : 1;
}

// ---- command line

bool parse_options(int argc, char** argv, Options& out) {
  if (argc < 2 || argc % 2 != 0) return false;
  out.mode = argv[1];
  const std::map<std::string_view, std::string*> texts{{"--target", &out.target},
                                                       {"--listen", &out.target},
                                                       {"--pace", &out.pace},
                                                       {"--app", &out.app},
                                                       {"--pids", &out.pids}};
  const std::map<std::string_view, double*> reals{
      {"--bitrate", &out.bitrate}, {"--fps", &out.fps},   {"--seconds", &out.seconds},
      {"--warmup", &out.warmup},   {"--rate", &out.rate}, {"--limit", &out.limit}};
  const std::map<std::string_view, int*> integers{{"--players", &out.players},
                                                  {"--streams", &out.streams},
                                                  {"--count", &out.count},
                                                  {"--parallel", &out.parallel},
                                                  {"--phases", &out.phases}};
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view key = argv[i];
    if (texts.contains(key))
      *texts.at(key) = argv[i + 1];
    else if (reals.contains(key))
      *reals.at(key) = std::atof(argv[i + 1]);
    else if (integers.contains(key))
      *integers.at(key) = std::max(1, std::atoi(argv[i + 1]));
    else if (key == "--chunk")
      out.chunk = static_cast<std::uint32_t>(std::clamp(std::atoi(argv[i + 1]), 128, 0xFFFFFF));
    else
      return false;
  }
  const bool known =
      out.mode == "origin" || out.mode == "play" || out.mode == "publish" || out.mode == "setup";
  return known && out.fps > 0 && out.rate > 0 && out.target.find(':') != std::string::npos;
}

}  // namespace
}  // namespace weir::load

int main(int argc, char** argv) {
  weir::load::Options options;
  if (!weir::load::parse_options(argc, argv, options)) {
    std::fprintf(stderr, "usage: rtmp_load origin|play|publish|setup --option value ...\n");
    return 2;
  }
  struct sigaction action {};
  action.sa_handler = [](int) { weir::load::g_stop = 1; };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  rlimit files{.rlim_cur = 262144, .rlim_max = 262144};
  if (setrlimit(RLIMIT_NOFILE, &files) != 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  return weir::load::Load(options).run();
}
