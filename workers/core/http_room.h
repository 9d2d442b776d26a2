// Room: who answers the requests of an http::Server. A server has ports, a port has rooms; each
// request goes to the first that takes it. Owner: the worker; rooms outlive their server's
// connections.
//
//   begin() --needs a body--> on_body()     from then on the room calls Server::answer(), or writes
//      |                         |          to conn.side.out itself and sets x.answered at the end
//      +-------------------------+--> serve() each round, check_time() by the clock --> on_end()
//
// All of these are called from the server's loop, one at a time. A room that learns of something
// at another time (an answer of the master, a verdict) changes the exchange and calls
// Server::wake(): the loop comes by. Nothing that a room calls comes back into the room.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/proto/http/head.h"
#include "workers/core/http_connection.h"
#include "workers/core/tcp_worker.h"

namespace weir::http {

class Room {
 public:
  Room() = default;
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;
  virtual ~Room() = default;

  // False: no request for this room, nothing has changed. True: it is, and conn.exchange has been
  // made of `basics`. The views of `head` end with the call.
  virtual bool begin(std::uint32_t index, const RequestHead& head, Exchange& basics) = 0;
  // The body that Server::collect_body() was called for is whole.
  virtual void on_body(std::uint32_t index, std::string&& body);
  // Or it is not to be had: 400, 408, 413. The connection cannot go on.
  virtual void refuse_body(std::uint32_t index, int status, std::string_view why);
  // One step of what can be moved without waiting; `progress`: something was. May end the
  // connection.
  virtual void serve(std::uint32_t index, bool& progress);
  // About twenty times a second while the exchange lasts and its socket is the server's.
  virtual void check_time(std::uint32_t index, std::uint64_t now_ms);
  // The exchange is over, answered or not; it is destroyed after this.
  virtual void on_end(std::uint32_t index, EndReason reason);
};

}  // namespace weir::http
