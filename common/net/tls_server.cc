#include "common/net/tls_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "common/base/ascii.h"
#include "common/base/clock.h"
#include "common/base/fd.h"

namespace weir::net {
namespace {

constexpr const char* kGroups = "X25519:P-256";
constexpr unsigned char kSessionContext[] = {'w', 'e', 'i', 'r'};
constexpr std::size_t kTicketNameBytes = 16;
constexpr int kIvBytes = 16;

struct FreeBio {
  void operator()(BIO* bio) const { ::BIO_free(bio); }
};
struct FreeX509 {
  void operator()(X509* x509) const { ::X509_free(x509); }
};
struct FreeKey {
  void operator()(EVP_PKEY* key) const { ::EVP_PKEY_free(key); }
};
struct FreeNames {
  void operator()(GENERAL_NAMES* names) const { ::GENERAL_NAMES_free(names); }
};
struct FreeOcsp {
  void operator()(OCSP_RESPONSE* response) const { ::OCSP_RESPONSE_free(response); }
};
using Bio = std::unique_ptr<BIO, FreeBio>;
using Certificate = std::unique_ptr<X509, FreeX509>;

Bio bio_of(const std::string& text) {
  return Bio(::BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string last_error() {
  const char* reason = ::ERR_reason_error_string(::ERR_peek_last_error());
  ::ERR_clear_error();
  return reason == nullptr ? "unknown reason" : reason;
}

// Instead of a question on the terminal.
int no_passphrase(char*, int, int, void*) {
  return 0;
}

Certificate read_leaf(BIO* bio) {
  return Certificate(::PEM_read_bio_X509_AUX(bio, nullptr, no_passphrase, nullptr));
}

Result<void> use_chain(SSL_CTX* context, BIO* bio) {
  for (;;) {
    X509* next = ::PEM_read_bio_X509(bio, nullptr, no_passphrase, nullptr);
    if (next == nullptr) break;
    if (::SSL_CTX_add0_chain_cert(context, next) != 1) {
      ::X509_free(next);
      return fail("a certificate of the chain is not usable: " + last_error());
    }
  }
  const bool at_end = ERR_GET_REASON(::ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (!at_end) return fail("the chain is not readable: " + last_error());
  ::ERR_clear_error();
  return {};
}

std::vector<std::string> dns_names(const X509* x509) {
  std::vector<std::string> out;
  const std::unique_ptr<GENERAL_NAMES, FreeNames> names(static_cast<GENERAL_NAMES*>(
      ::X509_get_ext_d2i(x509, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_DNS) continue;
    const auto* text = ::ASN1_STRING_get0_data(name->d.dNSName);
    const auto length = static_cast<std::size_t>(::ASN1_STRING_length(name->d.dNSName));
    out.emplace_back(as_text({text, length}));
  }
  return out;
}

Result<void> use_pair(SSL_CTX* context, const TlsCertificate& certificate, SniIndex& names,
                      std::size_t index) {
  ::ERR_clear_error();
  const Bio chain = bio_of(certificate.chain);
  const Certificate leaf = read_leaf(chain.get());
  if (!leaf) return fail("no certificate in PEM form: " + last_error());
  if (::SSL_CTX_use_certificate(context, leaf.get()) != 1) {
    return fail("the certificate is not usable: " + last_error());
  }
  if (auto done = use_chain(context, chain.get()); !done) return done;
  const Bio key_text = bio_of(certificate.key);
  const std::unique_ptr<EVP_PKEY, FreeKey> key(
      ::PEM_read_bio_PrivateKey(key_text.get(), nullptr, no_passphrase, nullptr));
  if (!key) return fail("no private key in PEM form without a passphrase: " + last_error());
  if (::SSL_CTX_use_PrivateKey(context, key.get()) != 1 ||
      ::SSL_CTX_check_private_key(context) != 1) {
    return fail("the key does not belong to the certificate: " + last_error());
  }
  for (const std::string& name : dns_names(leaf.get())) names.add(name, index);
  return {};
}

// OpenSSL's own macros for this make a cast of the old style; the library casts it back.
template <typename Function>
void set_callback(SSL_CTX* context, int which, Function* callback) {
  ::SSL_CTX_callback_ctrl(context, which, std::bit_cast<void (*)()>(callback));
}

Result<void> check_ocsp(const std::string& der) {
  const auto* at = as_bytes(der).data();
  const std::unique_ptr<OCSP_RESPONSE, FreeOcsp> response(
      ::d2i_OCSP_RESPONSE(nullptr, &at, static_cast<long>(der.size())));
  if (response && ::OCSP_response_status(response.get()) == OCSP_RESPONSE_STATUS_SUCCESSFUL) {
    return {};
  }
  ::ERR_clear_error();
  return fail("the OCSP response is not a successful one in DER form");
}

}  // namespace

void SniIndex::add(std::string_view dns_name, std::size_t certificate) {
  const std::string name = lower_case(dns_name);
  if (name.starts_with("*.")) {
    wildcard_.emplace(name.substr(1), certificate);
  } else {
    exact_.emplace(name, certificate);
  }
}

std::optional<std::size_t> SniIndex::find(std::string_view asked) const {
  std::string name = lower_case(asked);
  if (name.ends_with('.')) name.pop_back();
  if (const auto found = exact_.find(name); found != exact_.end()) return found->second;
  const std::size_t dot = name.find('.');
  if (dot == std::string::npos || dot == 0) return std::nullopt;
  const auto found = wildcard_.find(std::string_view(name).substr(dot));
  return found == wildcard_.end() ? std::nullopt : std::optional(found->second);
}

TlsServer::TlsServer(const TlsSettings& settings, const TicketSecret& secret, Alpn alpn)
    : tickets_(secret, settings.ticket_lifetime_ms), alpn_(alpn) {}

Result<std::unique_ptr<TlsServer>> TlsServer::make(const TlsSettings& settings,
                                                   const TicketSecret& secret, Alpn alpn) {
  std::unique_ptr<TlsServer> server(new TlsServer(settings, secret, alpn));
  server->ocsp_.reserve(settings.certificates.size());  // callbacks point into it
  for (const TlsCertificate& certificate : settings.certificates) {
    if (auto added = server->add(settings, certificate); !added) {
      return fail("certificate " + certificate.name + ": " + added.error().text);
    }
  }
  return server;
}

Result<void> TlsServer::add(const TlsSettings& settings, const TlsCertificate& certificate) {
  Context context(::SSL_CTX_new(::TLS_server_method()));
  if (!context) return fail("OpenSSL has no TLS to offer: " + last_error());
  if (auto done = configure(context.get(), settings); !done) return done;
  if (auto done = use_pair(context.get(), certificate, names_, contexts_.size()); !done) {
    return done;
  }
  if (!certificate.ocsp.empty()) {
    if (auto done = check_ocsp(certificate.ocsp); !done) return done;
  }
  ocsp_.push_back(certificate.ocsp);
  if (!certificate.ocsp.empty()) {
    set_callback(context.get(), SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB, on_status);
    SSL_CTX_set_tlsext_status_arg(context.get(), &ocsp_.back());
  }
  contexts_.push_back(std::move(context));
  return {};
}

Result<void> TlsServer::configure(SSL_CTX* context, const TlsSettings& settings) {
  std::uint64_t options = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                          SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                          SSL_OP_ENABLE_KTLS;
  if (!settings.tickets) options |= SSL_OP_NO_TICKET;
  ::SSL_CTX_set_options(context, options);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_min_proto_version(context, settings.min_is_13 ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(context, settings.max_is_12 ? TLS1_2_VERSION : TLS1_3_VERSION);
  if (::SSL_CTX_set_cipher_list(context, settings.ciphers.c_str()) != 1) {
    return fail("tls.ciphers names no cipher that there is");
  }
  if (::SSL_CTX_set_ciphersuites(context, settings.ciphersuites.c_str()) != 1) {
    return fail("tls.ciphersuites names a suite that there is not");
  }
  SSL_CTX_set1_groups_list(context, kGroups);
  // Sessions live in tickets alone: a table would be each worker's own.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  ::SSL_CTX_set_session_id_context(context, kSessionContext, sizeof kSessionContext);
  if (settings.tickets) {
    ::SSL_CTX_set_timeout(context, static_cast<long>(settings.ticket_lifetime_ms / 1000));
    ::SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
  } else {
    ::SSL_CTX_set_num_tickets(context, 0);
  }
  SSL_CTX_set_app_data(context, this);
  set_callback(context, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB, on_name);
  SSL_CTX_set_tlsext_servername_arg(context, this);
  if (alpn_ != Alpn::kNone) ::SSL_CTX_set_alpn_select_cb(context, on_alpn, this);
  return {};
}

std::unique_ptr<TlsStream> TlsServer::accept(int fd) {
  std::unique_ptr<SSL, TlsStream::Free> ssl(::SSL_new(contexts_.front().get()));
  if (!ssl || ::SSL_set_fd(ssl.get(), fd) != 1) {
    ::ERR_clear_error();
    return nullptr;
  }
  ::SSL_set_accept_state(ssl.get());
  return std::make_unique<TlsStream>(std::move(ssl));
}

int TlsServer::on_name(SSL* ssl, int*, void* self) {
  const auto* server = static_cast<const TlsServer*>(self);
  const char* asked = ::SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (asked == nullptr) return SSL_TLSEXT_ERR_NOACK;
  const auto found = server->names_.find(asked);
  if (!found) return SSL_TLSEXT_ERR_NOACK;
  if (*found != 0) ::SSL_set_SSL_CTX(ssl, server->contexts_[*found].get());
  return SSL_TLSEXT_ERR_OK;
}

// Refused only where the client leaves no choice (RFC 7301, 3.2).
int TlsServer::on_alpn(SSL*, const unsigned char** out, unsigned char* out_length,
                       const unsigned char* in, unsigned in_length, void*) {
  static constexpr std::string_view kHttp11 = "http/1.1";
  static constexpr std::string_view kHttp10 = "http/1.0";
  for (const std::string_view wanted : {kHttp11, kHttp10}) {
    for (unsigned at = 0; at < in_length && in_length - at > in[at]; at += in[at] + 1U) {
      if (as_text({in + at + 1, in[at]}) != wanted) continue;
      *out = in + at + 1;
      *out_length = in[at];
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

int TlsServer::on_status(SSL* ssl, void* ocsp) {
  const auto& der = *static_cast<const std::string*>(ocsp);
  void* copy = ::OPENSSL_memdup(der.data(), der.size());  // the library frees it
  if (copy == nullptr) return SSL_TLSEXT_ERR_NOACK;
  SSL_set_tlsext_status_ocsp_resp(ssl, copy, static_cast<long>(der.size()));
  return SSL_TLSEXT_ERR_OK;
}

// 1: done; 2: readable, but a newer ticket should go out; 0: a full handshake; -1: error.
int TlsServer::on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                         EVP_MAC_CTX* mac, int encrypt) {
  auto* server = static_cast<TlsServer*>(SSL_CTX_get_app_data(::SSL_get_SSL_CTX(ssl)));
  TicketKeys& keys = server->tickets_;
  const std::uint64_t now = monotonic_ms();
  const TicketKeys::Found found = encrypt == 1 ? TicketKeys::Found{&keys.current(now), true}
                                               : keys.find({name, kTicketNameBytes}, now);
  if (found.key == nullptr) return 0;
  if (encrypt == 1) {
    std::copy(found.key->name.begin(), found.key->name.end(), name);
    if (::RAND_bytes(iv, kIvBytes) != 1) return -1;
  }
  auto mac_key = found.key->mac;
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      ::OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, mac_key.data(), mac_key.size()),
      ::OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      ::OSSL_PARAM_construct_end()};
  const bool ready = ::EVP_CipherInit_ex(cipher, ::EVP_aes_256_cbc(), nullptr,
                                         found.key->cipher.data(), iv, encrypt) == 1 &&
                     ::EVP_MAC_CTX_set_params(mac, parameters) == 1;
  if (!ready) return -1;
  return found.is_current ? 1 : 2;
}

std::optional<std::int64_t> certificate_expiry(const TlsCertificate& certificate) {
  const Bio bio = bio_of(certificate.chain);
  const Certificate leaf = read_leaf(bio.get());
  std::tm end{};
  if (!leaf || ::ASN1_TIME_to_tm(::X509_get0_notAfter(leaf.get()), &end) != 1) {
    ::ERR_clear_error();
    return std::nullopt;
  }
  return static_cast<std::int64_t>(::timegm(&end));
}

std::string_view ktls_support() {
#ifdef OPENSSL_NO_KTLS
  return "off: this OpenSSL is built without it";
#else
  // On a socket without a connection a kernel that has it says so; one that lacks it says ENOENT.
  const UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  static constexpr char kUlp[] = "tls";
  const int done = ::setsockopt(probe.get(), IPPROTO_TCP, TCP_ULP, kUlp, sizeof kUlp - 1);
  return done == 0 || errno == ENOTCONN ? "on" : "off: this kernel lacks it";
#endif
}

}  // namespace weir::net
