// TlsStream: TLS over one non-blocking socket, which stays the caller's. Owner: the session; it
// must not outlive the TlsServer or TlsClient that made it, nor be used after its socket is closed.
//
// kBlocked means: wait for the socket. Whether for input or output can differ from what was asked
// for, so whoever waits on an edge-triggered set tries both after any event, and a level-triggered
// one asks wants_write(). A write that was blocked is repeated with the same bytes in front.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/bytes.h"

namespace weir::net {

enum class TlsStatus : std::uint8_t {
  kOk,
  kBlocked,
  kClosed,     // the peer has said that it is done (close_notify)
  kTruncated,  // the connection ended without it
  kFailed,
};

// Why a handshake failed: log and metrics.
enum class TlsFailure : std::uint8_t {
  kNone,
  kClosed,       // the peer left, or the socket broke
  kTimeout,      // set by the owner
  kNotTls,       // it speaks something else
  kProtocol,     // no version in common
  kCipher,       // no cipher, group or signature in common
  kAlpn,         // no application protocol in common
  kCertificate,  // the peer's was not accepted
  kAlert,        // the peer refused
  kOther,
};
std::string_view to_string(TlsFailure failure);

class TlsStream {
 public:
  struct Free {
    void operator()(SSL* ssl) const { ::SSL_free(ssl); }
  };
  explicit TlsStream(std::unique_ptr<SSL, Free> ssl) : ssl_(std::move(ssl)) {}

  // Until kOk; then established() holds.
  TlsStatus handshake();
  bool established() const { return established_; }

  // At most one record. REQUIRES: room for a record (16 kB), so that none is left inside.
  TlsStatus read(MutableBytes buffer, std::size_t& n);
  // At most one record; n bytes of `bytes` have left the caller's hands.
  TlsStatus write(ByteView bytes, std::size_t& n);
  // Says that no more comes. False when that must wait for the socket; call again.
  bool close();
  // The last kBlocked waits until the socket takes output.
  bool wants_write() const { return wants_write_; }

  bool is_server() const;
  // After the handshake.
  bool is_tls13() const;
  bool resumed() const;
  // After a failed one.
  TlsFailure failure() const { return failure_; }
  const std::string& failure_text() const { return failure_text_; }

 private:
  TlsStatus status_of(int result);
  void explain();

  std::unique_ptr<SSL, Free> ssl_;
  bool established_ = false;
  bool wants_write_ = false;
  bool close_sent_ = false;
  bool broken_ = false;  // the library forbids any further use
  TlsFailure failure_ = TlsFailure::kNone;
  std::string failure_text_;
};

}  // namespace weir::net
