#include "workers/control/learner.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "ipc/origin_walk.h"

namespace weir::control {
namespace {

using ipc::EndpointKind;
using ipc::LearnApi;
using ipc::LearnMode;
using ipc::LearnState;

constexpr std::ptrdiff_t kConcurrent = 32;
constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::uint64_t kTickMs = 50;
constexpr std::uint64_t kLookMs = 500;   // for new origins
constexpr std::uint64_t kRowsMs = 5000;  // for rows that others have told of; then twice as long
constexpr std::uint64_t kSoonMs = 200;   // for the rows, after the first whole answer
constexpr std::uint64_t kNewsPerSecond = 50000;
constexpr std::uint64_t kNewsAtOnce = 50000;  // the channel takes 65,536
constexpr std::size_t kPageRows = 1000;       // of SRS, which gives as many as are asked for
constexpr std::uint32_t kMaxFails = 3;        // answers in a row
constexpr double kCpuShare = 0.017;  // of a core; with what is not measured of it, a fiftieth
// Where nobody answers it costs nothing to ask again soon; where something else does, it is rude.
constexpr std::uint64_t kSilentRetryMs = 2000;
constexpr std::uint64_t kOtherRetryMs = 10000;
constexpr std::uint64_t kOtherRetryMaxMs = 60000;

// What an operator may do about it; empty: nothing here.
std::string_view advice(LearnEnd end) {
  switch (end) {
    case LearnEnd::kForbidden:
      return "allow this machine there, or put `learn off` into the origin's block";
    case LearnEnd::kStatus:
    case LearnEnd::kOtherApi:
      return "none is needed; `learn off` in the origin's block spares it the questions";
    case LearnEnd::kTooLarge:
      return "raise learn.max_answer; nginx-rtmp says less with `rtmp_stat global live`";
    case LearnEnd::kWhole:
    case LearnEnd::kNoVerdict:
    case LearnEnd::kUnreachable:
    case LearnEnd::kTimeout:
    case LearnEnd::kBroken:
      break;
  }
  return {};
}

std::string why_text(const LearnResult& result) {
  std::string text;
  switch (result.end) {
    case LearnEnd::kForbidden:
    case LearnEnd::kStatus:
      text = "it answers " + std::to_string(result.status);
      break;
    case LearnEnd::kOtherApi:
      text = "it answers something else";
      break;
    case LearnEnd::kTooLarge:
      text = "its answer is longer than learn.max_answer";
      break;
    case LearnEnd::kBroken:
      text = "its answer is broken";
      break;
    case LearnEnd::kWhole:
    case LearnEnd::kNoVerdict:
    case LearnEnd::kUnreachable:
    case LearnEnd::kTimeout:
      text = "it does not answer";
      break;
  }
  return result.why.empty() ? text : text + ": " + result.why;
}

// Not what is to be expected of whoever has no such API.
bool is_fault(LearnEnd end) {
  return end != LearnEnd::kStatus && end != LearnEnd::kOtherApi;
}

// Whether somebody is there.
bool has_answered(LearnEnd end) {
  return end != LearnEnd::kUnreachable && end != LearnEnd::kTimeout && end != LearnEnd::kNoVerdict;
}

}  // namespace

double fair_share(std::vector<double> loads, double budget) {
  std::sort(loads.begin(), loads.end());
  for (std::size_t i = 0; i < loads.size(); ++i) {
    const double each = budget / static_cast<double>(loads.size() - i);
    if (loads[i] > each) return each;
    budget -= loads[i];
  }
  return std::numeric_limits<double>::infinity();
}

struct Learner::Source {
  Source(const ipc::StateView& state, const LearnSend& send, ipc::OriginRef ref,
         const route::Aliases& aliases)
      : origin(ref), book(state, send, ref, aliases) {}

  ipc::OriginRef origin;
  std::string name;
  bool seen = false;
  std::vector<Place> places;
  std::size_t place = 0;
  bool settled = false;   // that place has answered
  bool answered = false;  // of the places, some did
  std::uint32_t fails = 0;
  std::uint64_t retry_ms = kOtherRetryMs;
  std::uint64_t due_ms = 0;
  std::uint64_t interval_ms = 0;
  LearnEnd told = LearnEnd::kWhole;  // the failure that was logged last
  bool told_many = false;
  LearnBook book;

