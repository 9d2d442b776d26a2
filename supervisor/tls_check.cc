#include "supervisor/tls_check.h"

#include <ctime>

#include "common/net/tls_client.h"
#include "common/net/tls_server.h"

namespace weir {

void check_tls(LoadOutcome& loaded) {
  if (!loaded.ok()) return;
  TlsSettings one = tls_settings(loaded.config);
  const std::vector<TlsCertificate> all = std::move(one.certificates);
  if (!one.origin_ca.empty()) {
    if (const auto made = net::TlsClient::make(one); !made) {
      loaded.faults.push_back(
          {"", 0, 0, made.error().text + " (" + loaded.config.tls.origin_ca + ")"});
    }
  }
  // One by one, so that each bad one is named.
  for (std::size_t i = 0; i < all.size(); ++i) {
    const CertificateConfig& from = loaded.config.certificates[i];
    one.certificates = {all[i]};
    const auto made = net::TlsServer::make(one, TicketSecret{}, net::Alpn::kNone);
    if (!made) {
      loaded.faults.push_back({from.source.text, 0, 0,
                               made.error().text + " (file " + from.file + ", key " + from.key +
                                   (from.ocsp.empty() ? "" : ", ocsp " + from.ocsp) + ")"});
      continue;
    }
    const auto end = net::certificate_expiry(all[i]);
    if (end && *end < static_cast<std::int64_t>(::time(nullptr))) {
      loaded.warnings.push_back("certificate " + all[i].name + " has expired (file " + from.file +
                                ")");
    }
  }
}

}  // namespace weir
