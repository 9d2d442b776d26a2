// One HTTP client of a worker, and the request that it has under way. Owner: http::Server's table;
// referred to by handle {index, generation} across event-loop turns.
//
// A connection has at most one Exchange; pipelined requests wait in `in`. A room may take the
// socket out of the server (Server::detach): then the exchange is the room's alone until it ends.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/log.h"
#include "common/proto/http/chunked.h"
#include "common/proto/http/cors.h"
#include "common/proto/http/forwarded.h"
#include "common/proto/http/head.h"
#include "workers/core/access_logger.h"
#include "workers/core/side.h"

namespace weir::http {

class Room;
struct Port;

struct ConnHandle {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;
  friend bool operator==(const ConnHandle&, const ConnHandle&) = default;
};

// The body of a request while the server collects it.
struct BodyIntake {
  Body framing;
  std::uint64_t left = 0;  // of a body with a length
  std::size_t most = 0;    // bytes; a longer one is refused with 413
  ChunkedDecoder chunked;
  std::string text;
};

// What the server knows of a request. A room derives what it needs from this; it ends, and is
// destroyed, when its answer is written or its client has gone.
struct Exchange {
  Exchange() = default;
  Exchange(Exchange&&) = default;
  Exchange& operator=(Exchange&&) = default;
  virtual ~Exchange() = default;

  Room* room = nullptr;  // null: the server itself answers
  Method method = Method::kGet;
  bool client_keep_alive = true;
  bool http10 = false;
  bool https = false;         // the client's connection to the outermost proxy
  bool head_sent = false;     // the client has (part of) a response
  bool answered = false;      // all of the response is in the connection's output
  bool output_waits = false;  // bytes for the client wait outside of the connection's output
  bool takes_input = true;    // false: what the client sends now is for somebody else
  std::uint16_t status = 0;
  std::uint64_t deadline_ms = 0;  // the room's, for Room::check_time; 0: none
  std::unique_ptr<BodyIntake> intake;
  std::string key;  // of the stream, for logs
  ClientIdentity identity;
  std::unique_ptr<CorsAsk> cors;  // null: nobody has to be named
};

// What the access log will say of the request.
struct AccessMark {
  bool media = true;  // what is sent now counts as the first byte
  std::uint64_t started_ms = 0;
  std::uint64_t first_byte_ms = 0;
  std::uint64_t request_bytes = 0;  // of its head
  std::uint64_t from_before = 0;    // of the connection's bytes: what is not this request's
  std::uint64_t to_before = 0;
  std::unique_ptr<AccessTexts> texts;
};

struct Connection {
  SessionId id = 0;
  std::uint32_t generation = 0;
  bool used = false;
  bool behind_tls = false;        // a balancer ended the client's TLS
  bool closing = false;           // ends when its output is written
  bool discard = false;           // before it is closed, what the client still sends is thrown away
  bool lingering = false;         // that is being done
  bool client_eof = false;        // it sends no more requests
  bool between_requests = false;  // kept alive, and no byte of the next one has come
  bool head_begun = false;        // part of a head has come; deadline_ms counts from its first byte
  bool in_list = false;           // in Server::busy_, which the timer looks at
  bool detached = false;          // the socket is a room's
  bool work = false;              // something has changed since the last round
  bool queued = false;            // in Server::ready_
  std::uint32_t list_index = 0;
  const Port* port = nullptr;
  Endpoint client;
  std::optional<std::uint64_t> address_group;  // that it is counted under
  std::uint64_t accepted_ms = 0;
  std::uint64_t last_move_ms = 0;
  std::uint64_t deadline_ms = 0;  // for the whole request, or for the next one to begin; 0: none
  std::uint64_t bytes_from_client = 0;
  std::uint64_t bytes_to_client = 0;
  Side side;
  std::vector<std::uint8_t> in;  // requests that are not parsed yet
  RequestParser parser;
  AccessMark mark;
  std::unique_ptr<Exchange> exchange;
};

}  // namespace weir::http
