// The access log of an HTTP server: one line a request; a connection whose socket a room has taken
// has its line at its end. Owner: http::Server.
#pragma once

#include <cstddef>

#include "workers/core/access_logger.h"
#include "workers/core/http_connection.h"
#include "workers/core/tcp_worker.h"

namespace weir::http {

class AccessBook {
 public:
  explicit AccessBook(event_base* base) : logger_(base) {}

  // A request begins; `buffered` bytes of it, and of what follows it, have been read.
  static void begin(Connection& conn, std::size_t buffered);
  static void note_head(Connection& conn, const RequestHead& head);
  // Bytes that the client's socket has taken.
  static void note_sent(Connection& conn, std::size_t bytes);

  // REQUIRES: conn.exchange.
  void write(const Connection& conn, EndReason reason);
  // The connection ends with part of a request's head in it.
  void write_broken(const Connection& conn, EndReason reason);

 private:
  AccessLogger logger_;
};

}  // namespace weir::http
