// ApiRoom: the origins' HTTP APIs, aggregated: requests go to ApiCalls, and its answers to the
// clients. Takes everything on the API port that is no signalling. Owner: HttpWorker.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "workers/core/http_room.h"
#include "workers/http/api_calls.h"
#include "workers/http/http_process.h"

namespace weir::http {

class ApiRoom : public Room {
 public:
  explicit ApiRoom(const Process& process);

  bool begin(std::uint32_t index, const RequestHead& head, Exchange& basics) override;
  void on_end(std::uint32_t index, EndReason reason) override;

 private:
  struct ApiExchange;

  bool refuse(std::uint32_t index, const RequestHead& head);
  void start(std::uint32_t index, ApiPlan plan, std::string_view authorization);
  void on_answer(std::uint64_t call, const ApiAnswer& what);

  Process process_;
  Server& server_;
  ApiCalls calls_;
  std::unordered_map<std::uint64_t, std::uint32_t> waiting_;  // call -> connection
};

}  // namespace weir::http
