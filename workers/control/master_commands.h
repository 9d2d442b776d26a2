// MasterCommands: what operators order of the whole instance (docs/API.md, "The control socket"):
// reload, upgrade, stop and their like. Only over the control socket; the answer comes when the
// master says what has become of it. Owner: Api.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "ipc/command_messages.h"
#include "workers/control/http_message.h"
#include "workers/core/http_connection.h"

namespace weir::control {

class MasterCommands {
 public:
  // Returns the number of the request, 0 when the master is out of reach.
  using Send = std::function<std::uint32_t(ipc::MasterCommand&)>;
  using Respond = std::function<void(http::ConnHandle, const HttpResponse&)>;
  MasterCommands(Send send, Respond respond)
      : send_(std::move(send)), respond_(std::move(respond)) {}

  // What a POST to the path orders, if anything.
  static std::optional<ipc::MasterAction> action_of(std::string_view path);
  // True when the answer comes later.
  bool order(const HttpRequest& request, ipc::MasterAction action, http::ConnHandle client,
             HttpResponse& response);
  void on_news(const ipc::CommandNews& news);
  void expire(std::uint64_t now_ms);

 private:
  struct Pending {
    http::ConnHandle client;
    std::uint64_t deadline_ms = 0;
    std::string text;
  };
  Send send_;
  Respond respond_;
  std::unordered_map<std::uint32_t, Pending> pending_;  // bounded by the open connections
};

}  // namespace weir::control
