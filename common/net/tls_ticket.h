// Session ticket keys that every worker computes for itself. Time is cut into periods of
// tls.ticket_lifetime; the secret of a period is a hash of the one before, and the old one is
// forgotten: who takes a worker's memory cannot read what older tickets protected, and workers that
// were forked at different times agree without a message. Tickets of the current and of the
// previous period are taken.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "common/base/bytes.h"
#include "common/base/tls_settings.h"

namespace weir::net {

TicketSecret new_ticket_secret(std::uint64_t now_ms);
// Goes on to the period that `now_ms` is in. REQUIRES: lifetime_ms is not 0.
void advance(TicketSecret& secret, std::uint64_t now_ms, std::uint64_t lifetime_ms);

struct TicketKey {
  std::array<std::uint8_t, 16> name{};  // goes with the ticket in clear
  std::array<std::uint8_t, 32> cipher{};
  std::array<std::uint8_t, 32> mac{};
};

// Owner: a TlsServer.
class TicketKeys {
 public:
  TicketKeys(const TicketSecret& secret, std::uint64_t lifetime_ms);

  const TicketKey& current(std::uint64_t now_ms);
  struct Found {
    const TicketKey* key = nullptr;
    bool is_current = false;
  };
  // The key of a ticket; nullptr when it is too old, or not ours. REQUIRES: name is 16 bytes.
  Found find(ByteView name, std::uint64_t now_ms);

 private:
  void derive();
  void refresh(std::uint64_t now_ms);

  TicketSecret secret_;
  std::uint64_t lifetime_ms_;
  TicketKey current_;
  std::optional<TicketKey> previous_;
};

}  // namespace weir::net
