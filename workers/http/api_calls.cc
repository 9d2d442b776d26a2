#include "workers/http/api_calls.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/clock.h"
#include "common/net/tcp.h"
#include "common/proto/http/head_writer.h"

namespace weir::http {
namespace {

constexpr std::size_t kCallsMax = 64;
constexpr std::size_t kOpenMax = 64;  // connections of one call at once; the others wait for them
constexpr std::size_t kAnswerMax = 4 * 1024 * 1024;  // bytes of one origin's answer
constexpr std::size_t kCallMax = 32 * 1024 * 1024;   // of all answers of a call
constexpr std::size_t kHeadMax = 32 * 1024;
constexpr std::size_t kReadBytes = 16 * 1024;
constexpr std::size_t kApi = static_cast<std::size_t>(ipc::EndpointKind::kApi);

std::string text_of(const char (&text)[ipc::kTextBytes]) {
  return {text, ::strnlen(text, sizeof text)};
}

}  // namespace

// One origin's part of a call.
struct ApiCalls::Leg {
  enum class State : std::uint8_t { kWaiting, kConnecting, kHead, kBody, kDone };
  State state = State::kWaiting;
  Endpoint endpoint;
  std::string tls_name;
  Side side;
  std::vector<std::uint8_t> in;  // up to the end of the head
  ResponseParser parser;
  Body body;
  ChunkedDecoder chunked;
  int status = 0;
  std::string text;
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
  EventPtr deadline;
};

ApiCalls::ApiCalls(event_base* base, const ipc::StateView& state, OriginTls& tls,
                   std::uint64_t timeout_ms, OnAnswer on_answer)
    : base_(base),
      state_(state),
      tls_(tls),
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
  start_legs(*call);
  if (auto answer = progress(*call)) return {0, std::move(answer)};
  call->deadline.reset(event_new(
      base_, -1, 0,
      [](evutil_socket_t, short, void* which) {
        const auto* late = static_cast<Call*>(which);
        late->owner->on_timeout(late->id);
      },
      call.get()));
  const timeval wait = to_timeval(timeout_ms_);
  add_or_end(call->deadline.get(), &wait);
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
  leg.endpoint = record.endpoints[kApi][0];
  if (!record.takes(ipc::EndpointKind::kApi)) {
    answer.failure = record.state == ipc::OriginState::kUp ? "ejected" : "dead";
    leg.state = Leg::State::kDone;
  }
  leg.tls_name = record.certificate_name();
  call.legs.push_back(std::move(leg));
  call.answers.push_back(std::move(answer));
}

void ApiCalls::start_legs(Call& call) {
  while (call.next < call.legs.size() && call.open < kOpenMax) {
    const std::size_t index = call.next++;
    if (call.legs[index].state == Leg::State::kWaiting) connect(call, index);
  }
}

void ApiCalls::connect(Call& call, std::size_t leg_index) {
  Leg& leg = call.legs[leg_index];
  OriginAnswer& answer = call.answers[leg_index];
  leg.state = Leg::State::kDone;
  const std::string request = request_for(call, leg);
  if (request.empty()) {
    answer.failure = "the request cannot be passed on";
    return;
  }
  auto dialed = net::start_connect(leg.endpoint, {0, timeout_ms_});
  if (!dialed) {
    answer.failure = dialed.error().text;
    return;
  }
  leg.side.fd = std::move(*dialed);
  if (is_tls(leg.endpoint)) {
    leg.side.tls = tls_.connect(leg.side.fd.get(), leg.endpoint, leg.tls_name);
    if (!leg.side.tls) {
      answer.failure = "TLS to origins cannot be had";
      leg.side = Side{};
      return;
    }
  }
  if (!poller_.add(leg.side.fd.get(), kSideEvents, call.id | leg_index)) {
    answer.failure = "no place in the event set";
    leg.side = Side{};
    return;
  }
  leg.side.out.append(request);
  leg.state = Leg::State::kConnecting;
  ++call.open;
}

