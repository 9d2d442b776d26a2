#include "workers/http/api_calls.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/clock.h"
#include "common/proto/http/collected_response.h"
#include "common/proto/http/head_writer.h"
#include "ipc/origin_walk.h"
#include "workers/core/dial.h"

namespace weir::http {
namespace {

constexpr std::size_t kCallsMax = 64;
constexpr std::size_t kOpenMax = 64;  // connections of one call at once; the others wait for them
constexpr std::size_t kAnswerMax = 4 * 1024 * 1024;  // bytes of one origin's answer
constexpr std::size_t kCallMax = 32 * 1024 * 1024;   // of all answers of a call
constexpr std::size_t kReadBytes = 16 * 1024;
constexpr std::size_t kApi = static_cast<std::size_t>(ipc::EndpointKind::kApi);

}  // namespace

// One origin's part of a call.
struct ApiCalls::OriginCall {
  enum class State : std::uint8_t { kWaiting, kConnecting, kAnswering, kDone };
  State state = State::kWaiting;
  std::vector<ConnectTarget> addresses;
  std::size_t address = 0;  // that is connected to
  std::uint64_t connect_until_ms = 0;
  Side side;
  std::unique_ptr<CollectedResponse> response;

  const ConnectTarget& target() const { return addresses[address]; }
  bool open() const { return state == State::kConnecting || state == State::kAnswering; }
};

struct ApiCalls::Call {
  CallId id = 0;
  ApiCalls* owner = nullptr;
  ApiPlan plan;
  std::string authorization;
  Method method = Method::kGet;
  std::vector<OriginCall> parts;
  std::vector<OriginAnswer> answers;  // of parts
  std::size_t next = 0;               // the first part that was not begun
  std::size_t open = 0;
  std::size_t bytes = 0;
  bool removing = false;  // kRemove: the DELETE is under way, `owner_part` has it
  std::size_t owner_part = 0;
  std::uint64_t deadline_ms = 0;
  std::uint64_t timer_at_ms = 0;
  EventPtr timer;  // the deadline, or an address whose time is over

