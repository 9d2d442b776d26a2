// OriginSearch: who is let in, who is asked, and what becomes of the verdict.
#include "workers/http/origin_search.h"

#include <algorithm>
#include <utility>

#include "common/base/clock.h"
#include "common/net/crypto.h"
#include "workers/core/player_search.h"
#include "workers/core/search_candidates.h"

namespace weir::http {

using ipc::Counter;
using route::SearchVerdict;
using route::SearchWord;
using What = OriginSearch::Outcome::What;

namespace {

constexpr std::uint64_t kRememberMs = 1000;
constexpr std::uint64_t kNowhere = 0;
constexpr std::string_view kNone = "no origin has this stream\n";
constexpr std::string_view kBusy = "too many searches for unknown streams, try again\n";

std::uint64_t pack(ipc::OriginRef origin) {
  return (std::uint64_t{origin.generation} << 32U | origin.slot) + 1;
}

ipc::OriginRef unpack(std::uint64_t place) {
  return {static_cast<std::uint32_t>(place - 1), static_cast<std::uint32_t>((place - 1) >> 32U)};
}

OriginDialer::Settings dial_settings(const Config& config) {
  OriginDialer::Settings out;
  out.kind = ipc::EndpointKind::kHttp;
  out.attempts = 1;
  out.timeout_ms = config.http.dial_timeout;
  out.tcp = {config.rtmp.tcp_keepalive, config.http.stall_timeout};
  out.counters = kDialCounters;
  return out;
}

route::SearchSettings search_settings(const Config& config) {
  return {static_cast<std::size_t>(config.search.parallel), config.search.hedge_delay,
          config.search.timeout};
}

OriginSearch::Outcome refused(int status, std::string_view why) {
  OriginSearch::Outcome out;
  out.status = status;
  out.why = why;
  return out;
}

OriginSearch::Outcome at(ipc::OriginRef origin) {
  OriginSearch::Outcome out;
  out.what = What::kOrigin;
  out.origin = origin;
  return out;
}

}  // namespace

OriginSearch::OriginSearch(const Process& process, const Room& room, UpstreamPool& pool,
                           OnOutcome on_outcome)
    : process_(process),
      room_(room),
      pool_(pool),
      on_outcome_(std::move(on_outcome)),
      dialer_(process.base, dial_settings(process.config), process.state, process.link,
              process.counters, process.tls, handlers()),
      wakes_(process.base,
             [this](std::uint32_t index) {
               hunts_.find(index)->second->wake_ms = 0;
               go_on(index);
             }),
      recent_(net::random_hash_seed()),
      bounds_(process.config) {
  bounds_.share(process_.state, ipc::WorkerKind::kHttp);
}

StreamExchange* OriginSearch::find(ConnHandle conn, SearchPart part) {
  if (!process_.server.valid(conn)) return nullptr;
  const Connection& there = process_.server[conn.index];
  if (there.detached || !there.exchange || there.exchange->room != &room_) return nullptr;
  StreamExchange& x = exchange(conn.index);
  return x.search == part ? &x : nullptr;
}

// ---- who is let in

// What is published, or was learned of its origin, is there and nowhere else.
bool OriginSearch::wants(const StreamExchange& x) const {
  const bool asks = x.method == Method::kGet || x.method == Method::kHead;
  if (!process_.config.search.enabled || !asks || x.pinned || x.searched || x.key.empty()) {
    return false;
  }
  return !process_.state.is_held(x.key);
}

std::string OriginSearch::name_of(const StreamExchange& x) {
  std::string out = x.key;
  out += x.method == Method::kHead ? '\n' : '\r';
  if (x.upgrade) out += '\n';
  return out += x.path;
}

void OriginSearch::start(std::uint32_t index) {
  StreamExchange& x = exchange(index);
  x.searched = true;
  x.stage = StreamStage::kSearching;
  x.deadline_ms = 0;
  std::string name = name_of(x);
  if (answered_lately(index, name) || follow(index, name)) return;
  if (const std::string_view limit = bound_of(index); !limit.empty()) {
    note_refused(index, limit);
    on_outcome_(index, refused(503, kBusy));
    return;
  }
  std::size_t hopeful = 0;
  std::vector<ipc::OriginRef> asked = candidates(index, std::nullopt, hopeful);
  if (asked.empty()) {
    Outcome out;
    out.what = What::kMaster;
    on_outcome_(index, std::move(out));
    return;
  }
  add_hunt(index, std::move(name), std::move(asked), hopeful);
  go_on(index);
}

bool OriginSearch::start_after_no(std::uint32_t index, ByteView bytes) {
  StreamExchange& x = exchange(index);
  if (!wants(x)) return false;
  std::string name = name_of(x);
  const std::uint64_t now = monotonic_ms();
  if (recent_.find(name, now) || leaders_.count(name) != 0) return false;
  std::size_t hopeful = 0;
  std::vector<ipc::OriginRef> asked = candidates(index, x.origin, hopeful);
  if (asked.size() == 1 || !bound_of(index).empty()) return false;
  x.searched = true;
  x.stage = StreamStage::kSearching;
  x.deadline_ms = 0;
  Hunt& hunt = add_hunt(index, std::move(name), std::move(asked), hopeful);
  Leg said_no{x.origin,
              x.endpoint,
              0,
              true,
              x.proxied,
              std::move(x.upstream),
              SearchAnswer(x.kind, x.method)};
  said_no.answer.take(bytes);
  hunt.legs.emplace(0, std::move(said_no));
  ++connections_;
  go_on(index);
  return true;
}

bool OriginSearch::answered_lately(std::uint32_t index, const std::string& name) {
  const std::uint64_t now = monotonic_ms();
  if (const auto found = recent_.find(exchange(index).key, now)) {
    ipc::OriginRecord record;
    const ipc::OriginRef origin = unpack(*found);
    if (process_.state.read_origin(origin, record) && record.takes(ipc::EndpointKind::kHttp)) {
      exchange(index).searched = false;  // it may have moved in that second
      on_outcome_(index, at(origin));
      return true;
    }
  }
  if (!recent_.find(name, now)) return false;
  process_.counters.add(Counter::kSearchNegatives);
  on_outcome_(index, refused(404, kNone));
  return true;
}

bool OriginSearch::follow(std::uint32_t index, const std::string& name) {
  const auto leader = leaders_.find(name);
  if (leader == leaders_.end()) return false;
  if (!make_room()) {
    note_refused(index, kSearchMaxWaiting);
    on_outcome_(index, refused(503, kBusy));
    return true;
  }
  process_.counters.add(Counter::kSearchShared);
  hunts_.find(leader->second)->second->followers.push_back(process_.server.handle(index));
  count(index, SearchPart::kFollows);
  return true;
}

// The option that keeps this viewer from a search of its own; empty: none.
std::string_view OriginSearch::bound_of(std::uint32_t index) {
  if (!bounds_.take(exchange(index).identity.client, monotonic_ms())) {
    return kSearchRatePerAddress;
  }
  return make_room() ? std::string_view() : kSearchMaxWaiting;
}

// Searches come before those who wait for publishers, or a flood could keep searches away for long.
bool OriginSearch::make_room() {
  const auto most = static_cast<std::size_t>(process_.config.search.max_waiting);
  while (waiting_ >= most && !waiters_.empty()) {
    const ConnHandle longest = waiters_.front();
    waiters_.pop_front();
    if (find(longest, SearchPart::kWaits) == nullptr) continue;
    note_refused(longest.index, kSearchMaxWaiting);
    count(longest.index, SearchPart::kNone);
    tell(longest, refused(503, "nobody publishes this stream yet, try again\n"));
  }
  return waiting_ < most;
}

void OriginSearch::note_refused(std::uint32_t index, std::string_view limit) {
  const StreamExchange& x = exchange(index);
  bounds_.note_refused(process_.counters,
                       {process_.server[index].id, x.identity.client, x.key, limit},
                       monotonic_ms());
}

// ---- who is asked

// `first` was asked already.
std::vector<ipc::OriginRef> OriginSearch::candidates(std::uint32_t index,
                                                     std::optional<ipc::OriginRef> first,
                                                     std::size_t& hopeful) const {
  const SearchCandidates found =
      search_candidates(process_.state, ipc::EndpointKind::kHttp, first, process_.server[index].id);
  std::vector<ipc::OriginRef> out;
  if (first) out.push_back(*first);
  hopeful = found.hopeful + out.size();
  out.insert(out.end(), found.origins.begin(), found.origins.end());
  return out;
}

OriginSearch::Hunt& OriginSearch::add_hunt(std::uint32_t index, std::string&& name,
                                           std::vector<ipc::OriginRef>&& candidates,
                                           std::size_t hopeful) {
  count(index, SearchPart::kLeads);
  leaders_.emplace(name, index);
  route::StreamSearch plan(search_settings(process_.config), hopeful, candidates.size(),
                           monotonic_ms());
  auto hunt =
      std::make_unique<Hunt>(Hunt{index, std::move(name), std::move(candidates), std::move(plan)});
  return *hunts_.insert_or_assign(index, std::move(hunt)).first->second;
}

// ---- what becomes of the verdict

void OriginSearch::conclude(Hunt& hunt, const Result& result) {
  wake_at(hunt, 0);
  leaders_.erase(hunt.name);
  const std::unique_ptr<Hunt> mine = std::move(hunts_.find(hunt.index)->second);
  hunts_.erase(mine->index);
  count(mine->index, SearchPart::kNone);
  remember(*mine, result);
  if (result.verdict == SearchVerdict::kWait) mine->not_to_wait = take_places(*mine);
  Outcome own = outcome_of(*mine, result);
  close_all(*mine);
  tell(process_.server.handle(mine->index), std::move(own));
  for (const ConnHandle follower : mine->followers) {
    if (find(follower, SearchPart::kFollows) == nullptr) continue;
    count(follower.index, SearchPart::kNone);
    tell(follower, for_follower(follower.index, *mine, result));
  }
}

OriginSearch::Outcome OriginSearch::outcome_of(Hunt& hunt, const Result& result) {
  switch (result.verdict) {
    case SearchVerdict::kFound:
    case SearchVerdict::kElse:
    case SearchVerdict::kNobody: {
      const auto leg = hunt.legs.find(result.candidate);
      if (leg == hunt.legs.end()) return refused(404, kNone);
      Outcome out;
      out.what = What::kResponse;
      out.origin = leg->second.origin;
      out.endpoint = leg->second.endpoint;
      out.proxied = leg->second.proxied;
      out.side = std::move(leg->second.side);
      out.side.readable = true;
      out.bytes = leg->second.answer.bytes();
      return out;
    }
    case SearchVerdict::kWait:
    case SearchVerdict::kUnreachable:
    case SearchVerdict::kTooLate:
    case SearchVerdict::kBound:
    case SearchVerdict::kOpen:
      break;
  }
  return for_follower(hunt.index, hunt, result);
}

OriginSearch::Outcome OriginSearch::for_follower(std::uint32_t index, const Hunt& hunt,
                                                 const Result& result) {
  switch (result.verdict) {
    case SearchVerdict::kFound:
    case SearchVerdict::kElse:
      return at(hunt.candidates[result.candidate]);
    case SearchVerdict::kNobody:
      return refused(404, kNone);
    case SearchVerdict::kWait:
      return to_wait(index, hunt);
    case SearchVerdict::kUnreachable:
      return refused(502, "an origin that may have this stream cannot be asked\n");
    case SearchVerdict::kTooLate:
      return refused(504, "an origin that may have this stream cannot be asked in time\n");
    case SearchVerdict::kBound:
    case SearchVerdict::kOpen:
      break;
  }
  return refused(503, kBusy);
}

// Whoever is silent gets a second request for this name, which its bound counts, too. Which of them
// the master picks is not known yet, so it is taken from each; those where it may not are returned.
std::vector<ipc::OriginRef> OriginSearch::take_places(const Hunt& hunt) {
  std::vector<ipc::OriginRef> out;
  const std::uint64_t now = monotonic_ms();
  for (std::size_t i = 0; i < hunt.candidates.size(); ++i) {
    const ipc::OriginRef origin = hunt.candidates[i];
    if (hunt.plan.word(i) != SearchWord::kSilent || !bounds_.take(origin, now)) {
      out.push_back(origin);
    }
  }
  return out;
}

// Those who have followed the search are as many as want one stream, and wait where its leader
// does.
OriginSearch::Outcome OriginSearch::to_wait(std::uint32_t index, const Hunt& hunt) {
  if (hunt.not_to_wait.size() == hunt.candidates.size()) {
    note_refused(index, kSearchRate);
    return refused(503, kBusy);
  }
  process_.counters.add(Counter::kSearchRequests);
  Outcome out;
  out.what = What::kMaster;
  out.tried = hunt.not_to_wait;
  return out;
}

void OriginSearch::remember(const Hunt& hunt, const Result& result) {
  static constexpr std::pair<SearchVerdict, Counter> kResults[] = {
      {SearchVerdict::kFound, Counter::kSearchFound},
      {SearchVerdict::kNobody, Counter::kSearchNone},
      {SearchVerdict::kElse, Counter::kSearchOther},
      {SearchVerdict::kWait, Counter::kSearchWaiting},
  };
  Counter counter = Counter::kSearchUnknown;
  for (const auto& [verdict, counts] : kResults) {
    if (verdict == result.verdict) counter = counts;
  }
  process_.counters.add(counter);
  const std::uint64_t until = monotonic_ms() + kRememberMs;
  const StreamExchange& x = exchange(hunt.index);
  if (result.verdict == SearchVerdict::kNobody) recent_.put(hunt.name, kNowhere, until);
  if (result.verdict == SearchVerdict::kBound) note_refused(hunt.index, kSearchRate);
  if (result.verdict != SearchVerdict::kFound) return;
  const ipc::OriginRef origin = hunt.candidates[result.candidate];
  recent_.put(x.key, pack(origin), until);
  ipc::StreamFound message;
  message.session = process_.server[hunt.index].id;
  message.origin = origin;
  message.protocol = ipc::EndpointKind::kHttp;
  message.key.assign(x.key);
  tell_found(process_.link, process_.state, message, x.identity.client);
}

void OriginSearch::tell(ConnHandle to, Outcome&& outcome) {
  on_outcome_(to.index, std::move(outcome));
  process_.server.wake(to.index);
}

// ---- ends

void OriginSearch::stop(std::uint32_t index) {
  const SearchPart part = exchange(index).search;
  if (part == SearchPart::kNone) return;
  count(index, SearchPart::kNone);
  if (part != SearchPart::kLeads) return;
  const std::unique_ptr<Hunt> hunt = std::move(hunts_.find(index)->second);
  hunts_.erase(index);
  leaders_.erase(hunt->name);
  wake_at(*hunt, 0);
  close_all(*hunt);
  // The others go on: the first of them asks for itself now.
  for (const ConnHandle follower : hunt->followers) {
    if (find(follower, SearchPart::kFollows) == nullptr) continue;
    count(follower.index, SearchPart::kNone);
    start(follower.index);
    process_.server.wake(follower.index);
  }
}

void OriginSearch::waits(std::uint32_t index) {
  count(index, SearchPart::kWaits);
  waiters_.push_back(process_.server.handle(index));
}

void OriginSearch::count(std::uint32_t index, SearchPart part) {
  StreamExchange& x = exchange(index);
  const bool was = x.search != SearchPart::kNone;
  const bool is = part != SearchPart::kNone;
  x.search = part;
  if (is && !was) {
    ++waiting_;
    process_.counters.add(Counter::kSearchPlayers);
  } else if (was && !is) {
    --waiting_;
    process_.counters.sub(Counter::kSearchPlayers);
  }
}

void OriginSearch::sweep() {
  bounds_.share(process_.state, ipc::WorkerKind::kHttp);
  const auto gone = [this](ConnHandle each) { return find(each, SearchPart::kWaits) == nullptr; };
  waiters_.erase(std::remove_if(waiters_.begin(), waiters_.end(), gone), waiters_.end());
}

}  // namespace weir::http
