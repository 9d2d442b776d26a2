#include "workers/core/hook_client.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/clock.h"
#include "common/base/limits.h"
#include "common/base/version.h"
#include "common/net/crypto.h"
#include "common/proto/http/collected_response.h"
#include "common/proto/http/head_writer.h"
#include "workers/core/dial.h"

namespace weir {
namespace {

using ipc::Counter;

constexpr std::size_t kReadBytes = 16 * 1024;
constexpr std::uint64_t kRefusalMs = 1000;  // how long at most a refusal counts

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "weir";
}

}  // namespace

struct HookClient::Call {
  HookAction action = HookAction::kPlay;
  SessionId session = 0;
  std::uint64_t deadline_ms = 0;
  std::string request;
  Endpoint endpoint;           // where it was sent last
  std::optional<HookKey> key;  // of one whose verdict may be kept
  bool retried = false;
  std::size_t refused = 0;  // addresses that took no connection
  Link* link = nullptr;
  std::vector<std::pair<Ticket, OnVerdict>> waiters;
};

struct HookClient::Link {
  enum class State : std::uint8_t { kIdle, kConnecting, kAnswering };
  State state = State::kConnecting;
  std::uint32_t generation = 0;
  bool used = false;
  bool reused = false;  // the call is not the first one here
  std::uint64_t call = 0;
  ConnectTarget target;
  std::uint64_t connect_until_ms = 0;
  Side side;
  std::unique_ptr<http::CollectedResponse> response;  // to the call

  bool connecting() const { return used && state == State::kConnecting; }
};

HookClient::HookClient(event_base* base, const Config& config, Resolver& resolver,
                       ipc::Counters& counters, std::function<void()> on_idle)
    : base_(base),
      config_(config),
      counters_(counters),
      on_idle_(std::move(on_idle)),
      sender_{host_name(), std::to_string(::getppid())},
      seed_(net::random_hash_seed()),
      cache_(limits::kHookCacheEntries),
      tls_(config),
      connect_(tls_, {0, static_cast<std::uint64_t>(config.hooks.timeout)}),
      poller_(base, 0,
              [this](std::uint64_t token, std::uint32_t events) { on_ready(token, events); }),
      timer_(make_timer<&HookClient::on_timer>(base, this)),
      read_buffer_(kReadBytes) {
  const std::array<const std::string*, kHookActions> urls = {
      &config.hooks.on_play, &config.hooks.on_publish, &config.hooks.on_stop,
      &config.hooks.on_unpublish};
  for (std::size_t i = 0; i < kHookActions; ++i) {
    auto url = parse_http_url(*urls[i]);
    if (!url) continue;  // empty; anything else was refused when the configuration was loaded
    targets_[i].on = true;
    targets_[i].url = std::move(*url);
    targets_[i].host = resolver.watch(targets_[i].url.host, [this] { on_address(); });
  }
}

HookClient::~HookClient() = default;

HookClient::Target& HookClient::target_of(const Call& call) {
  return targets_[static_cast<std::size_t>(call.action)];
}

// How many addresses the call may try.
std::size_t HookClient::addresses_of(const Call& call) {
  const Target& target = target_of(call);
  return target.host ? std::min(target.host.addresses().size(), limits::kHookAddresses) : 0;
}

// Empty: none is known.
Endpoint HookClient::next_address(const Call& call) {
  if (addresses_of(call) == 0) return {};
  const Target& target = target_of(call);
  const std::vector<Endpoint>& all = target.host.addresses();
  const auto first = std::find_if(all.begin(), all.end(), [&target](const Endpoint& each) {
    return each.same_address(target.good);
  });
  const auto start = first == all.end() ? 0 : static_cast<std::size_t>(first - all.begin());
  Endpoint address = all[(start + call.refused) % all.size()];
  address.port = target.url.port;
  return address;
}

// A host has other addresses, or is known to have none: those who wait for one go on.
void HookClient::on_address() {
  queue_.insert(queue_.begin(), nameless_.begin(), nameless_.end());
  nameless_.clear();
  arm_timer();
}