  void on_timer() { owner->on_timer(id); }
};

ApiCalls::ApiCalls(event_base* base, const ipc::StateView& state, OriginTls& tls,
                   std::uint64_t timeout_ms, OnAnswer on_answer)
    : base_(base),
      state_(state),
      connect_(tls, {0, timeout_ms}),
      timeout_ms_(timeout_ms),
      on_answer_(std::move(on_answer)),
      poller_(base, 0,
              [this](std::uint64_t token, std::uint32_t events) { on_ready(token, events); }),
      calls_(kCallsMax),
      generations_(kCallsMax),
      read_buffer_(kReadBytes) {}

ApiCalls::~ApiCalls() = default;

ApiCalls::Started ApiCalls::start(ApiPlan plan, std::string_view authorization) {
  const auto slot = std::find(calls_.begin(), calls_.end(), nullptr);
  if (slot == calls_.end()) {
    return {0, api_error(503, api_code::kBusy, "too many requests at once")};
  }
  auto call = std::make_unique<Call>();
  call->plan = std::move(plan);
  call->authorization = authorization;
  call->owner = this;
  choose_origins(*call);
  if (call->parts.empty()) {
    return {0, call->plan.origin.empty()
                   ? api_error(503, api_code::kNoOrigin, "no origin has an API endpoint")
                   : api_error(404, api_code::kNotFound,
                               "there is no such origin, or it has no API endpoint")};
  }
  // {generation, index of the call, index of the part}: 32, 16 and 16 bits.
  const auto index = static_cast<std::size_t>(slot - calls_.begin());
  if (generations_[index] == UINT32_MAX) generations_[index] = 0;
  call->id = (static_cast<std::uint64_t>(++generations_[index]) << 32) | (index << 16);
  call->timer = make_timer<&Call::on_timer>(base_, call.get());
  call->deadline_ms = monotonic_ms() + timeout_ms_;
  start_parts(*call);
  if (auto answer = progress(*call)) return {0, std::move(answer)};
  arm_timer(*call);
  ++active_;
  const CallId id = call->id;
  *slot = std::move(call);
  return {id, std::nullopt};
}

// All with an API endpoint; what is known to be down is not asked, and counts as failed.
void ApiCalls::choose_origins(Call& call) const {
  ipc::each_origin(state_, [&](ipc::OriginRef ref, const ipc::OriginRecord& record) {
    if (record.endpoint_count[kApi] > 0) add_part(call, ref.slot, record);
  });
}

void ApiCalls::add_part(Call& call, std::uint32_t slot, const ipc::OriginRecord& record) const {
  OriginAnswer answer;
  answer.name = text_of(record.name);
  answer.id = std::to_string(slot) + "-" + std::to_string(record.generation);
  const std::string& wanted = call.plan.origin;
  if (!wanted.empty() && wanted != answer.name && wanted != answer.id) return;
  OriginCall part;
  if (record.takes(ipc::EndpointKind::kApi)) {
    for (std::size_t i = 0; i < record.endpoint_count[kApi]; ++i) {
      part.addresses.push_back(
          target_of(record, ipc::EndpointKind::kApi, record.endpoints[kApi][i]));
    }
  } else {
    answer.failure = record.state == ipc::OriginState::kUp ? "ejected" : "dead";
    part.state = OriginCall::State::kDone;
  }
  call.parts.push_back(std::move(part));
  call.answers.push_back(std::move(answer));
}

void ApiCalls::start_parts(Call& call) {
  while (call.next < call.parts.size() && call.open < kOpenMax) {
    OriginCall& part = call.parts[call.next++];
    if (part.state == OriginCall::State::kWaiting) begin(call, part);
  }
}

void ApiCalls::begin(Call& call, OriginCall& part) {
  ++call.open;
  part.state = OriginCall::State::kConnecting;
  part.response = std::make_unique<CollectedResponse>(call.method, kAnswerMax);
  connect(call, part);
}

// To one of its addresses.
void ApiCalls::connect(Call& call, OriginCall& part) {
  part.connect_until_ms =
      address_until_ms(monotonic_ms(), call.deadline_ms, part.addresses.size() - part.address);
  const auto index = static_cast<std::size_t>(&part - call.parts.data());
  after_connect(call, part, connect_.start(part.side, part.target(), [&](int fd) {
    return poller_.add(fd, kSideEvents, call.id | index);
  }));
}

void ApiCalls::after_connect(Call& call, OriginCall& part, const ConnectStep& step) {
  if (step.state == ConnectStep::State::kFailed) {
    address_failed(call, part, step.why, step.outcome != ipc::DialOutcome::kOk);
  } else if (step.state == ConnectStep::State::kOpen) {
    part.state = OriginCall::State::kAnswering;
    const std::string request = request_for(call, part);
    part.side.out.append(request);
    if (request.empty()) end_part(call, part, "the request cannot be passed on");
  }
}

// The next address, or the part has failed. `theirs`: the cause is not that we lack something.
void ApiCalls::address_failed(Call& call, OriginCall& part, std::string_view why, bool theirs) {
  if (!theirs || part.address + 1 >= part.addresses.size()) {
    end_part(call, part, why);
    return;
  }
  ++part.address;
  connect(call, part);
}

std::string ApiCalls::request_for(const Call& call, const OriginCall& part) const {
  std::string out;
  HeadWriter writer(out);
  writer.request(to_string(call.method), call.plan.target)
      .field(HeaderId::kHost, to_string(part.target().endpoint))
      .field(HeaderId::kAccept, "application/json")
      .field(HeaderId::kConnection, "close");
  if (!call.authorization.empty()) writer.field(HeaderId::kAuthorization, call.authorization);
  writer.finish();
  return out;
}

ApiCalls::Call* ApiCalls::find(CallId id) {
  const std::size_t index = (id >> 16) & 0xFFFF;
  if (index >= calls_.size() || !calls_[index] || calls_[index]->id != id) return nullptr;
  return calls_[index].get();
}

void ApiCalls::on_ready(std::uint64_t token, std::uint32_t events) {
  const CallId id = token & ~std::uint64_t{0xFFFF};
  Call* call = find(id);
  const std::size_t index = token & 0xFFFF;
  if (call == nullptr || index >= call->parts.size()) return;
  OriginCall& part = call->parts[index];
  if (!part.open()) return;
  part.side.note(events);
  if (part.state == OriginCall::State::kConnecting) {
    after_connect(*call, part, connect_.go_on(part.side, part.target()));
  }
  if (part.state == OriginCall::State::kAnswering) exchange(*call, part);
  go_on(*call);
}

// Some part may have ended, or wait for its next address. The call may be gone afterwards.
void ApiCalls::go_on(Call& call) {
  start_parts(call);
  const auto answer = progress(call);
  if (!answer) {
    arm_timer(call);
    return;
  }
  const CallId id = call.id;
  close(id);
  on_answer_(id, *answer);
}

// Writes and reads until the socket blocks or the part has ended.
void ApiCalls::exchange(Call& call, OriginCall& part) {
  std::size_t moved = 0;
  if (part.side.flush(moved) == IoStatus::kEnded) {
    part.side.out.clear();  // it may have said why: what it sent is read below
    part.side.readable = true;
  }
  while (part.side.readable) {
    ssize_t n = 0;
    const IoStatus status = part.side.read(read_buffer_, n);
    if (status == IoStatus::kBlocked) return;
    if (status == IoStatus::kEnded) {
      const std::string error = n == 0 ? std::string() : std::strerror(errno);
      if (error.empty() && part.response->on_close() == ParseStatus::kComplete) {
        end_part(call, part, {});
      } else {
        end_part(call, part, error.empty() ? part.response->error() : error);
      }
      return;
    }
    take(call, part, ByteView(read_buffer_.data(), static_cast<std::size_t>(n)));
  }
}

void ApiCalls::take(Call& call, OriginCall& part, ByteView bytes) {
  CollectedResponse& response = *part.response;
  const std::size_t before = response.body().size();
  const ParseStatus status = response.feed(bytes);
  call.bytes += response.body().size() - before;
  if (status == ParseStatus::kInvalid) {
    end_part(call, part, response.error());
  } else if (call.bytes > kCallMax) {
    end_part(call, part, "answer is too large");
  } else if (status == ParseStatus::kComplete) {
    end_part(call, part, {});
  }
}

// Closes the part. Without `failure`, what it sent is its answer.
void ApiCalls::end_part(Call& call, OriginCall& part, std::string_view failure) {
  OriginAnswer& answer = call.answers[static_cast<std::size_t>(&part - call.parts.data())];
  if (failure.empty()) {
    read_answer(answer, part.response->head().status, part.response->body());
  } else {
    answer.failure = failure;
  }
  if (part.open()) --call.open;
  part.state = OriginCall::State::kDone;
  part.side = Side{};
  part.response.reset();
}

// At the deadline, or when the first address has had its time.
void ApiCalls::arm_timer(Call& call) {
  std::uint64_t at = call.deadline_ms;
  for (const OriginCall& part : call.parts) {
    if (part.state == OriginCall::State::kConnecting) at = std::min(at, part.connect_until_ms);
  }
  if (at == call.timer_at_ms) return;
  call.timer_at_ms = at;
  const std::uint64_t now = monotonic_ms();
  arm(call.timer, at > now ? at - now : 0);
}

void ApiCalls::on_timer(CallId id) {
  Call* call = find(id);
  if (call == nullptr) return;
  call->timer_at_ms = 0;
  const std::uint64_t now = monotonic_ms();
  if (now >= call->deadline_ms) {
    on_timeout(*call);
    return;
  }
  for (OriginCall& part : call->parts) {
    if (part.state == OriginCall::State::kConnecting && part.connect_until_ms <= now) {
      address_failed(*call, part, "no connection in its share of the time", true);
    }
  }
  go_on(*call);
}

void ApiCalls::on_timeout(Call& call) {
  call.next = call.parts.size();
  for (OriginCall& part : call.parts) {
    if (part.state != OriginCall::State::kDone) end_part(call, part, "no answer in time");
  }
  auto answer = call.removing ? std::nullopt : progress(call);
  // A DELETE is not begun any more once the time is over.
  if (!answer) {
    answer = api_error(504, api_code::kOriginsFailed, "the origin did not answer in time");
  }
  const CallId id = call.id;
  close(id);
  on_answer_(id, *answer);
}

// The call's answer, if there is one by now.
std::optional<ApiAnswer> ApiCalls::progress(Call& call) {
  const auto done = [](const OriginCall& part) { return part.state == OriginCall::State::kDone; };
  const bool all = std::all_of(call.parts.begin(), call.parts.end(), done);
  if (call.plan.kind == ApiKind::kItem) {
    const auto found = std::find_if(call.answers.begin(), call.answers.end(),
                                    [](const OriginAnswer& a) { return a.json != nullptr; });
    if (found != call.answers.end()) return name_item(call.plan, *found);
    return all ? std::optional(item_not_found(call.plan, call.answers)) : std::nullopt;
  }
  if (!all) return std::nullopt;
  if (call.plan.kind != ApiKind::kRemove) return merge_answers(call.plan, call.answers);
  return call.removing ? removed(call) : remove_from_owner(call);
}

// All have been asked who has it.
std::optional<ApiAnswer> ApiCalls::remove_from_owner(Call& call) {
  std::vector<const OriginAnswer*> owners;
  for (std::size_t i = 0; i < call.answers.size(); ++i) {
    if (!call.answers[i].json) continue;
    owners.push_back(&call.answers[i]);
    call.owner_part = i;
  }
  if (owners.empty()) return item_not_found(call.plan, call.answers);
  if (owners.size() > 1) return item_conflict(call.plan, owners);
  OriginCall& owner = call.parts[call.owner_part];
  call.answers[call.owner_part].json.reset();
  call.removing = true;
  call.method = Method::kDelete;
  begin(call, owner);
  if (owner.state == OriginCall::State::kDone) return removed(call);
  return std::nullopt;
}

ApiAnswer ApiCalls::removed(Call& call) {
  OriginAnswer& answer = call.answers[call.owner_part];
  if (answer.json) return name_item(call.plan, answer);
  return api_error(502, api_code::kOriginsFailed,
                   "origin " + answer.name + " did not remove it: " + answer.failure);
}

void ApiCalls::close(CallId id) {
  calls_[(id >> 16) & 0xFFFF].reset();
  --active_;
}

void ApiCalls::cancel(CallId id) {
  if (find(id) != nullptr) close(id);
}

}  // namespace weir::http
