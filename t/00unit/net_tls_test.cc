// SNI choice, ticket keys, and what of a certificate is refused.
#include <doctest/doctest.h>

#include "common/net/tls_server.h"
#include "common/net/tls_ticket.h"

namespace {

using weir::TicketSecret;
using weir::TlsSettings;
using weir::net::SniIndex;
using weir::net::TicketKeys;
using weir::net::TlsServer;

constexpr std::uint64_t kHour = 3600000;

bool same(const weir::net::TicketKey& a, const weir::net::TicketKey& b) {
  return a.name == b.name && a.cipher == b.cipher && a.mac == b.mac;
}

std::string why_not(const weir::TlsCertificate& certificate) {
  TlsSettings settings;
  settings.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256";
  settings.ciphersuites = "TLS_AES_128_GCM_SHA256";
  settings.ticket_lifetime_ms = kHour;
  settings.certificates = {certificate};
  const auto made = TlsServer::make(settings, TicketSecret{}, weir::net::Alpn::kNone);
  return made ? "" : made.error().text;
}

}  // namespace

TEST_CASE("SNI: exact before wildcard, one label, earlier first, any case") {
  SniIndex names;
  names.add("*.Example.org", 1);
  names.add("deep.example.org", 2);
  names.add("deep.example.org", 3);
  names.add("*", 4);  // no wildcard of a whole world
  CHECK(names.find("a.example.org") == 1);
  CHECK(names.find("A.EXAMPLE.ORG.") == 1);
  CHECK(names.find("deep.example.org") == 2);
  CHECK(!names.find("a.b.example.org"));
  CHECK(!names.find("example.org"));
  CHECK(!names.find(".example.org"));
  CHECK(!names.find("other"));
  CHECK(!names.find(""));
}

TEST_CASE("ticket keys: all workers have the same, whenever they were forked") {
  TicketSecret master = weir::net::new_ticket_secret(1000);
  TicketKeys early(master, kHour);
  const auto first = early.current(1000);
  weir::net::advance(master, 1000 + 3 * kHour / 2, kHour);
  TicketKeys late(master, kHour);
  const std::uint64_t now = 1000 + 3 * kHour / 2;
  CHECK(same(early.current(now), late.current(now)));
  CHECK(!same(first, late.current(now)));
  // The previous period's is still known to both, and known to be old.
  for (TicketKeys* keys : {&early, &late}) {
    const auto found = keys->find(first.name, now);
    REQUIRE(found.key != nullptr);
    CHECK(same(*found.key, first));
    CHECK(!found.is_current);
  }
  const std::uint64_t later = now + kHour;
  CHECK(early.find(first.name, later).key == nullptr);
  CHECK(late.find(first.name, later).key == nullptr);
  CHECK(same(early.current(later), late.current(later)));
}

TEST_CASE("ticket keys: masters have different ones, and the past cannot be computed") {
  TicketSecret one = weir::net::new_ticket_secret(0);
  const TicketSecret other = weir::net::new_ticket_secret(0);
  CHECK(!same(TicketKeys(one, kHour).current(0), TicketKeys(other, kHour).current(0)));
  const auto chain = one.chain;
  weir::net::advance(one, 10 * kHour, kHour);
  CHECK(one.since_ms == 10 * kHour);
  CHECK(one.chain != chain);
}

TEST_CASE("certificates that are none are refused by name") {
  CHECK(why_not({"c", "", "", ""}).starts_with("certificate c: no certificate in PEM form"));
  CHECK(why_not({"c", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "", ""})
            .starts_with("certificate c: no certificate in PEM form"));
  CHECK(!weir::net::certificate_expiry({"c", "x", "", ""}));
}