HookClient::Asked HookClient::ask(const HookEvent& event, OnVerdict done) {
  std::optional<HookKey> key;
  if (event.action == HookAction::kPlay && config_.hooks.cache_ttl > 0) {
    key = hook_key(event, seed_);
    if (const auto known = cache_.find(*key, monotonic_ms())) {
      counters_.add(Counter::kHookCacheHits);
      return {0, HookVerdict{*known, *known ? "" : "it was refused a moment ago"}};
    }
  }
  const auto shared = key ? shared_.find(*key) : shared_.end();
  const std::uint64_t id = shared != shared_.end() ? shared->second : begin(event, key);
  if (id == 0) {
    counters_.add(Counter::kHookBusy);
    return {0, HookVerdict{config_.hooks.fail == "open", "too many calls at once"}};
  }
  const Ticket ticket = ++last_ticket_;
  calls_.at(id)->waiters.emplace_back(ticket, std::move(done));
  tickets_.emplace(ticket, id);
  return {ticket, std::nullopt};
}

void HookClient::tell(const HookEvent& event) {
  if (!wants(event.action)) return;
  if (begin(event, std::nullopt) == 0) counters_.add(Counter::kHookBusy);
}

void HookClient::cancel(Ticket ticket) {
  const auto found = tickets_.find(ticket);
  if (found == tickets_.end()) return;
  Call& call = *calls_.at(found->second);
  std::erase_if(call.waiters, [ticket](const auto& waiter) { return waiter.first == ticket; });
  tickets_.erase(found);
}

// 0: there are too many. Never calls back: the connection is tried from the event loop.
std::uint64_t HookClient::begin(const HookEvent& event, std::optional<HookKey> key) {
  if (calls_.size() >= limits::kHookCalls) return 0;
  auto call = std::make_unique<Call>();
  call->action = event.action;
  const Target& target = target_of(*call);
  call->session = event.session;
  call->deadline_ms = monotonic_ms() + config_.hooks.timeout;
  call->key = key;
  const std::string body = hook_body(event, sender_);
  http::HeadWriter writer(call->request);
  writer.request("POST", target.url.target)
      .field(http::HeaderId::kHost, target.url.authority)
      .field(http::HeaderId::kContentType, "application/json")
      .field(http::HeaderId::kUserAgent, "Weir/" + std::string(version()))
      .field(http::HeaderId::kConnection, "keep-alive")
      .body({http::Framing::kLength, body.size()});
  writer.finish();
  call->request += body;
  const std::uint64_t id = ++last_id_;
  if (key) shared_.emplace(*key, id);
  calls_.emplace(id, std::move(call));
  queue_.push_back(id);
  counters_.add(Counter::kHookCalls);
  arm_timer();
  return id;
}

// The queue's first wait makes the timer fire at once; else it fires at the oldest call's deadline.
void HookClient::arm_timer() {
  if (calls_.empty()) {
    event_del(timer_.get());
    return;
  }
  const std::uint64_t now = monotonic_ms();
  std::uint64_t deadline = calls_.begin()->second->deadline_ms;
  for (const auto& link : links_) {
    if (link->connecting()) deadline = std::min(deadline, link->connect_until_ms);
  }
  const auto open = static_cast<std::size_t>(std::count_if(
      links_.begin(), links_.end(), [](const auto& link) { return link->call != 0; }));
  const bool can_start =
      !queue_.empty() && open < static_cast<std::size_t>(config_.hooks.connections);
  arm(timer_, can_start || deadline <= now ? 0 : deadline - now);
}

void HookClient::on_timer() {
  const std::uint64_t now = monotonic_ms();
  while (!calls_.empty() && calls_.begin()->second->deadline_ms <= now) {
    const Call& call = *calls_.begin()->second;
    fail(calls_.begin()->first, Counter::kHookTimeout,
         addresses_of(call) > 0
             ? "no answer within hooks.timeout"
             : "its address is not known: " + std::string(to_string(target_of(call).host.fault())));
  }
  for (std::size_t i = 0; i < links_.size(); ++i) {
    if (links_[i]->connecting() && links_[i]->connect_until_ms <= now) {
      broke(*links_[i], "no connection in its share of the time");
    }
  }
  feed_queue();
  arm_timer();
}

