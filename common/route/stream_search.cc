#include "common/route/stream_search.h"

#include <algorithm>

namespace weir::route {
namespace {

bool is_open(SearchWord word) {
  return word == SearchWord::kUnasked || word == SearchWord::kDialing ||
         word == SearchWord::kSilent;
}

}  // namespace

StreamSearch::StreamSearch(const SearchSettings& settings, std::size_t hopeful,
                           std::size_t candidates, std::uint64_t now_ms)
    : settings_(settings),
      hopeful_(std::min(hopeful, candidates)),
      words_(candidates, SearchWord::kUnasked),
      open_(candidates),
      hopeful_open_(hopeful_),
      end_ms_(now_ms + settings.timeout_ms) {
  counts_[static_cast<std::size_t>(SearchWord::kUnasked)] = candidates;
}

std::optional<std::size_t> StreamSearch::next(std::uint64_t now_ms) {
  if (asked_ == words_.size() || now_ms >= end_ms_ || any(SearchWord::kYes)) return {};
  const std::size_t unasked = words_.size() - asked_;
  const bool hedged = asked_ > 0 && now_ms >= asked_ms_ + settings_.hedge_ms;
  // The others' turn comes when the hopeful ones are through, or take their time.
  const bool waits = asked_ == hopeful_ && hopeful_open_ > 0;
  if (!hedged && (waits || open_ - unasked >= settings_.parallel)) return {};
  asked_ms_ = now_ms;
  return asked_++;
}

void StreamSearch::note(std::size_t candidate, SearchWord word) {
  const SearchWord before = words_[candidate];
  --counts_[static_cast<std::size_t>(before)];
  ++counts_[static_cast<std::size_t>(word)];
  words_[candidate] = word;
  if (is_open(before) && !is_open(word)) {
    --open_;
    if (candidate < hopeful_) --hopeful_open_;
  }
  const bool first = counts_[static_cast<std::size_t>(word)] == 1;
  if (word == SearchWord::kYes && first) yes_ = candidate;
  if (word == SearchWord::kDoubtful && first) doubtful_ = candidate;
  if (word == SearchWord::kElse && first) else_ = candidate;
  if (word == SearchWord::kNo) no_ = candidate;
}

bool StreamSearch::holds(std::size_t candidate) const {
  switch (words_[candidate]) {
    case SearchWord::kUnasked:
    case SearchWord::kDialing:
    case SearchWord::kSilent:
      return true;
    case SearchWord::kYes:
      return candidate == yes_;
    case SearchWord::kDoubtful:
      return candidate == doubtful_;
    case SearchWord::kElse:
      return candidate == else_;
    case SearchWord::kNo:
      return candidate == no_;
    case SearchWord::kUnreachable:
    case SearchWord::kTooLate:
    case SearchWord::kNotAsked:
      break;
  }
  return false;
}

StreamSearch::Result StreamSearch::verdict(std::uint64_t now_ms) const {
  if (any(SearchWord::kYes)) return {SearchVerdict::kFound, yes_};
  if (now_ms < end_ms_ && open_ > 0) return {};
  // Where all others say no it is as good as a yes.
  const bool sure = open_ == 0 && !any(SearchWord::kUnreachable) && !any(SearchWord::kTooLate) &&
                    !any(SearchWord::kNotAsked);
  if (any(SearchWord::kDoubtful)) {
    return {sure ? SearchVerdict::kFound : SearchVerdict::kElse, doubtful_};
  }
  if (any(SearchWord::kSilent)) return {SearchVerdict::kWait, 0};
  if (sure) {
    return any(SearchWord::kElse) ? Result{SearchVerdict::kElse, else_}
                                  : Result{SearchVerdict::kNobody, no_};
  }
  if (any(SearchWord::kUnreachable)) return {SearchVerdict::kUnreachable, 0};
  if (any(SearchWord::kNotAsked)) return {SearchVerdict::kBound, 0};
  return {SearchVerdict::kTooLate, 0};
}

std::uint64_t StreamSearch::wake_ms() const {
  if (asked_ == words_.size()) return end_ms_;
  return std::min(end_ms_, asked_ms_ + settings_.hedge_ms);
}

}  // namespace weir::route
