// ApiCalls: asks the origins' HTTP APIs on behalf of clients of the API port, all at once, and
// makes one answer of theirs. Owner: HttpWorker. A call belongs to this object from start() until
// it is answered or cancelled; every connection, tree and timer of it goes with it.
//
//   list, rows:  all origins are asked; answered when all are done, or at the deadline with what is
//                there (an origin that is down, slow or talks nonsense is named, and spoils
//                nothing)
//   item:        all are asked; the first that has it is the answer
//   remove:      all are asked; the one that has it gets the DELETE, several are a conflict
//
// Of an origin's addresses the first that takes a connection is asked; each has its share of the
// time. It is not a data path: bytes are few, each connection is used once. Bounds: calls at once,
// connections of a call, bytes of one origin's answer and of all of a call's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/proto/http/head.h"
#include "ipc/route_reader.h"
#include "workers/core/event_ptr.h"
#include "workers/core/origin_connect.h"
#include "workers/core/poller.h"
#include "workers/http/api_merge.h"
#include "workers/http/api_plan_session.h"

namespace weir::http {

class ApiCalls {
 public:
  using CallId = std::uint64_t;  // never 0
  using OnAnswer = std::function<void(CallId call, const ApiAnswer& answer)>;

  ApiCalls(event_base* base, const ipc::StateView& state, OriginTls& tls, std::uint64_t timeout_ms,
           OnAnswer on_answer);
  ~ApiCalls();

  struct Started {
    CallId call = 0;
    std::optional<ApiAnswer> answer;  // there is no call: this is the answer already
  };
  // `authorization` goes to the origins as it is, if not empty.
  Started start(ApiPlan plan, std::string_view authorization);
  // Closes all connections of the call; it will not be answered.
  void cancel(CallId call);
  std::size_t size() const { return active_; }

 private:
  struct OriginCall;
  struct Call;

  void choose_origins(Call& call) const;
  void add_part(Call& call, std::uint32_t slot, const ipc::OriginRecord& record) const;
  void start_parts(Call& call);
  void begin(Call& call, OriginCall& part);
  void connect(Call& call, OriginCall& part);
  void after_connect(Call& call, OriginCall& part, const ConnectStep& step);
  void address_failed(Call& call, OriginCall& part, std::string_view why, bool theirs);
  std::string request_for(const Call& call, const OriginCall& part) const;
  void on_ready(std::uint64_t token, std::uint32_t events);
  void go_on(Call& call);
  void arm_timer(Call& call);
  void on_timer(CallId id);
  void on_timeout(Call& call);
  Call* find(CallId id);
  void exchange(Call& call, OriginCall& part);
  void take(Call& call, OriginCall& part, ByteView bytes);
  void end_part(Call& call, OriginCall& part, std::string_view failure);
  std::optional<ApiAnswer> progress(Call& call);
  std::optional<ApiAnswer> remove_from_owner(Call& call);
  static ApiAnswer removed(Call& call);
  void close(CallId id);

  event_base* base_;
  const ipc::StateView& state_;
  OriginConnect connect_;
  std::uint64_t timeout_ms_;
  OnAnswer on_answer_;
  Poller poller_;
  std::vector<std::unique_ptr<Call>> calls_;
  std::vector<std::uint32_t> generations_;  // of calls_
  std::vector<std::uint8_t> read_buffer_;
  std::size_t active_ = 0;
};

}  // namespace weir::http
