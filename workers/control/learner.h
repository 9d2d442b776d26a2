// Learner: asks each origin's own API for the streams that are published there, again and again,
// and tells the master what differs from the shared state (docs/STREAMS.md, "Learned"). Which API
// an origin has is found out by what answers, as learn.mode allows: SRS's at its API endpoints,
// then nginx-rtmp's statistics there and at its HTTP endpoints.
//
// Bounds: kConcurrent questions at once, learn.timeout and learn.max_answer an answer,
// learn.max_streams an origin, kNewsPerSecond messages; and a fiftieth of a core: what answers cost
// is measured, and those that cost most are asked less often.
// Owner: the control worker; must die before the event base and the MasterLink.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/config/config.h"
#include "ipc/counters.h"
#include "ipc/messages.h"
#include "ipc/route_reader.h"
#include "workers/control/learn_book.h"
#include "workers/control/learn_call.h"
#include "workers/core/event_ptr.h"
#include "workers/core/origin_connect.h"

namespace weir::control {

// Of loads (shares of a core), some of which are too large: what each of those may be, so that all
// together are no more than `budget`. Infinite if they are not.
double fair_share(std::vector<double> loads, double budget);

class Learner {
 public:
  struct Send {
    LearnSend stream;
    std::function<void(ipc::OriginLearn&)> state;
  };
  Learner(event_base* base, const Config& config, const ipc::StateView& state,
          ipc::Counters& counters, Send send);
  ~Learner();
  Learner(const Learner&) = delete;
  Learner& operator=(const Learner&) = delete;

  void stop();

 private:
  // Where an origin may be asked, and for what.
  struct Place {
    ipc::LearnApi api = ipc::LearnApi::kSrs;
    ipc::EndpointKind kind = ipc::EndpointKind::kApi;
    std::size_t address = 0;
    bool operator==(const Place&) const = default;
  };
  struct Source;

  std::vector<Place> places_of(const ipc::OriginRecord& record) const;
  static std::size_t place_before(const std::vector<Place>& places,
                                  const ipc::OriginRecord& record);
  void look_at_origins(std::uint64_t now_ms);
  void look_at_rows();
  void tick();
  void start_due(std::uint64_t now_ms);
  void begin(Source& source, std::uint64_t now_ms);
  void ask(Source& source, const ipc::OriginRecord& record, std::uint64_t now_ms);
  void on_row(Source& source, const origin_api::StreamRow& row);
  void on_end(Source& source, const LearnResult& result);
  bool next_page(Source& source, const LearnResult& result, std::uint64_t now_ms);
  void succeed(Source& source, const LearnResult& result);
  void fail(Source& source, const LearnResult& result, std::uint64_t now_ms);
  void fail_place(Source& source, const LearnResult& result, std::uint64_t now_ms);
  void tell_failure(Source& source, const LearnResult& result);
  void report(const Source& source, ipc::LearnApi api, ipc::LearnState state);
  void count(Source& source, const LearnResult& result);
  void set_intervals();

  event_base* base_;
  const Config& config_;
  const route::Aliases aliases_;
  const ipc::StateView& state_;
  ipc::Counters& counters_;
  Send send_;
  LearnSend limited_;  // the same, within the bound
  OriginTls tls_;
  OriginConnect connect_;
  std::vector<std::uint8_t> buffer_;
  std::map<std::uint32_t, std::unique_ptr<Source>> sources_;  // by slot of the origin
  std::uint32_t last_started_ = 0;
  std::uint64_t news_left_;
  const std::uint64_t started_ms_;
  std::uint64_t next_look_ms_ = 0;
  std::uint64_t next_rows_ms_ = 0;
  std::uint64_t next_intervals_ms_ = 0;
  EventPtr timer_;
};

}  // namespace weir::control
