// StaticFiles, and the part of HttpWorker that sends them.
#include "workers/http/http_static.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/proto/http/head_writer.h"
#include "common/proto/http/range.h"
#include "common/proto/http/target.h"
#include "workers/http/http_worker.h"

namespace weir::http {
namespace {

constexpr std::int64_t kNanos = 1'000'000'000;
// Bytes of a file that wait for the client before more of it is read.
constexpr std::size_t kFileOutMax = 256 * 1024;
// A FIFO or a device must not stop the worker before it is known for what it is.
constexpr int kOpenFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

}  // namespace

StaticFiles::StaticFiles(const std::string& directory, Resolve resolve) : resolve_(resolve) {
  if (directory.empty()) return;
  root_.reset(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (root_) return;
  LogLine(LogLevel::kError, "cannot open http.static_files, no file is served")
      .field("directory", directory)
      .field("error", std::strerror(errno));
}

UniqueFd StaticFiles::open_beneath(const std::string& path) const {
  if (resolve_ == Resolve::kSteps) return open_by_steps(path);
  open_how how{};
  how.flags = static_cast<std::uint64_t>(kOpenFlags);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const char* name = path.empty() ? "." : path.c_str();
  const long fd = ::syscall(SYS_openat2, root_.get(), name, &how, sizeof how);
  if (fd >= 0) return UniqueFd(static_cast<int>(fd));
  // EPERM: sandboxes that do not know the call refuse it so.
  if (errno == ENOSYS || errno == EPERM) return open_by_steps(path);
  return {};
}

UniqueFd StaticFiles::open_by_steps(const std::string& path) const {
  UniqueFd at(::openat(root_.get(), ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  std::size_t from = 0;
  while (at && from < path.size()) {
    const std::size_t slash = path.find('/', from);
    const std::string step = path.substr(from, slash - from);
    if (step == "..") return {};
    const bool last = slash == std::string::npos;
    const int flags = last ? kOpenFlags : O_PATH | O_DIRECTORY | O_CLOEXEC;
    at = UniqueFd(::openat(at.get(), step.c_str(), flags | O_NOFOLLOW));
    if (last) return at;
    from = slash + 1;
  }
  return at;  // a directory
}

StaticFile StaticFiles::open(const std::string& path) const {
  StaticFile found;
  UniqueFd fd = open_beneath(path);
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) return found;
  found.name = path;
  if (S_ISDIR(info.st_mode)) {
    const bool has_slash = path.empty() || path.back() == '/';
    found.name += has_slash ? "index.html" : "/index.html";
    fd = open_beneath(found.name);
    if (!fd || ::fstat(fd.get(), &info) != 0) return found;
    if (!has_slash && S_ISREG(info.st_mode)) {
      found.kind = StaticFile::Kind::kDirectory;
      found.name = path;
      return found;
    }
  }
  if (!S_ISREG(info.st_mode)) return found;
  found.kind = StaticFile::Kind::kFile;
  found.fd = std::move(fd);
  found.size = static_cast<std::uint64_t>(info.st_size);
  found.mtime_ns = info.st_mtim.tv_sec * kNanos + info.st_mtim.tv_nsec;
  return found;
}

// False when no file has that name: an origin may.
bool HttpWorker::serve_file(std::uint32_t index, const RequestHead& head) {
  std::string path;
  if (normalise_path(head.path, path) != PathError::kNone) return false;
  StaticFile file = static_.open(path);
  switch (file.kind) {
    case StaticFile::Kind::kNone:
      return false;
    case StaticFile::Kind::kDirectory:
      redirect(index, head, file.name);
      return true;
    case StaticFile::Kind::kFile:
      send_file(index, head, std::move(file));
      return true;
  }
  return false;
}

void HttpWorker::redirect(std::uint32_t index, const RequestHead& head, const std::string& to) {
  // From the normalised path: `//name` would lead to another host.
  std::string location = "/";
  percent_encode(to, "/", location);
  location += "/";
  if (head.has_query) location.append("?").append(head.query);
  answer(index, {301, "text/plain; charset=utf-8", "it is a directory\n", {}, false, location});
}

void HttpWorker::send_file(std::uint32_t index, const RequestHead& head, StaticFile&& file) {
  HttpConn& conn = conns_[index];
  Exchange& x = *conn.exchange;
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
  if (config_.http.cors) writer.field(HeaderId::kAccessControlAllowOrigin, "*");
  writer.field(HeaderId::kConnection, x.client_keep_alive ? "keep-alive" : "close");
  if (x.status != 304) writer.body({Framing::kLength, x.left});
  writer.finish();
  conn.side.out.append(out);
  x.head_sent = true;
  if (x.method == Method::kHead) x.left = 0;
  x.file_offset = x.status == 206 ? part.first : 0;
  x.file = std::move(file.fd);
  x.stage = x.left == 0 ? Stage::kAnswered : Stage::kFile;
}

// The next piece of the file, if the client has room for it. False when the connection has ended.
bool HttpWorker::read_file(std::uint32_t index, bool& progress) {
  HttpConn& conn = conns_[index];
  Exchange& x = *conn.exchange;
  if (conn.side.out.pending() > 0 && conn.side.out.data.size() >= kFileOutMax) return true;
  const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(x.left, read_buffer_.size()));
  const ssize_t n =
      ::pread(x.file.get(), read_buffer_.data(), want, static_cast<off_t>(x.file_offset));
  if (n < 0 && errno == EINTR) return progress = true;
  if (n <= 0) {  // it was cut short meanwhile; its length has been said
    end(index, EndReason::kError);
    return false;
  }
  const auto got = static_cast<std::size_t>(n);
  conn.side.out.append(ByteView(read_buffer_.data(), got));
  x.file_offset += got;
  x.left -= got;
  progress = true;
  if (x.left == 0) {
    x.file.reset();
    x.stage = Stage::kAnswered;
  }
  return true;
}

}  // namespace weir::http
