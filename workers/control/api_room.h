// ApiRoom: the System API's place in an http::Server. A request, body and all, becomes a value for
// Api; Api's answers, which may have waited for the master's, go back to the client if it is still
// there. Owner: ControlWorker.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "workers/control/api.h"
#include "workers/core/http_room.h"
#include "workers/core/http_server.h"

namespace weir::control {

inline constexpr std::string_view kJson = "application/json";

class ApiRoom : public http::Room {
 public:
  // `master_uid`: the workers' user, if it is another one, may not order anything about.
  ApiRoom(http::Server& server, Api& api, std::uint32_t master_uid)
      : server_(server), api_(api), master_uid_(master_uid) {}

  // Api's answer. `client` may have gone.
  void respond(http::ConnHandle client, const HttpResponse& response);

  bool begin(std::uint32_t index, const http::RequestHead& head, http::Exchange& basics) override;
  void on_body(std::uint32_t index, std::string&& body) override;
  void refuse_body(std::uint32_t index, int status, std::string_view why) override;

 private:
  struct ApiExchange;

  http::Server& server_;
  Api& api_;
  std::uint32_t master_uid_;
};

}  // namespace weir::control
