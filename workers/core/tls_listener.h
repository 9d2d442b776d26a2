// What workers with TLS listeners share: the server made from their configuration, and how
// handshakes are counted and logged.
#pragma once

#include <memory>
#include <string_view>

#include "common/base/endpoint.h"
#include "common/base/log.h"
#include "common/base/log_budget.h"
#include "common/config/config.h"
#include "common/net/tls_server.h"
#include "ipc/counters.h"

namespace weir {

// Null when there is no certificate, or (with a log line) when OpenSSL takes none.
std::unique_ptr<net::TlsServer> make_tls_server(const Config& config, const TicketSecret& tickets,
                                                net::Alpn alpn);

void count_handshake(ipc::Counters& counters, const net::TlsStream& tls);
// Counts a handshake that came to nothing, and logs it within the budget.
void note_tls_failure(ipc::Counters& counters, LogBudget& budget, SessionId session,
                      const Endpoint& client, net::TlsFailure why, std::string_view text);

}  // namespace weir
