#include "workers/core/tls_listener.h"

#include "common/base/clock.h"

namespace weir {
namespace {

using ipc::Counter;

void count_failure(ipc::Counters& counters, net::TlsFailure why) {
  switch (why) {
    case net::TlsFailure::kClosed:
      return counters.add(Counter::kTlsFailedClosed);
    case net::TlsFailure::kTimeout:
      return counters.add(Counter::kTlsFailedTimeout);
    case net::TlsFailure::kNotTls:
      return counters.add(Counter::kTlsFailedNotTls);
    case net::TlsFailure::kProtocol:
      return counters.add(Counter::kTlsFailedProtocol);
    case net::TlsFailure::kCipher:
      return counters.add(Counter::kTlsFailedCipher);
    case net::TlsFailure::kAlpn:
      return counters.add(Counter::kTlsFailedAlpn);
    case net::TlsFailure::kAlert:
      return counters.add(Counter::kTlsFailedAlert);
    case net::TlsFailure::kNone:
    case net::TlsFailure::kCertificate:
    case net::TlsFailure::kOther:
      return counters.add(Counter::kTlsFailedOther);
  }
}

}  // namespace

std::unique_ptr<net::TlsServer> make_tls_server(const Config& config, const TicketSecret& tickets,
                                                net::Alpn alpn) {
  if (config.certificates.empty()) return nullptr;
  auto made = net::TlsServer::make(tls_settings(config), tickets, alpn);
  if (made) return std::move(*made);
  // The master has tried the same before it forked.
  LogLine(LogLevel::kError, "cannot serve TLS").field("error", made.error().text);
  return nullptr;
}

void count_handshake(ipc::Counters& counters, const net::TlsStream& tls) {
  counters.add(tls.is_tls13() ? Counter::kTlsHandshakes13 : Counter::kTlsHandshakes12);
  if (tls.resumed()) counters.add(Counter::kTlsResumed);
}

void note_tls_failure(ipc::Counters& counters, LogBudget& budget, SessionId session,
                      const Endpoint& client, net::TlsFailure why, std::string_view text) {
  count_failure(counters, why);
  std::uint64_t suppressed = 0;
  if (!budget.take(monotonic_ms(), suppressed)) return;
  LogLine(LogLevel::kWarn, "TLS handshake failed")
      .session(session)
      .field("client", client)
      .field("reason", to_string(why))
      .field("error", text)
      .field("suppressed", suppressed);
}

}  // namespace weir