void HookClient::feed_queue() {
  while (!queue_.empty()) {
    const std::uint64_t id = queue_.front();
    if (calls_.find(id) == calls_.end()) {
      queue_.pop_front();
      continue;
    }
    const Endpoint endpoint = next_address(*calls_.at(id));
    if (endpoint.empty()) {
      queue_.pop_front();
      const Resolver::Watch& host = target_of(*calls_.at(id)).host;
      if (!host || host.absent()) {
        fail(id, Counter::kHookFailed, "there is no such host");
      } else {
        nameless_.push_back(id);
      }
      continue;
    }
    const bool fresh = calls_.at(id)->retried;
    Link* link = fresh ? nullptr : idle_link(endpoint);
    if (link == nullptr) link = new_link(endpoint);
    if (link == nullptr) return;  // one will become free, or the call's time ends
    queue_.pop_front();
    use(*link, id);
  }
}

HookClient::Link* HookClient::idle_link(const Endpoint& endpoint) {
  for (const auto& link : links_) {
    if (link->used && link->call == 0 && link->target.endpoint == endpoint) return link.get();
  }
  return nullptr;
}

// A link without a connection; an idle one of another server makes room. Null: all are busy.
HookClient::Link* HookClient::new_link(const Endpoint& endpoint) {
  const auto unused =
      std::find_if(links_.begin(), links_.end(), [](const auto& link) { return !link->used; });
  Link* link = unused != links_.end() ? unused->get() : nullptr;
  if (link == nullptr && links_.size() < static_cast<std::size_t>(config_.hooks.connections)) {
    link = links_.emplace_back(std::make_unique<Link>()).get();
  }
  if (link == nullptr) {
    const auto idle = std::find_if(links_.begin(), links_.end(),
                                   [](const auto& each) { return each->call == 0; });
    if (idle == links_.end()) return nullptr;
    link = idle->get();
    drop_link(*link);
  }
  link->target.endpoint = endpoint;
  return link;
}

void HookClient::drop_link(Link& link) {
  const std::uint32_t generation = link.generation + 1;
  link = Link{};
  link.generation = generation;
}

// Gives the call to the link, which has another one's answer behind it or is to be connected.
void HookClient::use(Link& link, std::uint64_t id) {
  Call& call = *calls_.at(id);
  call.endpoint = link.target.endpoint;
  call.link = &link;
  link.call = id;
  link.response =
      std::make_unique<http::CollectedResponse>(http::Method::kPost, limits::kHookAnswerBytes);
  link.reused = link.used;
  if (link.used) {
    ask_through(link, call);
    serve(link);
    return;
  }
  link.used = true;
  link.state = Link::State::kConnecting;
  const std::size_t addresses = addresses_of(call);
  link.connect_until_ms = address_until_ms(monotonic_ms(), call.deadline_ms,
                                           addresses - std::min(addresses, call.refused));
  const auto index = static_cast<std::uint32_t>(
      std::find_if(links_.begin(), links_.end(),
                   [&link](const auto& each) { return each.get() == &link; }) -
      links_.begin());
  after_connect(link, connect_.start(link.side, link.target, [&](int fd) {
    return poller_.add(fd, kSideEvents, Token{index, link.generation, 0}.pack());
  }));
}

void HookClient::ask_through(Link& link, const Call& call) {
  link.state = Link::State::kAnswering;
  link.side.out.append(call.request);
}

void HookClient::after_connect(Link& link, const ConnectStep& step) {
  if (step.state == ConnectStep::State::kFailed) return broke(link, step.why);
  if (step.state == ConnectStep::State::kWaiting) return;
  const Call& call = *calls_.at(link.call);
  target_of(call).good = link.target.endpoint;
  ask_through(link, call);
}

void HookClient::on_ready(std::uint64_t packed, std::uint32_t events) {
  const Token token = Token::unpack(packed);
  if (token.index >= links_.size()) return;
  Link& link = *links_[token.index];
  if (!link.used || link.generation != token.generation) return;
  link.side.note(events);
  if (link.connecting()) after_connect(link, connect_.go_on(link.side, link.target));
  if (link.used && !link.connecting()) serve(link);
  feed_queue();
  arm_timer();
}

