// OriginTls: TLS to origins for one worker. The authorities are loaded when the first origin needs
// them, which most set-ups never do. Owner: the worker; must outlive its streams.
#pragma once

#include <memory>
#include <string>

#include "common/base/endpoint.h"
#include "common/config/config.h"
#include "common/net/tls_client.h"
#include "ipc/shm_layout.h"

namespace weir {

// Whether an origin's endpoint is reached by TLS.
inline bool is_tls(const Endpoint& endpoint) {
  return endpoint.scheme == Scheme::kHttps || endpoint.scheme == Scheme::kRtmps ||
         endpoint.scheme == Scheme::kTls;
}

// `certificate: certificate verify failed: IP address mismatch`, for log and answers.
std::string tls_failure_text(const net::TlsStream& tls);

class OriginTls {
 public:
  explicit OriginTls(const Config& config) : config_(config) {}

  // nullptr, with a log line, when OpenSSL cannot do it. `first` goes out in the clear before the
  // handshake: a PROXY protocol header. REQUIRES, with one: fd is connected.
  std::unique_ptr<net::TlsStream> connect(int fd, const Endpoint& to, const std::string& name,
                                          ByteView first = {});

 private:
  const Config& config_;
  std::unique_ptr<net::TlsClient> client_;
};

}  // namespace weir
