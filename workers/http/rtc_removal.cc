#include "workers/http/rtc_removal.h"

#include <utility>

#include "common/base/clock.h"
#include "common/base/limits.h"
#include "common/proto/http/target.h"
#include "workers/http/rtc_call.h"
#include "workers/http/rtc_record.h"

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

// The origin has made a session that nobody can use.
void RtcRemover::give_up(Call& call, int status, std::string_view why) {
  if (!call.silent) signal_.tell_client(call, status, why);
  remove_at_origin(call);
}

// Nobody waits for this call any more. The client's own Authorization is what the origin asks for.
void RtcRemover::remove_at_origin(Call& call) {
  if (call.recorded > 0) signal_.record_->end_flow(call.flow);
  signal_.forget_master_request(call);
  if (call.location.empty()) {
    signal_.finish(call, {});
    return;
  }
  call.request.plan.step = RtcStep::kRemove;
  call.request.plan.flow.clear();
  call.request.body.clear();
  std::string fields = host_line(call.endpoint);
  if (const std::string_view host = field_of(call.request.head, "Host"); !host.empty()) {
    fields = line_of("Host", host);
  }
  const std::string_view authorization = field_of(call.request.head, "Authorization");
  if (!authorization.empty()) fields += line_of("Authorization", authorization);
  call.created_ms = monotonic_ms();
  begin_removal(call, fields);
}

// `call.location` says where. `fields`: lines of a DELETE there.
void RtcRemover::begin_removal(Call& call, std::string_view fields) {
  if (!call.location.starts_with('/')) {
    find_publisher(call, 0);
    return;
  }
  call.request.method = Method::kDelete;
  call.request.head = head_of("DELETE", call.location, fields);
  signal_.dial(call, call.origin);
}

void RtcRemover::on_flow_abandoned(const ipc::FlowAbandoned& message) {
  if (removals_.size() >= limits::kAbandonedFlows) return;
  removals_.push_back(message);
  start_removals();
}

// A few at a time: a thousand sessions may end in the same second, and each takes a connection.
void RtcRemover::start_removals() {
  if (std::exchange(starting_removals_, true)) return;
  while (removing_ < kRemovalsAtOnce && !removals_.empty()) {
    const ipc::FlowAbandoned next = removals_.front();
    removals_.pop_front();
    start_removal(next);
  }
  starting_removals_ = false;
}

void RtcRemover::on_finished() {
  --removing_;
  start_removals();
}

void RtcRemover::start_removal(const ipc::FlowAbandoned& message) {
  if (!message.texts.valid()) return;
  const std::string_view resource = message.texts.get(ipc::FlowField::kResource);
  const std::string_view key = message.texts.get(ipc::FlowField::kKey);
  ipc::OriginRecord record;
  if (resource.empty() || !signal_.process_.state.read_origin(message.origin, record) ||
      record.endpoint_count[kApi] == 0) {
    return;
  }
  // Where the stream has a publisher, ours has left it.
  ipc::StreamRecord stream;
  if (!resource.starts_with('/') && signal_.process_.state.find_stream(key, stream) &&
      stream.publishers > 0) {
    return;
  }
  RtcRequest request;
  request.session = message.session;
  request.plan.step = RtcStep::kRemove;
  request.plan.publisher = message.role == ipc::Role::kPublisher;
  request.plan.api = request.plan.publisher ? RtcApi::kWhip : RtcApi::kWhep;
  request.plan.key = key;
  Call& call = signal_.make_call(0, std::move(request));
  call.silent = call.removal = true;
  call.location = resource;
  call.created_ms = message.created_ms;
  call.origin = message.origin;
  call.endpoint = record.endpoints[kApi][0];
  ++removing_;
  begin_removal(call, host_line(call.endpoint));
}

// Asks for one page of the origin's clients after the other.
void RtcRemover::find_publisher(Call& call, std::size_t from) {
  call.searching = true;
  call.searched = from;
  call.request.method = Method::kGet;
  const std::string target =
      "/api/v1/clients/?start=" + std::to_string(from) + "&count=" + std::to_string(kPageClients);
  call.request.head = head_of("GET", target, host_line(call.endpoint));
  signal_.dial(call, call.origin);
}

void RtcRemover::on_publishers(Call& call) {
  const auto clients = find_srs_publisher(call.response->body(), call.location);
  std::string_view wrong;
  if (call.response->head().status != 200) {
    wrong = "its API does not tell its clients";
  } else if (!clients) {
    wrong = clients.error().text;
  } else if (clients->id.empty()) {
    const std::size_t next = call.searched + clients->count;
    if (clients->count >= kPageClients && next < kClientsMax) {
      find_publisher(call, next);
      return;
    }
    wrong = "nobody publishes there";
  } else if (clients->connected_ms + kClockSlackMs + call.created_ms < monotonic_ms()) {
    wrong = "another one publishes there";
  }
  if (!wrong.empty()) {
    LogLine(LogLevel::kInfo, "session is not ended at its origin")
        .session(call.request.session)
        .field("stream", call.request.plan.key)
        .field("origin", signal_.origin_text(call))
        .field("status", call.response->head().status)
        .field("reason", wrong);
    signal_.finish(call, {});
    return;
  }
  call.searching = false;
  call.location = "/api/v1/clients/";
  percent_encode(clients->id, "", call.location);
  begin_removal(call, host_line(call.endpoint));
}

}  // namespace weir::http