// Writes and reads until the socket blocks or the link has ended.
void HookClient::serve(Link& link) {
  const std::uint32_t generation = link.generation;
  std::size_t moved = 0;
  if (link.side.flush(moved) == IoStatus::kEnded) {
    link.side.out.clear();  // it may have said why: what it sent is read below
    link.side.readable = true;
  }
  while (link.generation == generation && link.side.readable) {
    ssize_t n = 0;
    const IoStatus status = link.side.read(read_buffer_, n);
    if (status == IoStatus::kBlocked) return;
    if (link.call == 0) return drop_link(link);  // closed, or talks out of turn
    if (status == IoStatus::kOk) {
      took(link, link.response->feed(ByteView(read_buffer_.data(), static_cast<std::size_t>(n))));
    } else if (n == 0) {
      return took(link, link.response->on_close());
    } else {
      return broke(link, std::strerror(errno));
    }
  }
}

void HookClient::took(Link& link, ParseStatus status) {
  if (status == ParseStatus::kComplete) return answered(link);
  if (status == ParseStatus::kNeedMore) return;
  std::string why(link.response->error());
  if (const std::string_view detail = link.response->detail(); !detail.empty()) {
    why.append(": ").append(detail);
  }
  broke(link, why);
}

// A whole answer is there.
void HookClient::answered(Link& link) {
  const std::uint64_t id = std::exchange(link.call, 0);
  const HookVerdict verdict = read_hook_answer(link.response->head().status, link.response->body());
  if (link.response->reusable()) {
    link.state = Link::State::kIdle;
    link.response.reset();
  } else {
    drop_link(link);
  }
  counters_.add(verdict.allowed ? Counter::kHookAllowed : Counter::kHookRefused);
  finish(id, verdict, false);
}

// The connection is of no use, and the call has no answer.
void HookClient::broke(Link& link, const std::string& why) {
  const std::uint64_t id = std::exchange(link.call, 0);
  const bool stale = link.reused && id != 0 && !link.response->begun();
  const bool refused = link.connecting();
  drop_link(link);
  const auto found = calls_.find(id);
  if (found == calls_.end()) return;
  if (stale && !found->second->retried) {
    found->second->retried = true;
    found->second->link = nullptr;
    queue_.push_front(id);
    return;
  }
  refused ? try_next(id, why) : fail(id, Counter::kHookFailed, why);
}

// An address took no connection: the next one, or the call has failed.
void HookClient::try_next(std::uint64_t id, const std::string& why) {
  Call& call = *calls_.at(id);
  call.link = nullptr;
  if (++call.refused >= addresses_of(call)) return fail(id, Counter::kHookFailed, why);
  queue_.push_front(id);
}

void HookClient::fail(std::uint64_t id, Counter counter, const std::string& why) {
  const Call& call = *calls_.at(id);
  counters_.add(counter);
  const bool open = config_.hooks.fail == "open";
  std::uint64_t suppressed = 0;
  if (failures_.take(monotonic_ms(), suppressed)) {
    LogLine(LogLevel::kWarn, open ? "hook failed, the client is let in" : "hook failed")
        .session(call.session)
        .field("hook", to_string(call.action))
        .field("host", target_of(call).url.authority)
        .field("server", call.endpoint.empty() ? "" : to_string(call.endpoint))
        .field("reason", why)
        .field("suppressed", suppressed);
  }
  finish(id, {open, "the hook failed: " + why}, true);
}

void HookClient::finish(std::uint64_t id, const HookVerdict& verdict, bool failed) {
  const auto found = calls_.find(id);
  const std::unique_ptr<Call> call = std::move(found->second);
  calls_.erase(found);
  counters_.sub(Counter::kHookCalls);
  if (call->link != nullptr && call->link->call == id) drop_link(*call->link);
  if (call->key) {
    shared_.erase(*call->key);
    const std::uint64_t ttl = config_.hooks.cache_ttl;
    cache_.put(*call->key, verdict.allowed,
               monotonic_ms() + (verdict.allowed ? ttl : std::min(ttl, kRefusalMs)));
  }
  const bool told = call->action == HookAction::kStop || call->action == HookAction::kUnpublish;
  if (told && !failed && !verdict.allowed) {
    LogLine(LogLevel::kInfo, "hook was told, and did not like it")
        .session(call->session)
        .field("hook", to_string(call->action))
        .field("reason", verdict.why);
  }
  // A waiter may leave while another one is told.
  for (const auto& [ticket, done] : call->waiters) {
    if (tickets_.erase(ticket) > 0) done(verdict);
  }
  if (calls_.empty()) on_idle_();
}

}  // namespace weir
