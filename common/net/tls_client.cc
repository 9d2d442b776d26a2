#include "common/net/tls_client.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

namespace weir::net {
namespace {

struct FreeBio {
  void operator()(BIO* bio) const { ::BIO_free(bio); }
};

Result<void> add_authorities(SSL_CTX* context, const std::string& pem) {
  const std::unique_ptr<BIO, FreeBio> bio(
      ::BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  X509_STORE* store = ::SSL_CTX_get_cert_store(context);
  int added = 0;
  for (;; ++added) {
    X509* next = ::PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr);
    if (next == nullptr) break;
    const bool fine = ::X509_STORE_add_cert(store, next) == 1;
    ::X509_free(next);
    if (!fine) return fail("tls.origin_ca: a certificate in it is not usable");
  }
  const bool at_end = ERR_GET_REASON(::ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ::ERR_clear_error();
  if (added == 0 || !at_end) return fail("tls.origin_ca: not a file of certificates in PEM form");
  return {};
}

}  // namespace

Result<std::unique_ptr<TlsClient>> TlsClient::make(const TlsSettings& settings) {
  ::ERR_clear_error();
  std::unique_ptr<TlsClient> made(new TlsClient(::SSL_CTX_new(::TLS_client_method())));
  SSL_CTX* context = made->context_.get();
  if (context == nullptr) return fail("OpenSSL has no TLS to offer");
  ::SSL_CTX_set_options(context,
                        SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_ENABLE_KTLS);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  ::SSL_CTX_set_verify(context, settings.origin_verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                       nullptr);
  if (!settings.origin_ca.empty()) {
    if (auto added = add_authorities(context, settings.origin_ca); !added) {
      return tl::unexpected(added.error());
    }
  } else if (settings.origin_verify) {
    ::SSL_CTX_set_default_verify_paths(context);
    ::ERR_clear_error();  // a system without any is found out at the first handshake
  }
  return made;
}

std::unique_ptr<TlsStream> TlsClient::connect(int fd, const Endpoint& to, const std::string& name) {
  std::unique_ptr<SSL, TlsStream::Free> ssl(::SSL_new(context_.get()));
  if (!ssl || ::SSL_set_fd(ssl.get(), fd) != 1) {
    ::ERR_clear_error();
    return nullptr;
  }
  if (name.empty()) {
    ::X509_VERIFY_PARAM_set1_ip(::SSL_get0_param(ssl.get()), to.ip,
                                to.family == Family::kIpv4 ? 4 : sizeof to.ip);
  } else {
    std::string copy = name;  // the interface of C takes no constant
    ::SSL_ctrl(ssl.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, copy.data());
    ::SSL_set_hostflags(ssl.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    ::SSL_set1_host(ssl.get(), copy.c_str());
  }
  ::SSL_set_connect_state(ssl.get());
  return std::make_unique<TlsStream>(std::move(ssl));
}

}  // namespace weir::net
