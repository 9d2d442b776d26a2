// HttpWorker: its lines in the access log, one a request; a live stream has its line at its end.
#include "common/base/clock.h"
#include "workers/http/http_worker.h"

namespace weir::http {

// A request begins; `buffered` bytes of it, and of what follows it, have been read.
void HttpWorker::begin_mark(HttpConn& conn, std::size_t buffered) {
  conn.mark = AccessMark{};
  conn.mark.started_ms = monotonic_ms();
  conn.mark.from_before = conn.bytes_from_client - buffered;
  conn.mark.to_before = conn.bytes_to_client;
}

void HttpWorker::mark_request(HttpConn& conn, const RequestHead& head) {
  conn.mark.method = head.method;
  conn.mark.https = conn.exchange->identity.https;
  conn.mark.request_bytes = head.consumed;
  if (!access_log_enabled()) return;
  std::string target;
  head.append_target(target);
  conn.mark.texts = remember_access(target, head.fields.get(HeaderId::kUserAgent),
                                    head.fields.get(HeaderId::kReferer));
}

// Bytes that the client's socket has taken.
void HttpWorker::note_sent(HttpConn& conn, std::size_t bytes) {
  conn.bytes_to_client += bytes;
  counters_.add(ipc::Counter::kHttpBytesToClients, bytes);
  if (bytes > 0 && conn.mark.media && conn.mark.first_byte_ms == 0) {
    conn.mark.first_byte_ms = monotonic_ms();
  }
}

// The origin with the endpoint that was used.
std::string HttpWorker::used_origin_text(const Exchange& x) const {
  ipc::OriginRecord record;
  if (!state_.read_origin(x.origin, record)) return "";
  const std::string name(record.name);
  return x.endpoint.empty() ? name : name + "@" + to_string(x.endpoint);
}

AccessRecord HttpWorker::access_record(const HttpConn& conn, EndReason reason) const {
  const AccessMark& mark = conn.mark;
  AccessRecord record;
  record.session = conn.id;
  record.protocol = conn.api ? "api" : mark.https ? "https" : "http";
  record.client = conn.client;
  record.bytes_to_client = conn.bytes_to_client - mark.to_before;
  record.duration_ms = monotonic_ms() - mark.started_ms;
  if (mark.first_byte_ms != 0) record.first_byte_ms = mark.first_byte_ms - mark.started_ms;
  record.reason = to_string(reason);
  return record;
}

void HttpWorker::log_exchange(HttpConn& conn, EndReason reason) {
  if (!access_log_enabled()) return;
  const Exchange& x = *conn.exchange;
  if (conn.mark.texts) conn.mark.texts->origin = used_origin_text(x);
  AccessRecord record = access_record(conn, reason);
  if (conn.mark.texts) record.method = to_string(x.method);  // else no head could be read
  if (!x.identity.client.empty()) record.client = x.identity.client;
  record.stream = x.key;
  if (x.head_sent) record.status = x.status;
  record.bytes_from_client = conn.mark.request_bytes;
  access_log_.write(record, conn.mark.texts.get());
}

void HttpWorker::log_relay_end(const HttpConn& conn, EndReason reason) {
  AccessRecord record = access_record(conn, reason);
  record.method = to_string(conn.mark.method);
  record.stream = conn.key;
  record.status = conn.mark.status;
  record.bytes_from_client = conn.bytes_from_client - conn.mark.from_before;
  access_log_.write(record, conn.mark.texts.get());
}

// The connection ends with part of a request's head in it.
void HttpWorker::log_broken_request(const HttpConn& conn, EndReason reason) {
  AccessRecord record = access_record(conn, reason);
  record.bytes_from_client = conn.in.size();
  access_log_.write(record, nullptr);
}

}  // namespace weir::http
