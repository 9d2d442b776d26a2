#include "workers/http/rtc_removal.h"

#include <utility>

#include "common/base/clock.h"
#include "common/base/limits.h"
#include "common/proto/http/target.h"
#include "workers/core/origin_text.h"
#include "workers/http/rtc_json.h"

namespace weir::http {
namespace {

constexpr std::size_t kRemovalsAtOnce = 32;
constexpr std::size_t kApi = static_cast<std::size_t>(ipc::EndpointKind::kApi);
// SRS tells half a kilobyte of a client; a page fits into limits::kSignalBodyBytes.
constexpr std::size_t kPageClients = 64;
constexpr std::size_t kClientsMax = 4096;  // looked through
// SRS counts from the offer on, we from its answer on, in other clocks.
constexpr std::uint64_t kClockSlackMs = 1000;

std::string line_of(std::string_view name, std::string_view value) {
  return std::string(name).append(": ").append(value).append("\r\n");
}

std::string host_line(Endpoint endpoint) {
  endpoint.scheme = Scheme::kDefault;
  return line_of("Host", to_string(endpoint));
}

std::string head_of(std::string_view method, std::string_view target, std::string_view fields) {
  return std::string(method)
      .append(" ")
      .append(target)
      .append(" HTTP/1.1\r\n")
      .append(fields)
      .append("Connection: close\r\n");
}

}  // namespace

struct RtcRemover::Removal {
  std::uint64_t id = 0;
  RtcLeftover what;
  std::function<void()> done;  // none: the session was abandoned, and nobody waits
  bool searching = false;      // among the origin's clients
  std::size_t searched = 0;    // how many of them were looked at
};

RtcRemover::RtcRemover(RtcOrigin& origins, const ipc::StateView& state, std::uint64_t time_limit_ms)
    : origins_(origins), state_(state), time_limit_ms_(time_limit_ms) {}

RtcRemover::~RtcRemover() = default;

RtcRemover::Removal& RtcRemover::add(RtcLeftover what, std::function<void()> done) {
  const std::uint64_t id = ++last_id_;
  Removal& removal = *removals_.emplace(id, std::make_unique<Removal>()).first->second;
  removal.id = id;
  removal.what = std::move(what);
  removal.done = std::move(done);
  return removal;
}

bool RtcRemover::remove(RtcLeftover what, std::function<void()> done) {
  if (what.location.empty()) return false;
  Removal& removal = add(std::move(what), std::move(done));
  const std::uint64_t id = removal.id;
  if (begin(removal)) return true;
  removals_.erase(id);
  return false;
}

// Of this and those below it: false when the removal is over.
bool RtcRemover::begin(Removal& removal) {
  const RtcLeftover& what = removal.what;
  if (!what.location.starts_with('/')) return search(removal, 0);
  std::string fields = what.host.empty() ? host_line(what.endpoint) : line_of("Host", what.host);
  if (!what.authorization.empty()) fields += line_of("Authorization", what.authorization);
  return ask(removal, Method::kDelete, what.location, fields);
}

// Asks for one page of the origin's clients after the other.
bool RtcRemover::search(Removal& removal, std::size_t from) {
  removal.searching = true;
  removal.searched = from;
  return ask(
      removal, Method::kGet,
      "/api/v1/clients/?start=" + std::to_string(from) + "&count=" + std::to_string(kPageClients),
      host_line(removal.what.endpoint));
}

bool RtcRemover::ask(Removal& removal, Method method, std::string target, std::string_view fields) {
  const RtcLeftover& what = removal.what;
  RtcOrigin::Want want;
  want.session = what.session;
  want.client = what.client;
  want.role = what.role;
  want.key = what.key;
  want.known = what.origin;
  want.endpoint = what.endpoint;
  want.only_known = true;
  want.method = method;
  want.head = head_of(method == Method::kGet ? "GET" : "DELETE", target, fields);
  want.target = std::move(target);
  want.time_limit_ms = time_limit_ms_;
  RtcOrigin::Asked asked =
      origins_.ask(std::move(want), [this, id = removal.id](RtcOrigin::Outcome&& outcome) {
        on_outcome(id, std::move(outcome));
      });
  return !asked.outcome || after(removal, std::move(*asked.outcome));
}

void RtcRemover::on_outcome(std::uint64_t id, RtcOrigin::Outcome&& outcome) {
  if (!after(*removals_.find(id)->second, std::move(outcome))) finish(id);
}

bool RtcRemover::after(Removal& removal, RtcOrigin::Outcome&& outcome) {
  removal.what.origin = outcome.origin;
  removal.what.endpoint = outcome.endpoint;
  if (outcome.state != RtcOrigin::Outcome::State::kAnswered) return false;
  if (removal.searching) return on_page(removal, *outcome.response);
  if (!removal.done) {
    LogLine(LogLevel::kInfo, "origin was told of the session's end")
        .session(removal.what.session)
        .field("stream", removal.what.key)
        .field("origin", origin_text(removal))
        .field("status", outcome.response->head().status);
  }
  return false;
}

bool RtcRemover::on_page(Removal& removal, const CollectedResponse& page) {
  const auto clients = find_srs_publisher(page.body(), removal.what.location);
  std::string_view wrong;
  if (page.head().status != 200) {
    wrong = "its API does not tell its clients";
  } else if (!clients) {
    wrong = clients.error().text;
  } else if (clients->id.empty()) {
    const std::size_t next = removal.searched + clients->count;
    if (clients->count >= kPageClients && next < kClientsMax) return search(removal, next);
    wrong = "nobody publishes there";
  } else if (clients->connected_ms + kClockSlackMs + removal.what.created_ms < monotonic_ms()) {
    wrong = "another one publishes there";
  }
  if (!wrong.empty()) {
    LogLine(LogLevel::kInfo, "session is not ended at its origin")
        .session(removal.what.session)
        .field("stream", removal.what.key)
        .field("origin", origin_text(removal))
        .field("status", page.head().status)
        .field("reason", wrong);
    return false;
  }
  removal.searching = false;
  std::string target = "/api/v1/clients/";
  percent_encode(clients->id, "", target);
  return ask(removal, Method::kDelete, std::move(target), host_line(removal.what.endpoint));
}

std::string RtcRemover::origin_text(const Removal& removal) const {
  return weir::origin_text(state_, removal.what.origin, removal.what.endpoint);
}

void RtcRemover::finish(std::uint64_t id) {
  const auto found = removals_.find(id);
  const std::function<void()> done = std::move(found->second->done);
  removals_.erase(found);
  if (done) {
    done();
    return;
  }
  --abandoned_;
  start_queued();
}

void RtcRemover::on_flow_abandoned(const ipc::FlowAbandoned& message) {
  if (queue_.size() >= limits::kAbandonedFlows) return;
  queue_.push_back(message);
  start_queued();
}

// A few at a time: a thousand sessions may end in the same second, and each takes a connection.
void RtcRemover::start_queued() {
  while (abandoned_ < kRemovalsAtOnce && !queue_.empty()) {
    const ipc::FlowAbandoned next = queue_.front();
    queue_.pop_front();
    start(next);
  }
}

void RtcRemover::start(const ipc::FlowAbandoned& message) {
  if (!message.texts.valid()) return;
  const std::string_view resource = message.texts.get(ipc::FlowField::kResource);
  const std::string_view key = message.texts.get(ipc::FlowField::kKey);
  ipc::OriginRecord record;
  if (resource.empty() || !state_.read_origin(message.origin, record) ||
      record.endpoint_count[kApi] == 0) {
    return;
  }
  // Where the stream has a publisher, ours has left it.
  ipc::StreamHead stream;
  if (!resource.starts_with('/') && state_.find_stream(key, stream) && stream.publishers > 0) {
    return;
  }
  RtcLeftover what;
  what.session = message.session;
  what.role = message.role;
  what.key = key;
  what.origin = message.origin;
  what.endpoint = record.endpoints[kApi][0];
  what.location = resource;
  what.created_ms = message.created_ms;
  Removal& removal = add(std::move(what), nullptr);
  const std::uint64_t id = removal.id;
  if (begin(removal)) {
    ++abandoned_;
  } else {
    removals_.erase(id);
  }
}

}  // namespace weir::http
