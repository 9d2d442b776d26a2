#include "workers/http/file_room.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "common/proto/http/head_writer.h"
#include "common/proto/http/range.h"
#include "common/proto/http/target.h"
#include "common/route/origin_hint.h"

namespace weir::http {
namespace {

constexpr std::string_view kText = "text/plain; charset=utf-8";
constexpr std::int64_t kNanos = 1'000'000'000;
// Bytes of a file that wait for the client before more of it is read.
constexpr std::size_t kOutMax = 256 * 1024;

}  // namespace

struct FileRoom::FileExchange : Exchange {
  explicit FileExchange(Exchange&& basics) : Exchange(std::move(basics)) {}

  UniqueFd file;
  std::uint64_t offset = 0;
  std::uint64_t left = 0;
};

bool FileRoom::begin(std::uint32_t index, const RequestHead& head, Exchange& basics) {
  const bool reads = head.method == Method::kGet || head.method == Method::kHead;
  if (!files_.enabled() || !reads || head.upgrade || !head.body.empty()) return false;
  // What a playlist has named is the origin's.
  if (!route::hint_in_query(head.query).empty()) return false;
  std::string path;
  if (normalise_path(head.path, path) != PathError::kNone) return false;
  StaticFile file = files_.open(path);
  if (file.kind == StaticFile::Kind::kNone) return false;
  server_[index].exchange = std::make_unique<FileExchange>(std::move(basics));
  if (file.kind == StaticFile::Kind::kDirectory) {
    redirect(index, head, file.name);
  } else {
    send(index, head, std::move(file));
  }
  return true;
}

void FileRoom::redirect(std::uint32_t index, const RequestHead& head, const std::string& to) {
  // From the normalised path: `//name` would lead to another host.
  std::string location = "/";
  percent_encode(to, "/", location);
  location += "/";
  if (head.has_query) location.append("?").append(head.query);
  server_.answer(index, {301, kText, "it is a directory\n", {}, false, location});
}

void FileRoom::send(std::uint32_t index, const RequestHead& head, StaticFile&& file) {
  Connection& conn = server_[index];
  auto& x = static_cast<FileExchange&>(*conn.exchange);
  const std::string etag = file_entity_tag(file.mtime_ns, file.size);
  const std::int64_t modified = file.mtime_ns / kNanos;
  const Validators validators{etag, modified};
  const Condition condition = evaluate_conditions(head.method, head.fields, validators);
  const RangeDecision range = evaluate_range(head.method, head.fields, validators, file.size);
  ByteRange part{0, file.size - 1};  // not used of an empty file
  x.status = 200;
  x.left = file.size;
  if (condition != Condition::kProceed) {
    x.status = condition == Condition::kNotModified ? 304 : 412;
    x.left = 0;
  } else if (range.kind == RangeDecision::Kind::kPartial) {
    x.status = 206;
    part = range.range;
    x.left = part.length();
  } else if (range.kind == RangeDecision::Kind::kUnsatisfiable) {
    x.status = 416;
    x.left = 0;
  }
  std::string out;
  HeadWriter writer(out);
  writer.response(x.status);
  if (x.status == 200 || x.status == 206) {
    writer.field(HeaderId::kContentType, media_type(file.name));
    writer.field(HeaderId::kAcceptRanges, "bytes");
  }
  writer.field(HeaderId::kLastModified, format_http_date(modified)).field(HeaderId::kEtag, etag);
  if (x.status == 206) writer.field(HeaderId::kContentRange, content_range(part, file.size));
  if (x.status == 416) writer.field(HeaderId::kContentRange, content_range_unsatisfied(file.size));
  put_cors(conn.port->cors, x.cors.get(), false,
           [&](std::string_view name, std::string_view value) { writer.field(name, value); });
  writer.field(HeaderId::kConnection, x.client_keep_alive ? "keep-alive" : "close");
  if (x.status != 304) writer.body({Framing::kLength, x.left});
  writer.finish();
  conn.side.out.append(out);
  x.head_sent = true;
  if (x.method == Method::kHead) x.left = 0;
  x.offset = x.status == 206 ? part.first : 0;
  x.file = std::move(file.fd);
  x.answered = x.left == 0;
  server_.wake(index);
}

// The next piece of the file, if the client has room for it.
void FileRoom::serve(std::uint32_t index, bool& progress) {
  Connection& conn = server_[index];
  auto& x = static_cast<FileExchange&>(*conn.exchange);
  if (conn.side.out.pending() > 0 && conn.side.out.data.size() >= kOutMax) return;
  const MutableBytes room = server_.scratch();
  const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(x.left, room.size()));
  const ssize_t n = ::pread(x.file.get(), room.data(), want, static_cast<off_t>(x.offset));
  progress = true;
  if (n < 0 && errno == EINTR) return;
  if (n <= 0) {  // it was cut short meanwhile; its length has been said
    server_.end(index, EndReason::kError);
    return;
  }
  const auto got = static_cast<std::size_t>(n);
  conn.side.out.append(room.first(got));
  x.offset += got;
  x.left -= got;
  x.answered = x.left == 0;
}

}  // namespace weir::http
