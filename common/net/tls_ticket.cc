#include "common/net/tls_ticket.h"

#include <algorithm>
#include <string_view>

#include "common/net/crypto.h"

namespace weir::net {
namespace {

TicketSecret::Bytes derive_from(const TicketSecret::Bytes& key, std::string_view label) {
  TicketSecret::Bytes out{};
  hmac_sha256(key, as_bytes(label), out.data());
  return out;
}

TicketKey key_of(const TicketSecret::Bytes& seed) {
  TicketKey key;
  const TicketSecret::Bytes name = derive_from(seed, "weir ticket name");
  std::copy_n(name.begin(), key.name.size(), key.name.begin());
  key.cipher = derive_from(seed, "weir ticket cipher");
  key.mac = derive_from(seed, "weir ticket mac");
  return key;
}

TicketSecret::Bytes seed_of(const TicketSecret::Bytes& chain) {
  return derive_from(chain, "weir ticket seed");
}

}  // namespace

TicketSecret new_ticket_secret(std::uint64_t now_ms) {
  TicketSecret secret;
  fill_random(secret.chain);
  secret.since_ms = now_ms;
  return secret;
}

void advance(TicketSecret& secret, std::uint64_t now_ms, std::uint64_t lifetime_ms) {
  while (now_ms >= secret.since_ms + lifetime_ms) {
    secret.previous = seed_of(secret.chain);
    secret.has_previous = true;
    secret.chain = derive_from(secret.chain, "weir ticket next");
    secret.since_ms += lifetime_ms;
  }
}

TicketKeys::TicketKeys(const TicketSecret& secret, std::uint64_t lifetime_ms)
    : secret_(secret), lifetime_ms_(std::max<std::uint64_t>(lifetime_ms, 1)) {
  derive();
}

void TicketKeys::derive() {
  current_ = key_of(seed_of(secret_.chain));
  previous_.reset();
  if (secret_.has_previous) previous_ = key_of(secret_.previous);
}

void TicketKeys::refresh(std::uint64_t now_ms) {
  if (now_ms < secret_.since_ms + lifetime_ms_) return;
  advance(secret_, now_ms, lifetime_ms_);
  derive();
}

const TicketKey& TicketKeys::current(std::uint64_t now_ms) {
  refresh(now_ms);
  return current_;
}

TicketKeys::Found TicketKeys::find(ByteView name, std::uint64_t now_ms) {
  refresh(now_ms);
  const auto is_of = [name](const TicketKey& key) {
    return std::equal(key.name.begin(), key.name.end(), name.begin(), name.end());
  };
  if (is_of(current_)) return {&current_, true};
  if (previous_ && is_of(*previous_)) return {&*previous_, false};
  return {};
}

}  // namespace weir::net
