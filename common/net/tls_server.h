// TlsServer: the certificates of a configuration, ready to take handshakes. Owner: a worker, for
// its life; it must outlive its streams. Errors name the certificate and what is wrong with it.
//
// The certificate is chosen by the name that the client asks for (SNI, RFC 6066, 3), from the DNS
// names in the certificates; the first one serves those who ask for none or for an unknown one.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/tls_settings.h"
#include "common/net/tls_stream.h"
#include "common/net/tls_ticket.h"

namespace weir::net {

// Which certificate has a name: exact names before wildcards (RFC 6125, 6.4.3: `*` stands for the
// whole leftmost label, and for one label only). Of two certificates with a name the earlier has
// it.
class SniIndex {
 public:
  void add(std::string_view dns_name, std::size_t certificate);
  std::optional<std::size_t> find(std::string_view asked) const;

 private:
  std::map<std::string, std::size_t, std::less<>> exact_;
  std::map<std::string, std::size_t, std::less<>> wildcard_;  // by what follows the `*`
};

enum class Alpn : std::uint8_t { kNone, kHttp };

class TlsServer {
 public:
  // REQUIRES: at least one certificate.
  static Result<std::unique_ptr<TlsServer>> make(const TlsSettings& settings,
                                                 const TicketSecret& secret, Alpn alpn);
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  // A stream whose handshake begins; nullptr without memory. The socket stays the caller's.
  std::unique_ptr<TlsStream> accept(int fd);

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { ::SSL_CTX_free(context); }
  };
  using Context = std::unique_ptr<SSL_CTX, Free>;

  TlsServer(const TlsSettings& settings, const TicketSecret& secret, Alpn alpn);
  Result<void> add(const TlsSettings& settings, const TlsCertificate& certificate);
  Result<void> configure(SSL_CTX* context, const TlsSettings& settings);
  static int on_name(SSL* ssl, int* alert, void* self);
  static int on_alpn(SSL* ssl, const unsigned char** out, unsigned char* out_length,
                     const unsigned char* in, unsigned in_length, void* self);
  static int on_status(SSL* ssl, void* ocsp);
  static int on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                       EVP_MAC_CTX* mac, int encrypt);

  std::vector<Context> contexts_;  // of the certificates
  std::vector<std::string> ocsp_;  // of the certificates
  SniIndex names_;
  TicketKeys tickets_;
  Alpn alpn_;
};

// Seconds since 1970 when the certificate ends; empty when it cannot be read.
std::optional<std::int64_t> certificate_expiry(const TlsCertificate& certificate);

// Whether library and kernel can encrypt in the kernel (kTLS), in words for the log.
std::string_view ktls_support();

}  // namespace weir::net
