// TlsClient: makes TLS connections to origins and checks who answers. Owner: a worker, for its
// life; it must outlive its streams.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "common/base/endpoint.h"
#include "common/base/result.h"
#include "common/base/tls_settings.h"
#include "common/net/tls_stream.h"

namespace weir::net {

class TlsClient {
 public:
  static Result<std::unique_ptr<TlsClient>> make(const TlsSettings& settings);

  // A stream whose handshake begins. The certificate must be for `name`, which is asked for (SNI),
  // or for the address when there is no name. nullptr without memory. The socket stays the
  // caller's.
  std::unique_ptr<TlsStream> connect(int fd, const Endpoint& to, const std::string& name);

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { ::SSL_CTX_free(context); }
  };
  explicit TlsClient(SSL_CTX* context) : context_(context) {}

  std::unique_ptr<SSL_CTX, Free> context_;
};

}  // namespace weir::net
