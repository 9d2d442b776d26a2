// ApiRoom: the origins' HTTP APIs, aggregated: requests go to ApiCalls, and its answers to the
// clients, as JSON or as a call of the page's function (JSONP). Takes everything on the API port
// that is no signalling. Bodies are read and forgotten. Owner: HttpWorker.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "common/base/log_budget.h"
#include "workers/core/http_room.h"
#include "workers/http/api_calls.h"
#include "workers/http/http_process.h"

namespace weir::http {

class ApiRoom : public Room {
 public:
  explicit ApiRoom(const Process& process);

  bool begin(std::uint32_t index, const RequestHead& head, Exchange& basics) override;
  void on_body(std::uint32_t index, std::string&& body) override;
  void refuse_body(std::uint32_t index, int status, std::string_view why) override;
  void on_end(std::uint32_t index, EndReason reason) override;

 private:
  struct ApiExchange;

  ApiExchange& exchange(std::uint32_t index);
  bool refuse(std::uint32_t index, const RequestHead& head);
  void start(std::uint32_t index);
  void on_answer(std::uint64_t call, const ApiAnswer& what);
  void answer(std::uint32_t index, const ApiAnswer& what, std::string_view allow = {},
              bool close = false);

  Process process_;
  Server& server_;
  ApiCalls calls_;
  LogBudget refused_kicks_{10};
  std::unordered_map<std::uint64_t, std::uint32_t> waiting_;  // call -> connection
};

}  // namespace weir::http
