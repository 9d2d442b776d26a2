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
#include <openssl/ssl.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "t/90bench/flv_reader.h"
#include "t/90bench/load_run.h"

namespace weir::load {
namespace {

constexpr std::size_t kHeadMax = 16U << 10;

struct Options : TcpOptions {
  std::string path = "/live/s%.ts", framing = "close";
  int segment = 2'000'000, tls = 0;
};

struct FreeSsl {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};

struct Conn final : TcpConn {
  std::unique_ptr<SSL, FreeSsl> ssl;
  bool in_body = false;
  std::uint64_t body_left = 0;
  std::string in;
  FlvReader reader;
};

class Load final : public TcpLoad {
 public:
  explicit Load(const Options& options)
      : TcpLoad(options),
        options_(options),
        frame_(static_cast<std::size_t>(options.bitrate / 8 / options.fps),
               options.framing == "chunked"),
        segment_(static_cast<std::size_t>(options.segment), '\x47') {
    if (options.tls != 0) open_tls();
  }

 private:
  std::unique_ptr<TcpConn> make_conn() override { return std::make_unique<Conn>(); }
  void on_made(TcpConn& conn) override;
  bool finish_connect(TcpConn& conn) override;
  void on_open(TcpConn& conn) override { request(static_cast<Conn&>(conn)); }
  void on_readable(TcpConn& conn) override;
  ssize_t transmit(TcpConn& conn, std::string_view bytes) override;
  std::string_view stamp(std::int64_t now, std::uint32_t sequence, std::uint32_t ms) override {
    return frame_.stamp(now, sequence, ms);
  }
  void open_tls();
  ssize_t receive(Conn& conn);
  void serve(Conn& conn);
  void serve_one(Conn& conn, std::string_view path);
  std::string playlist(std::string_view path) const;
  void request(Conn& conn);
  void take_answer(Conn& conn, Bytes in);
  bool take_head(Conn& conn, Bytes& in);
  void take_file(Conn& conn, Bytes in);

  const Options options_;
  FlvFrame frame_;
  const std::string segment_;
  std::unique_ptr<SSL_CTX, FreeSsl> tls_;
};

// ---- connections

// The certificate is not verified: what is measured is the relay on this machine.
void Load::open_tls() {
  tls_.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_verify(tls_.get(), SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_mode(tls_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

void Load::on_made(TcpConn& made) {
  TcpLoad::on_made(made);
  auto& conn = static_cast<Conn&>(made);
  if (conn.server || !tls_) return;
  conn.ssl.reset(SSL_new(tls_.get()));
  SSL_set_fd(conn.ssl.get(), conn.fd);
  SSL_set_connect_state(conn.ssl.get());
}

// As recv() and send(): -1 with EAGAIN when it would block.
ssize_t Load::receive(Conn& conn) {
  if (!conn.ssl) return ::recv(conn.fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
  const int n = SSL_read(conn.ssl.get(), buffer_.data(), static_cast<int>(buffer_.size()));
  if (n > 0) return n;
  errno = SSL_get_error(conn.ssl.get(), n) == SSL_ERROR_WANT_READ ? EAGAIN : EPROTO;
  return -1;
}

ssize_t Load::transmit(TcpConn& made, std::string_view bytes) {
  const auto& conn = static_cast<const Conn&>(made);
  if (!conn.ssl) return TcpLoad::transmit(made, bytes);
  const int n = SSL_write(conn.ssl.get(), bytes.data(), static_cast<int>(bytes.size()));
  if (n > 0) return n;
  const int error = SSL_get_error(conn.ssl.get(), n);
  errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
  return -1;
}

bool Load::finish_connect(TcpConn& made) {
  const auto& conn = static_cast<const Conn&>(made);
  const int done = conn.ssl ? SSL_do_handshake(conn.ssl.get()) : 1;
  if (done == 1) return true;
  const int why = SSL_get_error(conn.ssl.get(), done);
  if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
    watch(made, why == SSL_ERROR_WANT_WRITE);
  } else {
    close(made, true);
  }
  return false;
}

void Load::on_readable(TcpConn& made) {
  auto& conn = static_cast<Conn&>(made);
  do {
    const ssize_t got = receive(conn);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return close(conn, true);
    const Bytes in(buffer_.data(), static_cast<std::size_t>(got));
    if (conn.server) {
      conn.in.append(reinterpret_cast<const char*>(in.data()), in.size());  // same bytes
      serve(conn);
    } else {
      if (totals_.counting) totals_.bytes += in.size();
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
    return frames_.add(conn, static_cast<std::size_t>(conn.stream));
  }
  const std::string body = ends(".m3u8") ? playlist(path) : std::string();
  const std::size_t size = body.empty() ? segment_.size() : body.size();
  send(conn, head + "Content-Length: " + std::to_string(size) + "\r\n\r\n" + body);
  if (conn.dead || !body.empty()) return;
  conn.file = segment_;
  flush(conn);
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
  if (totals_.counting) {
    ++totals_.requests;
    totals_.latency.add(now_ns() - conn.started);
  }
  conn.last_frame = now_ns();
  request(conn);
}

bool parse_arguments(int argc, char** argv, Options& out) {
  OptionTable table = out.table();
  table.insert({{"--path", &out.path},
                {"--framing", &out.framing},
                {"--segment", &out.segment},
                {"--tls", &out.tls}});
  if (!parse_options(argc, argv, out.mode, table)) return false;
  const bool known = out.mode == "origin" || out.mode == "play" || out.mode == "get";
  return known && out.ok() && out.segment > 0;
}

}  // namespace
}  // namespace weir::load

int main(int argc, char** argv) {
  weir::load::Options options;
  if (!weir::load::parse_arguments(argc, argv, options)) {
    std::fprintf(stderr, "usage: see the head of t/90bench/http_load.cc\n");
    return 2;
  }
  weir::load::prepare_process();
  return weir::load::Load(options).run();
}
