#include "supervisor/ctl/ctl_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/proto/http/collected_response.h"

namespace weir::ctl {
namespace {

constexpr std::size_t kBodyBytes = std::size_t{256} << 20;  // 100,000 rows

Result<UniqueFd> connect_to(const std::string& path) {
  sockaddr_un address{};
  if (path.size() >= sizeof address.sun_path) return fail(path + " is too long for a socket");
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("cannot make a socket", errno);
  // sockaddr_un passed as the C interface wants it.
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno("no Weir answers at " + path, errno);
  }
  return fd;
}

}  // namespace

bool wait_for(int fd, short events, std::uint64_t until_ms) {
  for (;;) {
    const std::uint64_t now = monotonic_ms();
    if (now >= until_ms) return false;
    pollfd entry{fd, events, 0};
    const int count =
        ::poll(&entry, 1, static_cast<int>(std::min<std::uint64_t>(until_ms - now, 60000)));
    if (count > 0) return true;
    if (count < 0 && errno != EINTR) return false;
  }
}

std::string Answer::error() const {
  const std::string text = text_at(json.get(), "error");
  return text.empty() ? "status " + std::to_string(status) : text;
}

Result<Answer> Client::ask(std::string_view method, std::string_view target,
                           std::uint64_t timeout_ms) const {
  auto fd = connect_to(socket_);
  if (!fd) return tl::unexpected(fd.error());
  const std::uint64_t until = monotonic_ms() + timeout_ms;
  std::string request(method);
  request.append(" ").append(target).append(
      " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
  request.append("Content-Length: 0\r\n\r\n");
  if (::send(fd->get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return fail_errno("cannot ask at " + socket_, errno);
  }
  http::CollectedResponse response(http::Method::kGet, kBodyBytes);
  for (;;) {
    if (!wait_for(fd->get(), POLLIN, until)) {
      return fail_errno("no answer from " + socket_, ETIMEDOUT);
    }
    std::uint8_t bytes[65536];
    const ssize_t n = ::recv(fd->get(), bytes, sizeof bytes, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("no answer from " + socket_, errno);
    const auto status =
        n == 0 ? response.on_close() : response.feed(ByteView(bytes, static_cast<std::size_t>(n)));
    if (status == ParseStatus::kComplete) break;
    if (status == ParseStatus::kInvalid || n == 0) {
      return fail("no answer from " + socket_ + ": " + std::string(response.error()));
    }
  }
  Answer answer;
  answer.status = response.head().status;
  answer.body = std::move(response.body());
  answer.json.reset(cJSON_ParseWithLength(answer.body.data(), answer.body.size()));
  return answer;
}

}  // namespace weir::ctl
