#include "workers/core/origin_tls.h"

#include <sys/socket.h>

#include <cstring>

#include "common/base/log.h"

namespace weir {

std::string tls_failure_text(const net::TlsStream& tls) {
  return "TLS: " + std::string(to_string(tls.failure())) + ": " + tls.failure_text();
}

std::unique_ptr<net::TlsStream> OriginTls::connect(int fd, const Endpoint& to,
                                                   const std::string& name, ByteView first) {
  // A fresh socket takes these few bytes at once; if not, the handshake fails too.
  if (!first.empty()) {
    static_cast<void>(::send(fd, first.data(), first.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
  }
  if (!client_) {
    auto made = net::TlsClient::make(tls_settings(config_));
    if (!made) {
      LogLine(LogLevel::kError, "cannot speak TLS to origins").field("error", made.error().text);
      return nullptr;
    }
    client_ = std::move(*made);
  }
  return client_->connect(fd, to, name);
}

}  // namespace weir
