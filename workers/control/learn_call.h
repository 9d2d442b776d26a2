// LearnCall: one question to one of an origin's APIs, and its answer: rows of published streams,
// told while they come. Nothing of the answer is kept. Owner: the Learner, which watches the
// deadline and gives the buffer.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>

#include "common/base/bytes.h"
#include "common/proto/http/streamed_response.h"
#include "common/proto/origin_api/nginx_stat.h"
#include "common/proto/origin_api/srs_streams.h"
#include "ipc/shm_layout.h"
#include "workers/core/event_ptr.h"
#include "workers/core/origin_connect.h"
#include "workers/core/side.h"

namespace weir::control {

struct LearnQuestion {
  ConnectTarget target;
  ipc::LearnApi api = ipc::LearnApi::kSrs;
  std::string path;            // with its query
  std::uint64_t body_max = 0;  // bytes
};

enum class LearnEnd : std::uint8_t {
  kWhole,
  kNoVerdict,    // this machine lacked something
  kUnreachable,  // no connection, or no HTTP
  kTimeout,
  kForbidden,  // 401, 403
  kStatus,     // another one than 200
  kOtherApi,   // no answer of this API
  kBroken,     // one, but it was cut or has faults
  kTooLarge,
};

struct LearnResult {
  LearnEnd end = LearnEnd::kNoVerdict;
  unsigned status = 0;      // of HTTP; 0: none came
  std::string why;          // more about it; a text of ours
  std::size_t rows = 0;     // of streams, published or not; SRS
  std::size_t skipped = 0;  // without a usable name
  std::uint64_t pid = 0;    // of the process that answered; nginx
  std::uint64_t bytes = 0;  // of the body
  std::uint64_t cpu_ns = 0;
};

// CPU time of this thread, in nanoseconds.
std::uint64_t thread_cpu_ns();

class LearnCall {
 public:
  using OnRow = std::function<void(const origin_api::StreamRow&)>;
  // Called once, unless the call is destroyed before; the callee may destroy it.
  using OnEnd = std::function<void(const LearnResult&)>;

  // `buffer`: for what is read; used during events only. With TLS it must hold a record.
  LearnCall(event_base* base, OriginConnect& connect, LearnQuestion question, MutableBytes buffer,
            OnRow on_row, OnEnd on_end);
  LearnCall(const LearnCall&) = delete;
  LearnCall& operator=(const LearnCall&) = delete;

  void start();
  void time_out();

 private:
  using Reader = std::variant<origin_api::SrsStreams, origin_api::NginxStat>;
  // False: the call has ended, and result_ says how.
  bool go_on();
  bool after(const ConnectStep& step);
  bool exchange();
  bool take(ByteView bytes);
  bool take_head();
  bool take_body(ByteView data);
  bool end(LearnEnd end, std::string_view why = {});
  bool end_of_body();
  bool watch(int fd);
  void on_event(std::uint32_t events);
  void finish();

  event_base* base_;
  OriginConnect& connect_;
  LearnQuestion question_;
  MutableBytes buffer_;
  OnRow on_row_;
  OnEnd on_end_;
  Side side_;
  bool open_ = false;
  http::StreamedResponse response_;
  Reader reader_;
  LearnResult result_;
  EventPtr event_;
};

}  // namespace weir::control
