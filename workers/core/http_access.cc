#include "workers/core/http_access.h"

#include <string>

#include "common/base/clock.h"
#include "workers/core/http_server.h"

namespace weir::http {
namespace {

AccessRecord record_of(const Connection& conn, EndReason reason) {
  const AccessMark& mark = conn.mark;
  const bool https = conn.exchange && conn.exchange->https;
  AccessRecord record;
  record.session = conn.id;
  record.protocol = !conn.port->protocol.empty() ? conn.port->protocol : https ? "https" : "http";
  record.client = conn.client;
  record.bytes_to_client = conn.bytes_to_client - mark.to_before;
  record.duration_ms = monotonic_ms() - mark.started_ms;
  if (mark.first_byte_ms != 0) record.first_byte_ms = mark.first_byte_ms - mark.started_ms;
  record.reason = to_string(reason);
  return record;
}

}  // namespace

void AccessBook::begin(Connection& conn, std::size_t buffered) {
  conn.mark = AccessMark{};
  conn.mark.started_ms = monotonic_ms();
  conn.mark.from_before = conn.bytes_from_client - buffered;
  conn.mark.to_before = conn.bytes_to_client;
}

void AccessBook::note_head(Connection& conn, const RequestHead& head) {
  conn.mark.request_bytes = head.consumed;
  if (!access_log_enabled() || !conn.port->access_logged) return;
  std::string target;
  head.append_target(target);
  conn.mark.texts = remember_access(target, head.fields.get(HeaderId::kUserAgent),
                                    head.fields.get(HeaderId::kReferer));
}

void AccessBook::note_sent(Connection& conn, std::size_t bytes) {
  conn.bytes_to_client += bytes;
  if (bytes > 0 && conn.mark.media && conn.mark.first_byte_ms == 0) {
    conn.mark.first_byte_ms = monotonic_ms();
  }
}

void AccessBook::write(const Connection& conn, EndReason reason) {
  if (!access_log_enabled() || !conn.port->access_logged) return;
  const Exchange& x = *conn.exchange;
  AccessRecord record = record_of(conn, reason);
  if (conn.mark.texts) record.method = to_string(x.method);  // else no head could be read
  if (!x.identity.client.empty()) record.client = x.identity.client;
  record.stream = x.key;
  if (x.head_sent) record.status = x.status;
  record.bytes_from_client =
      conn.detached ? conn.bytes_from_client - conn.mark.from_before : conn.mark.request_bytes;
  logger_.write(record, conn.mark.texts.get());
}

void AccessBook::write_broken(const Connection& conn, EndReason reason) {
  if (!conn.port->access_logged) return;
  AccessRecord record = record_of(conn, reason);
  record.bytes_from_client = conn.in.size();
  logger_.write(record, nullptr);
}

}  // namespace weir::http
