// Synthetic HTTP origin, HTTP-FLV viewers and clients that fetch files, in one program.
//
//   http_load origin --listen IP:PORT [--bitrate B] [--fps F] [--phases P] [--framing
//   chunked|close]
//                    [--segment BYTES]
//   http_load play   --target IP:PORT --players N [--streams M] [--seconds S] [--warmup S] [--rate
//   R] http_load get    --target IP:PORT --players N --path /live/x.ts [--streams M] [--seconds S]
//
// The origin answers .flv with frames that never end (streams spread over the frame interval),
// .m3u8 with a playlist, all else with a segment. `play` watches /live/s0.flv, s1, …; `get` asks
// for --path on N kept-alive connections, one request after the other ("%" in it becomes the number
// of the stream). Clients take --tls 1, and --pids A,B,…: the CPU time of these processes over the
// very window that is counted. They print {"event":"ready"} on stderr when every session has had
// its first bytes, and one JSON line at the end; exit 0 if no session failed.
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <map>
#include <memory>

#include "t/90bench/flv_reader.h"
#include "t/90bench/load_measure.h"

namespace weir::load {
namespace {

constexpr std::size_t kQueueMax = 4U << 20;
constexpr std::size_t kHeadMax = 16U << 10;
constexpr std::int64_t kSetupTimeout = 30 * kSecond;

volatile std::sig_atomic_t g_stop = 0;

struct Options {
  std::string mode, target = "127.0.0.1:8080", path = "/live/s%.ts", framing = "close", pids;
  double bitrate = 5e6, fps = 30, seconds = 5, warmup = 1, rate = 500, limit = 3600;
  int players = 1, streams = 1, phases = 1, segment = 2'000'000, tls = 0;
};

struct FreeSsl {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};

class Load;

struct Conn {
  Load* load = nullptr;
  int fd = -1;
  std::unique_ptr<SSL, FreeSsl> ssl;
  bool server = false, connecting = false, want_write = false, dead = false, sending = false;
  bool in_body = false, media_seen = false, sequence_known = false;
  int stream = 0;
  std::uint32_t sequence = 0;
  std::size_t group = 0, position = 0;
  std::uint64_t body_left = 0;
  std::string_view file;  // of the segment that is being sent
  std::int64_t started = 0, last_frame = 0;
  std::string in, queue;
  FlvReader reader;

  void on_frame(const Frame& frame);
  void on_corrupt();
};

struct Totals {
  std::uint64_t bytes = 0, frames = 0, gaps = 0, corrupt = 0, failed = 0, slow = 0, done = 0,
                requests = 0;
  double cpu = 0;
};

class Load {
 public:
  explicit Load(const Options& options)
      : options_(options),
        frame_(static_cast<std::size_t>(options.bitrate / 8 / options.fps),
               options.framing == "chunked"),
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
  bool open_tls();
  void accept_all();
  bool dial();
  Conn* adopt(int fd, bool server);
  void close(Conn& conn, bool failed);
  void reap();
  void poll(std::int64_t until);
  void on_event(Conn& conn, std::uint32_t events);
  void on_readable(Conn& conn);
  bool on_connected(Conn& conn);
  ssize_t receive(Conn& conn);
  ssize_t transmit(Conn& conn, std::string_view bytes);
  void send(Conn& conn, std::string_view bytes);
  void flush(Conn& conn);
  void watch(Conn& conn, bool write);
  void serve(Conn& conn);
  void serve_one(Conn& conn, std::string_view path);
  std::string playlist(std::string_view path) const;
  void request(Conn& conn);
  void take_answer(Conn& conn, Bytes in);
  bool take_head(Conn& conn, Bytes& in);
  void take_file(Conn& conn, Bytes in);
  void on_media(Conn& conn);
  void start_sending(Conn& conn);
  void stop_sending(Conn& conn);
  void fire_due();
  std::int64_t next_due() const;
  void drive_clients(std::int64_t now);
  void open_window(std::int64_t now);
  double longest_silence() const;
  void report() const;