  // Of the answer that comes, or the last one.
  std::unique_ptr<LearnCall> call;
  // Its rows are told, as whole answers were there before (LearnState::kFresh). The first one may
  // break off, and no later one would prove gone what it has shown.
  bool tells = false;
  std::uint64_t started_ms = 0;
  std::uint64_t deadline_ms = 0;
  std::size_t pages = 0;
  std::size_t rows = 0;  // published or not: where the next page begins
  std::size_t published = 0;
  std::size_t taken = 0;  // of these
  std::size_t skipped = 0;
  std::uint64_t bytes = 0;
  std::uint64_t cpu_ns = 0;
  std::uint64_t last_cpu_ns = 0;
  std::uint64_t pid = 0;
};

Learner::Learner(event_base* base, const Config& config, const ipc::StateView& state,
                 ipc::Counters& counters, Send send)
    : base_(base),
      config_(config),
      aliases_(route::aliases_of(config.aliases)),
      state_(state),
      counters_(counters),
      send_(std::move(send)),
      tls_(config),
      connect_(tls_, {}),
      buffer_(kReadBytes),
      news_left_(kNewsAtOnce),
      started_ms_(monotonic_ms()),
      timer_(make_timer<&Learner::tick>(base, this)) {
  const auto limit = [this](auto& send_one) {
    return [this, &send_one](auto& message) {
      if (news_left_ == 0 || !send_one(message)) return false;
      --news_left_;
      counters_.add(ipc::Counter::kLearnNews);
      return true;
    };
  };
  limited_.learned = limit(send_.stream.learned);
  limited_.unlearned = limit(send_.stream.unlearned);
  counters_.add(ipc::Counter::kLearnIntervalMilliseconds, config_.learn.interval);
  arm(timer_, 0);
}

Learner::~Learner() = default;

void Learner::stop() {
  timer_.reset();
  sources_.clear();
  // While this process ends its connections the next one's counts.
  counters_.sub(ipc::Counter::kLearnIntervalMilliseconds,
                counters_.get(ipc::Counter::kLearnIntervalMilliseconds));
}

void Learner::tick() {
  const std::uint64_t now = monotonic_ms();
  news_left_ = std::min(news_left_ + kNewsPerSecond * kTickMs / 1000, kNewsAtOnce);
  if (now >= next_look_ms_) {
    next_look_ms_ = now + kLookMs;
    look_at_origins(now);
  }
  if (now >= next_rows_ms_) {
    next_rows_ms_ = now + std::max(kRowsMs, now - started_ms_);
    look_at_rows();
  }
  if (now >= next_intervals_ms_) {
    next_intervals_ms_ = now + 1000;
    set_intervals();
  }
  for (auto& [slot, source] : sources_) {
    if (source->call && now >= source->deadline_ms) source->call->time_out();
  }
  start_due(now);
  arm(timer_, kTickMs);
}

std::vector<Learner::Place> Learner::places_of(const ipc::OriginRecord& record) const {
  std::vector<Place> places;
  if (record.learn_mode == LearnMode::kOff || record.state == ipc::OriginState::kDead)
    return places;
  const auto add = [&](LearnApi api, EndpointKind kind) {
    const std::size_t count = record.endpoint_count[static_cast<std::size_t>(kind)];
    for (std::size_t i = 0; i < std::min(count, limits::kEndpointsPerKind); ++i) {
      places.push_back({api, kind, i});
    }
  };
  if (record.learn_mode != LearnMode::kNginxRtmp) add(LearnApi::kSrs, EndpointKind::kApi);
  if (record.learn_mode == LearnMode::kSrs && places.empty())
    add(LearnApi::kSrs, EndpointKind::kHttp);
  if (record.learn_mode == LearnMode::kSrs) return places;
  add(LearnApi::kNginxRtmp, EndpointKind::kApi);
  add(LearnApi::kNginxRtmp, EndpointKind::kHttp);
  return places;
}

// Where the process before this one was answered, else the first.
std::size_t Learner::place_before(const std::vector<Place>& places,
                                  const ipc::OriginRecord& record) {
  if (record.learn_state != LearnState::kFresh) return 0;
  const auto found = std::find_if(places.begin(), places.end(), [&](const Place& place) {
    return place.api == record.learn_api;
  });
  return found == places.end() ? 0 : static_cast<std::size_t>(found - places.begin());
}

void Learner::look_at_origins(std::uint64_t now_ms) {
  for (auto& [slot, source] : sources_) source->seen = false;
  ipc::each_origin(state_, [&](ipc::OriginRef ref, const ipc::OriginRecord& record) {
    std::vector<Place> places = places_of(record);
    if (places.empty()) {
      // It was asked by the process before this one, or by another configuration.
      if (record.learn_state != LearnState::kUnknown && record.learn_mode == LearnMode::kOff) {
        ipc::OriginLearn message;
        message.origin = ref;
        send_.state(message);
      }
      return;
    }
    std::unique_ptr<Source>& source = sources_[ref.slot];
    if (!source || !(source->origin == ref)) {
      source = std::make_unique<Source>(state_, limited_, ref, aliases_);
      source->places = std::move(places);
      source->due_ms = now_ms;
      source->interval_ms = config_.learn.interval;
      source->place = place_before(source->places, record);
      next_rows_ms_ = now_ms;
    } else if (source->places != places && !source->call) {
      source->places = std::move(places);
      source->place = 0;
      source->settled = false;
    }
    source->name = text_of(record.name);
    source->seen = true;
  });
  std::erase_if(sources_, [](const auto& entry) { return !entry.second->seen; });
}

// What others have told of stays in the table until an answer here proves it gone: the process
// before this one, whose last news may come after this one's first answer, or an earlier service.
void Learner::look_at_rows() {
  std::map<Source*, std::vector<std::uint32_t>> rows;
  for (std::uint32_t slot = 0; slot < state_.header().stream_capacity; ++slot) {
    ipc::StreamHead head;
    if (!state_.read_stream_head(slot, head)) continue;
    if (!head.has(ipc::kLearned) && !head.has(ipc::kKept)) continue;
    const auto found = sources_.find(head.origin_slot);
    if (found == sources_.end() || found->second->call) continue;
    Source& source = *found->second;
    if (source.origin == ipc::OriginRef{head.origin_slot, head.origin_generation}) {
      rows[&source].push_back(slot);
    }
  }
  for (const auto& [source, slots] : rows) source->book.know(slots);
}

void Learner::start_due(std::uint64_t now_ms) {
  auto running = std::count_if(sources_.begin(), sources_.end(),
                               [](const auto& entry) { return entry.second->call != nullptr; });
  auto it = sources_.upper_bound(last_started_);
  for (std::size_t left = sources_.size(); left > 0 && running < kConcurrent; --left) {
    if (it == sources_.end()) it = sources_.begin();
    Source& source = *it->second;
    if (!source.call && now_ms >= source.due_ms) {
      last_started_ = it->first;
      begin(source, now_ms);
      if (source.call) ++running;
    }
    ++it;
  }
}

void Learner::begin(Source& source, std::uint64_t now_ms) {
  ipc::OriginRecord record;
  if (!state_.read_origin(source.origin, record)) return;
  if (source.place >= source.places.size()) source.place = 0;
  const Place& place = source.places[source.place];
  if (place.address >= record.endpoint_count[static_cast<std::size_t>(place.kind)]) {
    source.due_ms = now_ms + kLookMs;  // its endpoints are looked at by then
    return;
  }
  source.tells = record.learn_state == LearnState::kFresh;
  source.started_ms = now_ms;
  source.due_ms = now_ms + source.interval_ms;
  source.pages = source.rows = source.published = source.taken = source.skipped = 0;
  source.bytes = source.cpu_ns = 0;
  source.book.begin_answer();
  ask(source, record, now_ms);
}

void Learner::ask(Source& source, const ipc::OriginRecord& record, std::uint64_t now_ms) {
  const Place& place = source.places[source.place];
  LearnQuestion question;
  question.target = target_of(
      record, place.kind, record.endpoints[static_cast<std::size_t>(place.kind)][place.address]);
  question.api = place.api;
  question.path = config_.learn.stat_path;
  if (place.api == LearnApi::kSrs) {
    question.path = "/api/v1/streams/?start=" + std::to_string(source.rows) +
                    "&count=" + std::to_string(kPageRows);
  }
  question.body_max = config_.learn.max_answer - std::min(config_.learn.max_answer, source.bytes);
  source.deadline_ms = now_ms + config_.learn.timeout;
  ++source.pages;
  source.call = std::make_unique<LearnCall>(
      base_, connect_, std::move(question), MutableBytes(buffer_),
      [this, &source](const origin_api::StreamRow& row) { on_row(source, row); },
      [this, &source](const LearnResult& result) { on_end(source, result); });
  source.call->start();
}

void Learner::on_row(Source& source, const origin_api::StreamRow& row) {
  const bool too_many = ++source.published > static_cast<std::uint64_t>(config_.learn.max_streams);
  if (!source.tells) return;
  ++(!too_many && source.book.take(row) ? source.taken : source.skipped);
}

void Learner::on_end(Source& source, const LearnResult& result) {
  const std::unique_ptr<LearnCall> ended = std::move(source.call);  // which calls this
  const std::uint64_t now = monotonic_ms();
  source.bytes += result.bytes;
  source.cpu_ns += result.cpu_ns;
  source.rows += result.rows;
  source.skipped += result.skipped;
  if (result.end == LearnEnd::kWhole && next_page(source, result, now)) return;
  const std::uint64_t begun = thread_cpu_ns();
  if (result.end == LearnEnd::kWhole) {
    succeed(source, result);
  } else {
    source.book.end_answer(LearnBook::Proof::kNothing);
    fail(source, result, now);
  }
  source.cpu_ns += thread_cpu_ns() - begun;
  count(source, result);
}

// SRS tells in pages. A full one may be the last.
bool Learner::next_page(Source& source, const LearnResult& result, std::uint64_t now_ms) {
  ipc::OriginRecord record;
  if (source.places[source.place].api != LearnApi::kSrs || result.rows < kPageRows ||
      source.rows >= static_cast<std::uint64_t>(config_.learn.max_streams) + kPageRows ||
      !state_.read_origin(source.origin, record)) {
    return false;
  }
  ask(source, record, now_ms);
  return true;
}

void Learner::succeed(Source& source, const LearnResult& result) {
  const bool too_many = source.published > static_cast<std::uint64_t>(config_.learn.max_streams);
  const bool same_process = source.pid == 0 || result.pid == 0 || source.pid == result.pid;
  source.pid = result.pid;
  LearnBook::Proof proof = source.pages > 1 ? LearnBook::Proof::kSuspect : LearnBook::Proof::kGone;
  const bool more_to_come = result.rows >= kPageRows;  // than is read of one origin
  if (too_many || more_to_come || !same_process || !source.tells) {
    proof = LearnBook::Proof::kNothing;
  }
  source.book.end_answer(proof);
  if (!source.tells) source.due_ms = source.started_ms + kSoonMs;
  if (too_many && !std::exchange(source.told_many, true)) {
    LogLine(LogLevel::kWarn,
            "origin shows more streams than learn.max_streams, the rest is not learned")
        .field("origin", source.name)
        .field("max_streams", config_.learn.max_streams);
  }
  source.settled = true;
  source.fails = 0;
  source.retry_ms = kOtherRetryMs;
  source.told = LearnEnd::kWhole;
  report(source, source.places[source.place].api, LearnState::kFresh);
}

void Learner::fail(Source& source, const LearnResult& result, std::uint64_t now_ms) {
  if (result.end == LearnEnd::kNoVerdict) return;
  ipc::OriginRecord record;
  const bool was_fresh =
      state_.read_origin(source.origin, record) && record.learn_state == LearnState::kFresh;
  if (++source.fails < kMaxFails && (source.settled || was_fresh)) return;
  if (was_fresh) report(source, record.learn_api, LearnState::kFailing);
  if (std::exchange(source.settled, false)) tell_failure(source, result);
  fail_place(source, result, now_ms);
}

// The next place is asked at once; when all have been, after a while, which is longer if none of
// what answers was ever such an API.
void Learner::fail_place(Source& source, const LearnResult& result, std::uint64_t now_ms) {
  source.answered = source.answered || has_answered(result.end);
  if (++source.place < source.places.size()) {
    source.due_ms = now_ms;
    if (is_fault(result.end)) tell_failure(source, result);
    return;
  }
  source.place = 0;
  tell_failure(source, result);
  ipc::OriginRecord record;
  const bool has_api =
      state_.read_origin(source.origin, record) && record.learn_state != LearnState::kUnknown;
  if (std::exchange(source.answered, false) && !has_api) {
    source.due_ms = now_ms + source.retry_ms;
    source.retry_ms = std::min(source.retry_ms * 2, kOtherRetryMaxMs);
  } else {
    source.due_ms = now_ms + std::max(kSilentRetryMs, source.interval_ms);
  }
}

// Once, until it answers. That nobody is there is the health probes' to tell.
void Learner::tell_failure(Source& source, const LearnResult& result) {
  if (!has_answered(result.end) && result.end != LearnEnd::kTimeout) return;
  if (source.told != LearnEnd::kWhole) return;
  source.told = result.end;
  LogLine line(is_fault(result.end) ? LogLevel::kWarn : LogLevel::kInfo,
               "no streams are learned from this origin");
  line.field("origin", source.name).field("why", why_text(result));
  if (const std::string_view what = advice(result.end); !what.empty()) line.field("advice", what);
}

// What the state says already is not repeated; what got lost is.
void Learner::report(const Source& source, LearnApi api, LearnState state) {
  ipc::OriginRecord record;
  if (!state_.read_origin(source.origin, record)) return;
  if (record.learn_api == api && record.learn_state == state) return;
  ipc::OriginLearn message;
  message.origin = source.origin;
  message.api = api;
  message.state = state;
  send_.state(message);
}

void Learner::count(Source& source, const LearnResult& result) {
  const bool whole = result.end == LearnEnd::kWhole;
  counters_.add(whole ? ipc::Counter::kLearnAnswersWhole : ipc::Counter::kLearnAnswersFailed);
  counters_.add(ipc::Counter::kLearnRows, source.taken);
  counters_.add(ipc::Counter::kLearnRowsSkipped, source.skipped);
  counters_.add(ipc::Counter::kLearnBytes, source.bytes);
  counters_.add(ipc::Counter::kLearnCpuMicroseconds, source.cpu_ns / 1000);
  source.last_cpu_ns = source.cpu_ns;
}

// Whoever costs more than a fair share of what all may cost is asked less often.
void Learner::set_intervals() {
  constexpr double kNsPerMs = 1e6;
  const auto interval = static_cast<double>(config_.learn.interval);
  std::vector<double> loads;
  loads.reserve(sources_.size());
  for (const auto& [slot, source] : sources_) {
    loads.push_back(static_cast<double>(source->last_cpu_ns) / kNsPerMs / interval);
  }
  const double share = fair_share(std::move(loads), kCpuShare);
  std::uint64_t longest = config_.learn.interval;
  for (const auto& [slot, source] : sources_) {
    const double cost_ms = static_cast<double>(source->last_cpu_ns) / kNsPerMs;
    source->interval_ms = static_cast<std::uint64_t>(std::max(interval, cost_ms / share));
    if (source->settled && source->tells) {
      source->due_ms = std::max(source->due_ms, source->started_ms + source->interval_ms);
    }
    longest = std::max(longest, source->interval_ms);
  }
  counters_.add(ipc::Counter::kLearnIntervalMilliseconds,
                longest - counters_.get(ipc::Counter::kLearnIntervalMilliseconds));
}

}  // namespace weir::control
