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
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "t/90bench/load_reader.h"
#include "t/90bench/load_run.h"

namespace weir::load {
namespace {

constexpr std::uint32_t kAckWindow = 2'500'000;

struct Options : TcpOptions {
  std::string pace = "stream", app = "live";
  int chunk = 60000;
};

// Client: handshake → connect → create → start → media. Server: handshake → connect (any command)
// → media.
enum class Step : std::uint8_t { kHandshake, kConnect, kCreate, kStart, kMedia };

class Load;

struct Conn final : TcpConn {
  Load* load = nullptr;
  Step step = Step::kHandshake;
  std::uint64_t received = 0, acked = 0;
  std::string handshake;  // bytes of it so far
  Reader reader;

  void on_media_start();
  void on_message(std::uint8_t type, const std::string& body);
};

class Load final : public TcpLoad {
 public:
  explicit Load(const Options& options)
      : TcpLoad(options),
        options_(options),
        frame_(static_cast<std::size_t>(options.bitrate / 8 / options.fps), chunk()) {}

 private:
  friend struct Conn;

  std::unique_ptr<TcpConn> make_conn() override { return std::make_unique<Conn>(); }
  void on_made(TcpConn& conn) override;
  void on_open(TcpConn& conn) override;
  void on_readable(TcpConn& conn) override;
  std::string_view stamp(std::int64_t now, std::uint32_t sequence, std::uint32_t ms) override {
    return frame_.stamp(now, sequence, ms);
  }
  bool feed_handshake(Conn& conn, Bytes& in);
  void on_command(Conn& conn, const std::string& body);
  void serve(Conn& conn, const Command& command);
  void advance(Conn& conn, const Command& command);
  void send_command(Conn& conn, const std::string& body, std::uint32_t stream_id);
  void on_media(Conn& conn);
  void start_sending(Conn& conn);
  std::uint32_t chunk() const { return static_cast<std::uint32_t>(options_.chunk); }

  const Options options_;
  FrameTemplate frame_;
  std::size_t joined_ = 0;
};

// ---- connections

void Load::on_made(TcpConn& made) {
  TcpLoad::on_made(made);
  auto& conn = static_cast<Conn&>(made);
  conn.load = this;
  if (options_.mode == "publish") conn.player = false;
}

void Load::on_open(TcpConn& conn) {
  std::string hello(1 + kHandshakeSize, '\x5A');
  hello.replace(0, 9, std::string("\x03\0\0\0\0\0\0\0\0", 9));
  send(conn, hello);
}

void Load::on_readable(TcpConn& made) {
  auto& conn = static_cast<Conn&>(made);
  const ssize_t got = ::recv(conn.fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) return close(conn, true);
  Bytes in(buffer_.data(), static_cast<std::size_t>(got));
  conn.received += in.size();
  if (totals_.counting) totals_.bytes += in.size();
  if (conn.step == Step::kHandshake && !feed_handshake(conn, in)) return;
  if (!conn.reader.feed(in, conn)) {
    ++totals_.corrupt;
    return close(conn, true);
  }
  if (conn.player && conn.received - conn.acked >= kAckWindow) {
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
  const bool server = conn.server;
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
  if (conn.server)
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
    put_message(out, 2, kTypeSetChunkSize, 0, 0, number_body(chunk()), 128);
    amf_text(body, "_result");
    amf_number(body, command.transaction);
    body.push_back(3);
    amf_property(body, "fmsVer", "FMS/3,5,3,888");
    amf_end(body);
    body.push_back(3);
    amf_property(body, "level", "status");
    amf_property(body, "code", "NetConnection.Connect.Success");
    amf_end(body);
    put_message(out, 3, kTypeCommand, 0, 0, body, chunk());
  } else if (command.name == "createStream") {
    amf_text(body, "_result");
    amf_number(body, command.transaction);
    amf_null(body);
    amf_number(body, 1);
    put_message(out, 3, kTypeCommand, 0, 0, body, chunk());
  } else if (command.name == "play") {
    const std::size_t digits = command.text.find_last_not_of("0123456789");
    std::from_chars(command.text.data() + (digits == command.text.npos ? 0 : digits + 1),
                    command.text.data() + command.text.size(), conn.stream);
    put_message(out, 2, kTypeUserControl, 0, 0, std::string("\0\0\0\0\0\x01", 6), chunk());
    put_status(out, "NetStream.Play.Start", chunk());
    put_message(out, 6, kTypeVideo, 1, 0, sequence_header(), chunk());
    start_sending(conn);
  } else if (command.name == "publish") {
    put_status(out, "NetStream.Publish.Start", chunk());
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
    put_message(out, 2, kTypeSetChunkSize, 0, 0, number_body(chunk()), 128);
    send(conn, out);
    amf_text(body, "createStream");
    amf_number(body, 2);
    amf_null(body);
    send_command(conn, body, 0);
  } else if (conn.step == Step::kCreate && command.name == "_result" && command.transaction == 2) {
    conn.step = Step::kStart;
    amf_text(body, conn.player ? "play" : "publish");
    amf_number(body, 3);
    amf_null(body);
    // Publishers need a name each; players share.
    amf_text(body, stream);
    if (!conn.player) amf_text(body, "live");
    send_command(conn, body, static_cast<std::uint32_t>(command.number));
  } else if (conn.step == Step::kStart && command.name == "onStatus" && !conn.player) {
    std::string out;
    put_message(out, 6, kTypeVideo, 1, 0, sequence_header(), chunk());
    send(conn, out);
    on_media(conn);
    start_sending(conn);
  }
}

void Conn::on_message(std::uint8_t type, const std::string& body) {
  if (type == kTypeCommand && !dead) load->on_command(*this, body);
}
void Conn::on_media_start() {
  if (player && !media_seen) load->on_media(*this);
}

void Load::on_media(Conn& conn) {
  conn.step = Step::kMedia;
  TcpLoad::on_media(conn);
}

void Load::start_sending(Conn& conn) {
  const bool own = options_.pace == "conn" && !conn.sending;
  frames_.add(conn, own ? joined_++ : static_cast<std::size_t>(conn.stream));
}

bool parse_arguments(int argc, char** argv, Options& out) {
  OptionTable table = out.table();
  table.insert({{"--pace", &out.pace}, {"--app", &out.app}, {"--chunk", &out.chunk}});
  if (!parse_options(argc, argv, out.mode, table)) return false;
  if (out.pace == "burst") out.phases = 1;
  out.chunk = std::clamp(out.chunk, 128, 0xFFFFFF);
  const bool known =
      out.mode == "origin" || out.mode == "play" || out.mode == "publish" || out.mode == "setup";
  return known && out.ok();
}

}  // namespace
}  // namespace weir::load

int main(int argc, char** argv) {
  weir::load::Options options;
  if (!weir::load::parse_arguments(argc, argv, options)) {
    std::fprintf(stderr, "usage: see the head of t/90bench/rtmp_load.cc\n");
    return 2;
  }
  weir::load::prepare_process();
  return weir::load::Load(options).run();
}
