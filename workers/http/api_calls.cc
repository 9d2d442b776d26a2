#include "workers/http/api_calls.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/clock.h"
#include "common/proto/http/collected_response.h"
#include "common/proto/http/head_writer.h"
#include "workers/core/dial.h"

namespace weir::http {
namespace {

constexpr std::size_t kCallsMax = 64;
constexpr std::size_t kOpenMax = 64;  // connections of one call at once; the others wait for them
constexpr std::size_t kAnswerMax = 4 * 1024 * 1024;  // bytes of one origin's answer
constexpr std::size_t kCallMax = 32 * 1024 * 1024;   // of all answers of a call
constexpr std::size_t kReadBytes = 16 * 1024;
constexpr std::size_t kApi = static_cast<std::size_t>(ipc::EndpointKind::kApi);

std::string text_of(const char (&text)[ipc::kTextBytes]) {
  return {text, ::strnlen(text, sizeof text)};
}

}  // namespace

// One origin's part of a call.
struct ApiCalls::Leg {
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
  std::vector<Leg> legs;
  std::vector<OriginAnswer> answers;  // of legs
  std::size_t next = 0;               // the first leg that was not begun
  std::size_t open = 0;
  std::size_t bytes = 0;
  bool removing = false;  // kRemove: the DELETE is under way, `owner_leg` has it
  std::size_t owner_leg = 0;
  std::uint64_t deadline_ms = 0;
  std::uint64_t timer_at_ms = 0;
  EventPtr timer;  // the deadline, or an address whose time is over
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
  if (call->legs.empty()) {
    return {0, call->plan.origin.empty()
                   ? api_error(503, api_code::kNoOrigin, "no origin has an API endpoint")
                   : api_error(404, api_code::kNotFound,
                               "there is no such origin, or it has no API endpoint")};
  }
  // {generation, index of the call, index of the leg}: 32, 16 and 16 bits.
  const auto index = static_cast<std::size_t>(slot - calls_.begin());
  if (generations_[index] == UINT32_MAX) generations_[index] = 0;
  call->id = (static_cast<std::uint64_t>(++generations_[index]) << 32) | (index << 16);
  call->timer.reset(event_new(
      base_, -1, 0,
      [](evutil_socket_t, short, void* which) {
        const auto* due = static_cast<Call*>(which);
        due->owner->on_timer(due->id);
      },
      call.get()));
  call->deadline_ms = monotonic_ms() + timeout_ms_;
  start_legs(*call);
  if (auto answer = progress(*call)) return {0, std::move(answer)};
  arm_timer(*call);
  ++active_;
  const CallId id = call->id;
  *slot = std::move(call);
  return {id, std::nullopt};
}

// All with an API endpoint; what is known to be down is not asked, and counts as failed.
void ApiCalls::choose_origins(Call& call) const {
  std::uint32_t left = state_.header().origins_used.load(std::memory_order_relaxed);
  for (std::uint32_t slot = 0; slot < state_.header().origin_capacity && left > 0; ++slot) {
    ipc::OriginRecord record;
    if (!state_.read_origin(slot, record)) continue;
    --left;
    if (record.endpoint_count[kApi] > 0) add_leg(call, slot, record);
  }
}

void ApiCalls::add_leg(Call& call, std::uint32_t slot, const ipc::OriginRecord& record) const {
  OriginAnswer answer;
  answer.name = text_of(record.name);
  answer.id = std::to_string(slot) + "-" + std::to_string(record.generation);
  const std::string& wanted = call.plan.origin;
  if (!wanted.empty() && wanted != answer.name && wanted != answer.id) return;
  Leg leg;
  if (record.takes(ipc::EndpointKind::kApi)) {
    for (std::size_t i = 0; i < record.endpoint_count[kApi]; ++i) {
      leg.addresses.push_back(
          target_of(record, ipc::EndpointKind::kApi, record.endpoints[kApi][i]));
    }
  } else {
    answer.failure = record.state == ipc::OriginState::kUp ? "ejected" : "dead";
    leg.state = Leg::State::kDone;
  }
  call.legs.push_back(std::move(leg));
  call.answers.push_back(std::move(answer));
}

void ApiCalls::start_legs(Call& call) {
  while (call.next < call.legs.size() && call.open < kOpenMax) {
    Leg& leg = call.legs[call.next++];
    if (leg.state == Leg::State::kWaiting) begin(call, leg);
  }
}

void ApiCalls::begin(Call& call, Leg& leg) {
  ++call.open;
  leg.state = Leg::State::kConnecting;
  leg.response = std::make_unique<CollectedResponse>(call.method, kAnswerMax);
  connect(call, leg);
}

// To one of its addresses.
void ApiCalls::connect(Call& call, Leg& leg) {
  leg.connect_until_ms =
      address_until_ms(monotonic_ms(), call.deadline_ms, leg.addresses.size() - leg.address);
  const auto index = static_cast<std::size_t>(&leg - call.legs.data());
  after_connect(call, leg, connect_.start(leg.side, leg.target(), [&](int fd) {
    return poller_.add(fd, kSideEvents, call.id | index);
  }));
}

void ApiCalls::after_connect(Call& call, Leg& leg, const ConnectStep& step) {
  if (step.state == ConnectStep::State::kFailed) {
    address_failed(call, leg, step.why, step.outcome != ipc::DialOutcome::kOk);
  } else if (step.state == ConnectStep::State::kOpen) {
    leg.state = Leg::State::kAnswering;
    const std::string request = request_for(call, leg);
    leg.side.out.append(request);
    if (request.empty()) end_leg(call, leg, "the request cannot be passed on");
  }
}

// The next address, or the leg has failed. `theirs`: the cause is not that we lack something.
void ApiCalls::address_failed(Call& call, Leg& leg, std::string_view why, bool theirs) {
  if (!theirs || leg.address + 1 >= leg.addresses.size()) {
    end_leg(call, leg, why);
    return;
  }
  ++leg.address;
  connect(call, leg);
}

std::string ApiCalls::request_for(const Call& call, const Leg& leg) const {
  std::string out;
  HeadWriter writer(out);
  writer.request(to_string(call.method), call.plan.target)
      .field(HeaderId::kHost, to_string(leg.target().endpoint))
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
  if (call == nullptr || index >= call->legs.size()) return;
  Leg& leg = call->legs[index];
  if (!leg.open()) return;
  leg.side.note(events);
  if (leg.state == Leg::State::kConnecting) {
    after_connect(*call, leg, connect_.go_on(leg.side, leg.target()));
  }
  if (leg.state == Leg::State::kAnswering) exchange(*call, leg);
  go_on(*call);
}

// Some leg may have ended, or wait for its next address. The call may be gone afterwards.
void ApiCalls::go_on(Call& call) {
  start_legs(call);
  const auto answer = progress(call);
  if (!answer) {
    arm_timer(call);
    return;
  }
  const CallId id = call.id;
  close(id);
  on_answer_(id, *answer);
}

// Writes and reads until the socket blocks or the leg has ended.
void ApiCalls::exchange(Call& call, Leg& leg) {
  std::size_t moved = 0;
  if (leg.side.flush(moved) == IoStatus::kEnded) {
    leg.side.out.clear();  // it may have said why: what it sent is read below
    leg.side.readable = true;
  }
  while (leg.side.readable) {
    ssize_t n = 0;
    const IoStatus status = leg.side.read(read_buffer_, n);
    if (status == IoStatus::kBlocked) return;
    if (status == IoStatus::kEnded) {
      const std::string error = n == 0 ? std::string() : std::strerror(errno);
      if (error.empty() && leg.response->on_close() == ParseStatus::kComplete) {
        end_leg(call, leg, {});
      } else {
        end_leg(call, leg, error.empty() ? leg.response->error() : error);
      }
      return;
    }
    take(call, leg, ByteView(read_buffer_.data(), static_cast<std::size_t>(n)));
  }
}

void ApiCalls::take(Call& call, Leg& leg, ByteView bytes) {
  CollectedResponse& response = *leg.response;
  const std::size_t before = response.body().size();
  const ParseStatus status = response.feed(bytes);
  call.bytes += response.body().size() - before;
  if (status == ParseStatus::kInvalid) {
    end_leg(call, leg, response.error());
  } else if (call.bytes > kCallMax) {
    end_leg(call, leg, "answer is too large");
  } else if (status == ParseStatus::kComplete) {
    end_leg(call, leg, {});
  }
}

// Closes the leg. Without `failure`, what it sent is its answer.
void ApiCalls::end_leg(Call& call, Leg& leg, std::string_view failure) {
  OriginAnswer& answer = call.answers[static_cast<std::size_t>(&leg - call.legs.data())];
  if (failure.empty()) {
    read_answer(answer, leg.response->head().status, leg.response->body());
  } else {
    answer.failure = failure;
  }
  if (leg.open()) --call.open;
  leg.state = Leg::State::kDone;
  leg.side = Side{};
  leg.response.reset();
}

// At the deadline, or when the first address has had its time.
void ApiCalls::arm_timer(Call& call) {
  std::uint64_t at = call.deadline_ms;
  for (const Leg& leg : call.legs) {
    if (leg.state == Leg::State::kConnecting) at = std::min(at, leg.connect_until_ms);
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
  for (Leg& leg : call->legs) {
    if (leg.state == Leg::State::kConnecting && leg.connect_until_ms <= now) {
      address_failed(*call, leg, "no connection in its share of the time", true);
    }
  }
  go_on(*call);
}

void ApiCalls::on_timeout(Call& call) {
  call.next = call.legs.size();
  for (Leg& leg : call.legs) {
    if (leg.state != Leg::State::kDone) end_leg(call, leg, "no answer in time");
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
  const auto done = [](const Leg& leg) { return leg.state == Leg::State::kDone; };
  const bool all = std::all_of(call.legs.begin(), call.legs.end(), done);
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
    call.owner_leg = i;
  }
  if (owners.empty()) return item_not_found(call.plan, call.answers);
  if (owners.size() > 1) return item_conflict(call.plan, owners);
  Leg& owner = call.legs[call.owner_leg];
  call.answers[call.owner_leg].json.reset();
  call.removing = true;
  call.method = Method::kDelete;
  begin(call, owner);
  if (owner.state == Leg::State::kDone) return removed(call);
  return std::nullopt;
}

ApiAnswer ApiCalls::removed(Call& call) {
  OriginAnswer& answer = call.answers[call.owner_leg];
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