  const Options options_;
  FlvFrame frame_;
  int epoll_ = -1, listen_ = -1;
  sockaddr_storage address_{};
  socklen_t address_size_ = 0;
  std::unique_ptr<SSL_CTX, FreeSsl> tls_;
  std::string segment_;
  std::vector<std::unique_ptr<Conn>> conns_;
  std::vector<Conn*> dead_;
  std::vector<std::vector<Conn*>> groups_;
  std::size_t next_group_ = 0;
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
    std::perror("http_load: listen");
    return false;
  }
  epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
  return epoll_ctl(epoll_, EPOLL_CTL_ADD, listen_, &event) == 0;
}

// The certificate is not verified: what is measured is the relay on this machine.
bool Load::open_tls() {
  tls_.reset(SSL_CTX_new(TLS_client_method()));
  if (!tls_) return false;
  SSL_CTX_set_verify(tls_.get(), SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_mode(tls_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return true;
}

void Load::accept_all() {
  for (;;) {
    const int fd = ::accept4(listen_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    adopt(fd, true)->started = now_ns();
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
  Conn* conn = adopt(fd, false);
  conn->started = now;
  conn->connecting = true;
  conn->stream = dialed_++ % options_.streams;
  if (tls_) {
    conn->ssl.reset(SSL_new(tls_.get()));
    SSL_set_fd(conn->ssl.get(), fd);
    SSL_set_connect_state(conn->ssl.get());
  }
  ++half_open_;
  ++live_;
  watch(*conn, true);
  return true;
}

Conn* Load::adopt(int fd, bool server) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  auto made = std::make_unique<Conn>();
  Conn* conn = made.get();
  conn->load = this;
  conn->fd = fd;
  conn->server = server;
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
  if (!conn.server) {
    --live_;
    if (!conn.media_seen) --half_open_;
    if (failed && !finished_ && ++totals_.failed <= 5) {
      std::fprintf(stderr, "http_load: session of stream %d ended%s\n", conn.stream,
                   conn.media_seen ? " in its media" : " before its media");
    }
  }
  epoll_ctl(epoll_, EPOLL_CTL_DEL, conn.fd, nullptr);
  dead_.push_back(&conn);
}

void Load::reap() {
  for (const Conn* conn : dead_) {
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

// As recv() and send(): -1 with EAGAIN when it would block.
ssize_t Load::receive(Conn& conn) {
  if (!conn.ssl) return ::recv(conn.fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
  const int n = SSL_read(conn.ssl.get(), buffer_.data(), static_cast<int>(buffer_.size()));
  if (n > 0) return n;
  errno = SSL_get_error(conn.ssl.get(), n) == SSL_ERROR_WANT_READ ? EAGAIN : EPROTO;
  return -1;
}

ssize_t Load::transmit(Conn& conn, std::string_view bytes) {
  if (!conn.ssl) return ::send(conn.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  const int n = SSL_write(conn.ssl.get(), bytes.data(), static_cast<int>(bytes.size()));
  if (n > 0) return n;
  const int error = SSL_get_error(conn.ssl.get(), n);
  errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
  return -1;
}

void Load::send(Conn& conn, std::string_view bytes) {
  if (conn.dead) return;
  if (conn.queue.empty() && conn.file.empty()) {
    const ssize_t sent = transmit(conn, bytes);
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

// What waits, then the segment.
void Load::flush(Conn& conn) {
  std::string_view rest = conn.queue;
  bool head = true;
  while (!rest.empty() || (head && !conn.file.empty())) {
    if (rest.empty()) {
      head = false;
      std::string().swap(conn.queue);
      rest = conn.file;
    }
    const ssize_t sent = transmit(conn, rest);
    if (sent < 0) {
      if (errno != EAGAIN) return close(conn, true);
      break;
    }
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
  if (head) {
    conn.queue.erase(0, conn.queue.size() - rest.size());
  } else {
    conn.file = rest;
  }
  watch(conn, !rest.empty());
}

void Load::on_event(Conn& conn, std::uint32_t events) {
  if (conn.dead) return;
  if (conn.connecting) {
    if (!on_connected(conn)) return;
  } else if ((events & EPOLLOUT) != 0) {
    flush(conn);
  }
  if (!conn.dead && (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0) on_readable(conn);
}

// True once requests can be sent; the first one has been.
bool Load::on_connected(Conn& conn) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(conn.fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    close(conn, true);
    return false;
  }
  if (conn.ssl) {
    const int done = SSL_do_handshake(conn.ssl.get());
    if (done != 1) {
      const int why = SSL_get_error(conn.ssl.get(), done);
      if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) close(conn, true);
      if (!conn.dead) watch(conn, why == SSL_ERROR_WANT_WRITE);
      return false;
    }
  }
  conn.connecting = false;
  watch(conn, false);
  request(conn);
  return !conn.dead;
}

void Load::on_readable(Conn& conn) {
  do {
    const ssize_t got = receive(conn);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return close(conn, true);
    const Bytes in(buffer_.data(), static_cast<std::size_t>(got));
    if (conn.server) {
      conn.in.append(reinterpret_cast<const char*>(in.data()), in.size());  // same bytes
      serve(conn);
    } else {
      if (window_open_) totals_.bytes += in.size();
      take_answer(conn, in);
    }
  } while (!conn.dead && conn.ssl);
}

// ---- the origin

void Load::serve(Conn& conn) {
  for (;;) {
    const std::size_t end = conn.in.find("\r\n\r\n");
    if (end == std::string::npos) {
      if (conn.in.size() > kHeadMax) close(conn, true);
      return;
    }
    const std::size_t from = conn.in.find(' ') + 1;
    const std::string path = conn.in.substr(from, conn.in.find_first_of(" ?", from) - from);
    conn.in.erase(0, end + 4);
    serve_one(conn, path);
    if (conn.dead) return;
  }
}

std::string Load::playlist(std::string_view path) const {
  const std::string name(path.substr(path.rfind('/') + 1, path.size() - path.rfind('/') - 6));
  const std::int64_t first = (now_ns() - begin_) / kSecond;
  std::string out = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:" +
                    std::to_string(first) + "\n";
  for (std::int64_t i = first; i < first + 6; ++i)
    out += "#EXTINF:1.000,\n" + name + "-" + std::to_string(i) + ".ts\n";
  return out;
}

void Load::serve_one(Conn& conn, std::string_view path) {
  const auto ends = [&](std::string_view with) { return path.ends_with(with); };
  const std::string type = ends(".flv")    ? "video/x-flv"
                           : ends(".m3u8") ? "application/vnd.apple.mpegurl"
                                           : "video/mp2t";
  std::string head = "HTTP/1.1 200 OK\r\nContent-Type: " + type + "\r\n";
  if (ends(".flv")) {
    const bool chunked = options_.framing == "chunked";
    head += chunked ? "Transfer-Encoding: chunked\r\n" : "Connection: close\r\n";
    const std::string flv("FLV\x01\x01\0\0\0\x09\0\0\0\0", 13);
    send(conn, head + "\r\n" + (chunked ? "d\r\n" + flv + "\r\n" : flv));
    path.remove_suffix(4);
    const std::size_t digits = path.find_last_not_of("0123456789") + 1;
    std::from_chars(path.data() + digits, path.data() + path.size(), conn.stream);
    return start_sending(conn);
  }
  const std::string body = ends(".m3u8") ? playlist(path) : std::string();
  const std::size_t size = body.empty() ? segment_.size() : body.size();
  send(conn, head + "Content-Length: " + std::to_string(size) + "\r\n\r\n" + body);
  if (conn.dead || !body.empty()) return;
  conn.file = segment_;
  flush(conn);
}

void Load::start_sending(Conn& conn) {
  if (conn.sending || conn.dead) return;
  conn.group = static_cast<std::size_t>(conn.stream) % groups_.size();
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

// ---- the clients

void Load::request(Conn& conn) {
  std::string path = options_.mode == "play" ? "/live/s%.flv" : options_.path;
  const std::size_t mark = path.find('%');
  if (mark != std::string::npos) path.replace(mark, 1, std::to_string(conn.stream));
  conn.started = now_ns();
  send(conn, "GET " + path + " HTTP/1.1\r\nHost: bench.test\r\n\r\n");
}

void Load::take_answer(Conn& conn, Bytes in) {
  if (!conn.in_body && !take_head(conn, in)) return;
  if (in.empty() || conn.dead) return;
  if (options_.mode != "play") return take_file(conn, in);
  if (!conn.media_seen) on_media(conn);
  if (conn.reader.feed(in, conn)) return;
  ++totals_.corrupt;
  close(conn, true);
}

// Collects the head of an answer. True when `in` is what follows it.
bool Load::take_head(Conn& conn, Bytes& in) {
  const std::size_t had = conn.in.size();
  conn.in.append(reinterpret_cast<const char*>(in.data()), in.size());  // same bytes
  const std::size_t end = conn.in.find("\r\n\r\n");
  if (end == std::string::npos) {
    if (conn.in.size() > kHeadMax) close(conn, true);
    return false;
  }
  in = in.subspan(end + 4 - had);
  std::string head = conn.in.substr(0, end + 2);
  std::string().swap(conn.in);
  for (char& c : head) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  const std::size_t length = head.find("\r\ncontent-length: ");
  conn.in_body = true;
  if (head.find("\r\ntransfer-encoding: chunked\r\n") != std::string::npos) {
    conn.reader.set_chunked();
  } else if (length != std::string::npos) {
    conn.body_left = std::strtoull(head.c_str() + length + 18, nullptr, 10);
  }
  const bool wrong =
      head.compare(8, 5, " 200 ") != 0 || (options_.mode == "get" && conn.body_left == 0);
  if (wrong) close(conn, true);
  return !wrong;
}

void Load::take_file(Conn& conn, Bytes in) {
  if (in.size() > conn.body_left) return close(conn, true);
  conn.body_left -= in.size();
  if (conn.body_left > 0) return;
  if (!conn.media_seen) on_media(conn);
  conn.in_body = false;
  if (window_open_) {
    ++totals_.requests;
    latency_.add(now_ns() - conn.started);
  }
  conn.last_frame = now_ns();
  request(conn);
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
  --half_open_;
  ++totals_.done;
  first_byte_.add(now_ns() - conn.started);
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
  const double since = static_cast<double>(now - begin_) / kSecond;
  const int allowed = static_cast<int>(since * options_.rate) + 1;
  while (dialed_ < std::min(options_.players, allowed) && half_open_ < 256) {
    if (dial()) continue;
    ++dialed_;
    ++totals_.failed;
  }
  if (!ready_ && dialed_ == options_.players && half_open_ == 0) {
    ready_ = true;
    std::fprintf(stderr, "{\"event\":\"ready\",\"sessions\":%d}\n", live_);
    window_start_ = now + static_cast<std::int64_t>(options_.warmup * kSecond);
  }
  if (ready_ && !window_open_ && now >= window_start_)
    open_window(now);
  else if (window_open_ && now >= window_end_)
    finished_ = true;
  const double setup = static_cast<double>(options_.players) / options_.rate;
  if (!ready_ && now - begin_ > kSetupTimeout + static_cast<std::int64_t>(setup * kSecond))
    finished_ = true;
  if (!finished_) return;
  window_end_ = now;
  totals_.cpu = cpu_seconds(options_.pids) - cpu_start_;
}

// Since its last frame, of the viewer that waits longest now, in ms: one that stands still has no
// gap.
double Load::longest_silence() const {
  const std::int64_t now = now_ns();
  std::int64_t longest = 0;
  for (const auto& conn : conns_) {
    if (!conn || conn->dead || conn->server) continue;
    longest = std::max(longest, now - std::max(conn->last_frame, conn->started));
  }
  return static_cast<double>(longest) / 1e6;
}

void Load::report() const {
  const auto number = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf(
      "{\"mode\":\"%s\",\"ready\":%s,\"sessions\":%llu,\"failed\":%llu,\"seconds\":%.3f,"
      "\"bytes\":%llu,\"frames\":%llu,\"requests\":%llu,\"gaps\":%llu,\"corrupt\":%llu,"
      "\"slow\":%llu,\"silence_ms\":%.0f,\"relay_cpu\":%.6f,\"first_byte_ms\":%s,\"frame_ms\":%s}"
      "\n",
      options_.mode.c_str(), ready_ ? "true" : "false", number(totals_.done),
      number(totals_.failed), static_cast<double>(window_end_ - window_start_) / kSecond,
      number(totals_.bytes), number(totals_.frames), number(totals_.requests), number(totals_.gaps),
      number(totals_.corrupt), number(totals_.slow), longest_silence(), totals_.cpu,
      first_byte_.json().c_str(), latency_.json().c_str());
}

int Load::run() {
  const bool server = options_.mode == "origin";
  groups_.resize(static_cast<std::size_t>(options_.phases));
  if (server) {
    segment_.assign(static_cast<std::size_t>(options_.segment), '\x47');
    if (!open_listener()) return 1;
    window_start_ = begin_;
    std::fprintf(stderr, "{\"event\":\"listening\"}\n");
  } else {
    address_ = parse_address(options_.target, address_size_);
    if (options_.tls != 0 && !open_tls()) return 1;
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
                                                       {"--path", &out.path},
                                                       {"--framing", &out.framing},
                                                       {"--pids", &out.pids}};
  const std::map<std::string_view, double*> reals{
      {"--bitrate", &out.bitrate}, {"--fps", &out.fps},   {"--seconds", &out.seconds},
      {"--warmup", &out.warmup},   {"--rate", &out.rate}, {"--limit", &out.limit}};
  const std::map<std::string_view, int*> integers{{"--players", &out.players},
                                                  {"--streams", &out.streams},
                                                  {"--segment", &out.segment},
                                                  {"--tls", &out.tls},
                                                  {"--phases", &out.phases}};
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view key = argv[i];
    if (texts.contains(key))
      *texts.at(key) = argv[i + 1];
    else if (reals.contains(key))
      *reals.at(key) = std::strtod(argv[i + 1], nullptr);
    else if (integers.contains(key))
      *integers.at(key) = std::max(1, static_cast<int>(std::strtol(argv[i + 1], nullptr, 10)));
    else
      return false;
  }
  const bool known = out.mode == "origin" || out.mode == "play" || out.mode == "get";
  return known && out.fps > 0 && out.rate > 0 && out.target.find(':') != std::string::npos;
}

}  // namespace
}  // namespace weir::load

int main(int argc, char** argv) {
  weir::load::Options options;
  if (!weir::load::parse_options(argc, argv, options)) {
    std::fprintf(stderr, "usage: http_load origin|play|get --option value ...\n");
    return 2;
  }
  struct sigaction action {};
  action.sa_handler = [](int) { weir::load::g_stop = 1; };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
  rlimit files{.rlim_cur = 262144, .rlim_max = 262144};
  if (setrlimit(RLIMIT_NOFILE, &files) != 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  return weir::load::Load(options).run();
}
