#include "common/net/tls_stream.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

namespace weir::net {
namespace {

TlsFailure failure_of(int reason) {
  switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_RECORD_LENGTH_MISMATCH:
    case SSL_R_BAD_PACKET:
    case SSL_R_UNEXPECTED_MESSAGE:
    case SSL_R_NOT_ON_RECORD_BOUNDARY:
      return TlsFailure::kNotTls;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
      return TlsFailure::kProtocol;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
      return TlsFailure::kCipher;
    case SSL_R_NO_APPLICATION_PROTOCOL:
      return TlsFailure::kAlpn;
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
      return TlsFailure::kCertificate;
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
      return TlsFailure::kClosed;
    default:
      return reason >= SSL_AD_REASON_OFFSET ? TlsFailure::kAlert : TlsFailure::kOther;
  }
}

}  // namespace

std::string_view to_string(TlsFailure failure) {
  switch (failure) {
    case TlsFailure::kNone:
      return "none";
    case TlsFailure::kClosed:
      return "closed";
    case TlsFailure::kTimeout:
      return "timeout";
    case TlsFailure::kNotTls:
      return "not_tls";
    case TlsFailure::kProtocol:
      return "protocol";
    case TlsFailure::kCipher:
      return "cipher";
    case TlsFailure::kAlpn:
      return "alpn";
    case TlsFailure::kCertificate:
      return "certificate";
    case TlsFailure::kAlert:
      return "alert";
    case TlsFailure::kOther:
      return "other";
  }
  return "other";
}

TlsStatus TlsStream::handshake() {
  if (established_) return TlsStatus::kOk;
  if (broken_) return TlsStatus::kFailed;
  ::ERR_clear_error();
  const int result = ::SSL_do_handshake(ssl_.get());
  if (result == 1) {
    established_ = true;
    return TlsStatus::kOk;
  }
  const TlsStatus status = status_of(result);
  return status == TlsStatus::kBlocked ? status : TlsStatus::kFailed;
}

TlsStatus TlsStream::read(MutableBytes buffer, std::size_t& n) {
  n = 0;
  if (broken_) return TlsStatus::kFailed;
  ::ERR_clear_error();
  const int result = ::SSL_read_ex(ssl_.get(), buffer.data(), buffer.size(), &n);
  return result == 1 ? TlsStatus::kOk : status_of(result);
}

TlsStatus TlsStream::write(ByteView bytes, std::size_t& n) {
  n = 0;
  if (broken_) return TlsStatus::kFailed;
  ::ERR_clear_error();
  const int result = ::SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &n);
  return result == 1 ? TlsStatus::kOk : status_of(result);
}

bool TlsStream::close() {
  // A second call of the library's would wait for the peer's; one that was blocked is finished.
  if (broken_ || !established_ || close_sent_) return true;
  ::ERR_clear_error();
  const int result = ::SSL_shutdown(ssl_.get());
  close_sent_ = result >= 0 || status_of(result) != TlsStatus::kBlocked || !wants_write_;
  return close_sent_;
}

bool TlsStream::is_server() const {
  return ::SSL_is_server(ssl_.get()) == 1;
}

bool TlsStream::is_tls13() const {
  return ::SSL_version(ssl_.get()) == TLS1_3_VERSION;
}

bool TlsStream::resumed() const {
  return ::SSL_session_reused(ssl_.get()) == 1;
}

TlsStatus TlsStream::status_of(int result) {
  const int error = errno;  // what follows may change it
  switch (::SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      wants_write_ = false;
      return TlsStatus::kBlocked;
    case SSL_ERROR_WANT_WRITE:
      wants_write_ = true;
      return TlsStatus::kBlocked;
    case SSL_ERROR_ZERO_RETURN:
      return TlsStatus::kClosed;
    case SSL_ERROR_SYSCALL:
      broken_ = true;
      failure_ = TlsFailure::kClosed;
      failure_text_ = error == 0 ? "closed" : std::strerror(error);
      errno = error;
      return error == 0 ? TlsStatus::kTruncated : TlsStatus::kFailed;
    default:
      broken_ = true;
      explain();
      errno = EPROTO;
      return failure_ == TlsFailure::kClosed ? TlsStatus::kTruncated : TlsStatus::kFailed;
  }
}

void TlsStream::explain() {
  const unsigned long code = ::ERR_peek_error();
  failure_ = failure_of(ERR_GET_REASON(code));
  const char* reason = ::ERR_reason_error_string(code);
  failure_text_ = reason == nullptr ? "no reason given" : reason;
  if (failure_ == TlsFailure::kCertificate) {
    failure_text_ +=
        std::string(": ") + ::X509_verify_cert_error_string(::SSL_get_verify_result(ssl_.get()));
  }
  ::ERR_clear_error();
}

}  // namespace weir::net