std::string ApiCalls::request_for(const Call& call, const Leg& leg) const {
  std::string out;
  HeadWriter writer(out);
  writer.request(to_string(call.method), call.plan.target)
      .field(HeaderId::kHost, to_string(leg.endpoint))
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

// False: it goes on with the next event.
bool ApiCalls::finish_connect(Call& call, Leg& leg) {
  if (const int error = net::take_socket_error(leg.side.fd.get()); error != 0) {
    end_leg(call, leg, std::strerror(error));
    return true;
  }
  if (!leg.side.writable) return false;
  const IoStatus status = leg.side.shaking() ? leg.side.handshake() : IoStatus::kOk;
  if (status == IoStatus::kBlocked) return false;
  if (status == IoStatus::kEnded) {
    const std::string why = tls_failure_text(*leg.side.tls);
    end_leg(call, leg, why);
  } else {
    leg.state = Leg::State::kHead;
  }
  return true;
}

void ApiCalls::on_ready(std::uint64_t token, std::uint32_t events) {
  const CallId id = token & ~std::uint64_t{0xFFFF};
  Call* call = find(id);
  const std::size_t index = token & 0xFFFF;
  if (call == nullptr || index >= call->legs.size()) return;
  Leg& leg = call->legs[index];
  if (leg.state == Leg::State::kDone || !leg.side.fd) return;
  leg.side.note(events);
  if (leg.state == Leg::State::kConnecting && !finish_connect(*call, leg)) return;
  if (leg.state != Leg::State::kDone && serve(*call, leg)) return;
  --call->open;
  start_legs(*call);
  if (const auto answer = progress(*call)) {
    close(id);
    on_answer_(id, *answer);
  }
}

// Writes and reads until the socket blocks. False: the leg is done.
bool ApiCalls::serve(Call& call, Leg& leg) {
  std::size_t moved = 0;
  if (leg.side.flush(moved) == IoStatus::kEnded) {
    leg.side.out.clear();  // it may have said why: what it sent is read below
    leg.side.readable = true;
  }
  while (leg.side.readable) {
    ssize_t n = 0;
    const IoStatus status = leg.side.read(read_buffer_, n);
    if (status == IoStatus::kBlocked) return true;
    if (status == IoStatus::kEnded) {
      if (n == 0 && leg.state == Leg::State::kBody && leg.body.framing == Framing::kUntilClose) {
        end_leg(call, leg, {});
      } else {
        end_leg(call, leg, n == 0 ? "closed without a whole answer" : std::strerror(errno));
      }
      return false;
    }
    if (!take(call, leg, ByteView(read_buffer_.data(), static_cast<std::size_t>(n)))) return false;
  }
  return true;
}

bool ApiCalls::take(Call& call, Leg& leg, ByteView bytes) {
  if (leg.state == Leg::State::kBody) return take_body(call, leg, bytes);
  leg.in.insert(leg.in.end(), bytes.begin(), bytes.end());
  for (;;) {
    ResponseHead head;
    const ParseStatus status = leg.parser.parse(as_text(leg.in), call.method, head);
    if (status == ParseStatus::kNeedMore && leg.in.size() < kHeadMax) return true;
    if (status != ParseStatus::kComplete) {
      end_leg(call, leg, "answer is no HTTP");
      return false;
    }
    const auto end = leg.in.begin() + static_cast<std::ptrdiff_t>(head.consumed);
    if (head.is_interim()) {
      leg.in.erase(leg.in.begin(), end);
      continue;
    }
    leg.status = head.status;
    leg.body = head.body;
    leg.state = Leg::State::kBody;
    const std::vector<std::uint8_t> rest(end, leg.in.end());
    leg.in = {};
    return take_body(call, leg, rest);
  }
}

// False: the leg is done.
bool ApiCalls::take_body(Call& call, Leg& leg, ByteView bytes) {
  bool whole = leg.body.empty();
  const std::size_t before = leg.text.size();
  if (leg.body.framing == Framing::kChunked) {
    while (!whole) {
      ByteView data;
      const ParseStatus status = leg.chunked.next(bytes, data);
      if (status == ParseStatus::kInvalid) {
        end_leg(call, leg, "answer is no HTTP");
        return false;
      }
      leg.text += as_text(data);
      whole = leg.chunked.done();
      if (status == ParseStatus::kNeedMore) break;
    }
  } else if (leg.body.framing == Framing::kLength) {
    leg.text += as_text(bytes).substr(0, leg.body.length - leg.text.size());
    whole = leg.text.size() == leg.body.length;
  } else if (leg.body.framing == Framing::kTunnel) {
    end_leg(call, leg, "answer is no HTTP");
    return false;
  } else {
    leg.text += as_text(bytes);
  }
  call.bytes += leg.text.size() - before;
  if (leg.text.size() > kAnswerMax || call.bytes > kCallMax) {
    end_leg(call, leg, "answer is too large");
    return false;
  }
  if (whole) end_leg(call, leg, {});
  return !whole;
}

// Closes the leg. Without `failure`, what it sent is its answer.
void ApiCalls::end_leg(Call& call, Leg& leg, std::string_view failure) {
  OriginAnswer& answer = call.answers[static_cast<std::size_t>(&leg - call.legs.data())];
  if (failure.empty()) {
    read_answer(answer, leg.status, leg.text);
  } else {
    answer.failure = failure;
  }
  leg.state = Leg::State::kDone;
  leg.side = Side{};
  leg.in = {};
  leg.text = {};
}

void ApiCalls::on_timeout(CallId id) {
  Call* call = find(id);
  if (call == nullptr) return;
  call->next = call->legs.size();
  for (Leg& leg : call->legs) {
    if (leg.state != Leg::State::kDone) end_leg(*call, leg, "no answer in time");
  }
  auto answer = call->removing ? std::nullopt : progress(*call);
  // A DELETE is not begun any more once the time is over.
  if (!answer)
    answer = api_error(504, api_code::kOriginsFailed, "the origin did not answer in time");
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
  Leg fresh;
  fresh.endpoint = call.legs[call.owner_leg].endpoint;
  fresh.tls_name = call.legs[call.owner_leg].tls_name;
  call.legs[call.owner_leg] = std::move(fresh);
  call.answers[call.owner_leg].json.reset();
  call.removing = true;
  call.method = Method::kDelete;
  connect(call, call.owner_leg);
  if (call.legs[call.owner_leg].state == Leg::State::kDone) return removed(call);
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
