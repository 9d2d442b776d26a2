// What TLS is to do, as plain values: made by common/config, used by common/net, so that neither
// needs to know the other. Owner: a configuration, which lives as long as its generation. Keys are
// in here: nothing of it is logged, printed or sent.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace weir {

// One certificate with its key, as the text of the files.
struct TlsCertificate {
  std::string name;   // of its block
  std::string chain;  // PEM: the certificate, then what leads to its root
  std::string key;    // PEM, without a passphrase
  std::string ocsp;   // DER of an OCSP response to staple, or empty
};

struct TlsSettings {
  std::vector<TlsCertificate> certificates;  // the first is the default
  bool min_is_13 = false;                    // TLS 1.3 at least; else 1.2
  bool max_is_12 = false;                    // TLS 1.2 at most; else 1.3
  std::string ciphers;                       // of TLS 1.2, in OpenSSL's words
  std::string ciphersuites;                  // of TLS 1.3
  bool tickets = true;
  std::uint64_t ticket_lifetime_ms = 0;
  bool origin_verify = true;
  std::string origin_ca;  // PEM; empty: the system's
};

// What session ticket keys derive from. Made once by the master and handed to each worker at its
// fork, so that all of them have the same keys at the same time and need no messages for it
// (common/net/tls_ticket.h).
struct TicketSecret {
  using Bytes = std::array<std::uint8_t, 32>;
  Bytes chain{};     // of the current period; the next one's follows from it, not the other way
  Bytes previous{};  // the previous period's ticket seed
  bool has_previous = false;
  std::uint64_t since_ms = 0;  // CLOCK_MONOTONIC: when the current period began
};

}  // namespace weir
