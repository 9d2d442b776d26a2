// StreamSearch: which origins are asked for a stream that nobody knows, when, and what their
// answers mean together (docs/STREAMS.md, "Searched"). The owner asks, tells what it heard, and
// has the clock. Pure.
//
// Candidates are numbers in the order in which they are to be asked; the first `hopeful` of them
// may have the stream, the others are known not to have had it a moment ago and are asked when
// the hopeful ones have not said yes.
//
//   for (;;) next() -> ask it -> note(sent) ... note(word);  verdict() after each; wake at
//   wake_ms()
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace weir::route {

// What is known of a candidate.
enum class SearchWord : std::uint8_t {
  kUnasked,
  kDialing,      // being connected
  kSilent,       // has the request, and has said nothing or promised only
  kYes,          // it has the stream
  kDoubtful,     // says yes, but of old or to everything: if nobody says it better
  kElse,         // neither yes nor "no such stream": a redirect, a refusal
  kNo,           // no such stream
  kUnreachable,  // no connection, or no answer that can be read, or an error of its own
  kTooLate,      // no connection in time
  kNotAsked,     // a bound stood against it
};

enum class SearchVerdict : std::uint8_t {
  kOpen,
  kFound,        // candidate: it has the stream
  kElse,         // candidate: its answer is the best there is; not worth remembering
  kNobody,       // candidate: all said no, this one last
  kWait,         // time is up and some have the request and say nothing: wait for the stream there
  kUnreachable,  // nobody knows, since some could not be asked: these, or
  kTooLate,      // ... not in time, or
  kBound,        // ... not within the bounds
};

struct SearchSettings {
  std::size_t parallel = 8;
  std::uint64_t hedge_ms = 100;
  std::uint64_t timeout_ms = 3000;
};

class StreamSearch {
 public:
  StreamSearch(const SearchSettings& settings, std::size_t hopeful, std::size_t candidates,
               std::uint64_t now_ms);

  // One to be asked now. REQUIRES: its word is noted before the next call.
  std::optional<std::size_t> next(std::uint64_t now_ms);
  void note(std::size_t candidate, SearchWord word);

  struct Result {
    SearchVerdict verdict = SearchVerdict::kOpen;
    std::size_t candidate = 0;  // kFound, kElse, kNobody
  };
  Result verdict(std::uint64_t now_ms) const;
  // When next() or verdict() will say something else without a note().
  std::uint64_t wake_ms() const;
  SearchWord word(std::size_t candidate) const { return words_[candidate]; }
  // Whether its answer, or the one that it may still give, can become the outcome.
  bool holds(std::size_t candidate) const;

 private:
  static constexpr std::size_t kWords = 10;
  bool any(SearchWord word) const { return counts_[static_cast<std::size_t>(word)] > 0; }

  SearchSettings settings_;
  std::size_t hopeful_;
  std::vector<SearchWord> words_;
  std::array<std::size_t, kWords> counts_{};  // of each word
  std::size_t open_ = 0;                      // candidates that may still say something
  std::size_t hopeful_open_ = 0;
  std::size_t asked_ = 0;  // candidates before it
  std::uint64_t asked_ms_ = 0;
  std::uint64_t end_ms_;
  // Whose answer counts of those who said the same: the first, and of those who said no the last.
  std::size_t yes_ = 0;
  std::size_t doubtful_ = 0;
  std::size_t else_ = 0;
  std::size_t no_ = 0;
};

}  // namespace weir::route
