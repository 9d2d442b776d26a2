// OriginSearch: the connections of a search, and its clock.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/clock.h"
#include "workers/http/origin_search.h"

namespace weir::http {

using ipc::Counter;
using route::SearchVerdict;
using route::SearchWord;

namespace {

// The owner of a dial is the place of its client's connection, and the candidate.
std::uint64_t owner_of(std::uint32_t index, std::size_t candidate) {
  return std::uint64_t{index} << 32U | static_cast<std::uint32_t>(candidate);
}

std::uint32_t index_of(std::uint64_t owner) {
  return static_cast<std::uint32_t>(owner >> 32U);
}

}  // namespace

OriginDialer::Handlers OriginSearch::handlers() {
  return {[this](std::uint64_t owner, int fd) {
            const std::uint32_t index = index_of(owner);
            const std::uint64_t token = pool_.open(fd, {index, process_.server[index].generation});
            return process_.server.events().add(fd, kSideEvents, token);
          },
          [this](std::uint64_t owner, const OriginDialer::Step& step) {
            const auto hunt = hunts_.find(index_of(owner));
            if (hunt == hunts_.end()) return;
            on_step(*hunt->second, static_cast<std::uint32_t>(owner), step);
            go_on(index_of(owner));
          },
          [this](std::uint64_t owner, const Endpoint& endpoint, Side& into) {
            const std::uint32_t index = index_of(owner);
            const UpstreamPool::User user{index, process_.server[index].generation};
            const bool found = pool_.take_into(endpoint, user, into);
            if (found) process_.counters.add(Counter::kHttpReused);
            return found;
          }};
}

// Asks whom the plan says, until it has a verdict or wants to wait.
void OriginSearch::go_on(std::uint32_t index) {
  const auto found = hunts_.find(index);
  if (found == hunts_.end()) return;
  Hunt& hunt = *found->second;
  for (;;) {
    const std::uint64_t now = monotonic_ms();
    const Result result = hunt.plan.verdict(now);
    if (result.verdict != SearchVerdict::kOpen) {
      conclude(hunt, result);
      return;
    }
    const auto candidate = hunt.plan.next(now);
    if (!candidate) break;
    ask(hunt, *candidate, now);
  }
  wake_at(hunt, hunt.plan.wake_ms());
}

void OriginSearch::ask(Hunt& hunt, std::size_t candidate, std::uint64_t now_ms) {
  const StreamExchange& x = exchange(hunt.index);
  const ipc::OriginRef origin = hunt.candidates[candidate];
  if (const auto leg = hunt.legs.find(candidate); leg != hunt.legs.end()) {
    note(hunt, candidate, SearchWord::kNo);  // it was asked before the search
    return;
  }
  if (!bounds_.take(origin, now_ms)) {
    hunt.plan.note(candidate, SearchWord::kNotAsked);
    return;
  }
  process_.counters.add(Counter::kSearchRequests);
  const Connection& conn = process_.server[hunt.index];
  OriginDialer::Want want;
  want.owner = owner_of(hunt.index, candidate);
  want.session = conn.id;
  want.key = x.key;
  want.client = x.identity.client;
  want.client_fd = conn.side.fd.get();
  want.known = origin;
  want.only_known = true;
  want.quiet = true;
  want.reuse = x.kind != StreamKind::kLive && !x.upgrade;
  const OriginDialer::Started started = dialer_.start(want);
  hunt.legs.emplace(candidate, Leg{origin,
                                   {},
                                   started.ticket,
                                   false,
                                   false,
                                   {},
                                   SearchAnswer(x.upgrade ? StreamKind::kLive : x.kind, x.method)});
  ++connections_;
  on_step(hunt, candidate, started.step);
}

void OriginSearch::on_step(Hunt& hunt, std::size_t candidate, const OriginDialer::Step& step) {
  const auto found = hunt.legs.find(candidate);
  if (found == hunt.legs.end()) return;
  Leg& leg = found->second;
  using State = OriginDialer::Step::State;
  leg.endpoint = step.endpoint;
  if (step.state == State::kWaiting) {
    hunt.plan.note(candidate, SearchWord::kDialing);
  } else if (step.state == State::kFailed) {
    leg.dial = 0;
    note(hunt, candidate,
         step.end == OriginDialer::End::kTimeout ? SearchWord::kTooLate : SearchWord::kUnreachable);
  } else {
    leg.open = true;
    leg.proxied = step.proxied;
    leg.side = dialer_.take(leg.dial);
    leg.side.out.append(exchange(hunt.index).request);
    hunt.plan.note(candidate, SearchWord::kSilent);
    move(hunt, candidate);
  }
}

void OriginSearch::on_ready(std::uint32_t index, int fd, std::uint32_t events) {
  const auto found = hunts_.find(index);
  if (found == hunts_.end()) return;
  Hunt& hunt = *found->second;
  const auto of_fd = [&](const Legs::value_type& each) {
    const Leg& leg = each.second;
    return (leg.open ? leg.side.fd.get() : dialer_.descriptor(leg.dial)) == fd;
  };
  const auto leg = std::find_if(hunt.legs.begin(), hunt.legs.end(), of_fd);
  if (leg == hunt.legs.end()) return;
  const std::size_t candidate = leg->first;
  if (leg->second.open) {
    leg->second.side.note(events);
    if (hunt.plan.word(candidate) == SearchWord::kSilent) move(hunt, candidate);
  } else {
    on_step(hunt, candidate, dialer_.on_ready(leg->second.dial, events));
  }
  go_on(index);
}

// Sends and reads what can be, until its answer says something.
void OriginSearch::move(Hunt& hunt, std::size_t candidate) {
  Leg& leg = hunt.legs.find(candidate)->second;
  std::size_t moved = 0;
  if (leg.side.flush(moved) == IoStatus::kEnded) {
    // An origin that closes may have said why.
    leg.side.out.clear();
    leg.side.readable = true;
  }
  while (leg.side.readable) {
    ssize_t n = 0;
    const MutableBytes room = process_.server.scratch();
    const IoStatus status = leg.side.read(room, n);
    if (status == IoStatus::kBlocked) return;
    SearchWord word = SearchWord::kSilent;
    if (status == IoStatus::kEnded) {
      const char* why = n == 0 ? "closed without a whole answer" : std::strerror(errno);
      word = leg.answer.end(n == 0);
      if (word == SearchWord::kUnreachable) {
        broke(hunt, candidate, why);
        return;
      }
    } else {
      word = leg.answer.take(room.first(static_cast<std::size_t>(n)));
    }
    if (word == SearchWord::kSilent) continue;
    note(hunt, candidate, word);
    return;
  }
}

// A pooled connection may have been closed just now: then once more on a new one.
void OriginSearch::broke(Hunt& hunt, std::size_t candidate, std::string_view why) {
  Leg& leg = hunt.legs.find(candidate)->second;
  const StreamExchange& x = exchange(hunt.index);
  leg.side = Side{};
  leg.open = false;
  leg.answer = SearchAnswer(x.upgrade ? StreamKind::kLive : x.kind, x.method);
  OriginDialer::Broken broken;
  broken.why = why;
  broken.excused = true;
  on_step(hunt, candidate, dialer_.retry(leg.dial, broken));
}

// Also lets go of those whose answers no longer matter.
void OriginSearch::note(Hunt& hunt, std::size_t candidate, SearchWord word) {
  hunt.plan.note(candidate, word);
  for (auto it = hunt.legs.begin(); it != hunt.legs.end();) {
    if (hunt.plan.holds(it->first)) {
      ++it;
      continue;
    }
    close(it->second);
    it = hunt.legs.erase(it);
  }
}

// One that has given its whole answer may be asked something else.
void OriginSearch::close(Leg& leg) {
  dialer_.close(std::exchange(leg.dial, 0));
  if (leg.side.fd && !leg.proxied && leg.answer.reusable() && leg.side.out.empty()) {
    pool_.give_back(leg.endpoint, {std::move(leg.side.fd), std::move(leg.side.tls)},
                    monotonic_ms());
  }
  leg.side = Side{};
  --connections_;
}

void OriginSearch::close_all(Hunt& hunt) {
  for (auto& [candidate, leg] : hunt.legs) close(leg);
  hunt.legs.clear();
}

}  // namespace weir::http
