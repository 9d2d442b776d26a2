// Aliases: the operator's ordered rules that give what viewers ask for and what publishers send one
// stream key. They change the key only, never what goes on to an origin. Pure, immutable, one for
// each worker; linear in what is asked, which is bounded by limits::kStreamKeyBytes. The rules'
// form is in common/base/alias_rule.h. docs/STREAMS.md, "Aliases".
//
//   the first rule that fits counts, and its names are final: no rule is tried on them again
//   a pattern whose last segment ends in text with a dot (`.m3u8`) is for the path of an HTTP
//   request as it was asked; any other one for app and stream, whatever the protocol
//   a rule with a query fits HTTP requests only, and so does one with several names: for these
//   ipc::pick_stream() knows which one is meant
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/alias_rule.h"
#include "common/base/result.h"
#include "common/route/stream_key.h"

namespace weir::route {

struct AliasText {
  std::string_view from;
  std::span<const std::string> to;
};

struct AliasFound {
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::size_t rule = kNone;  // which one has fitted
  // What it names, in its order; one with an error if it makes no key, or if the query could be
  // read in two ways (kAmbiguous). Empty if no rule fits: the key stays.
  std::vector<StreamKey> keys;
};

class Aliases {
 public:
  Aliases() = default;
  // An error names the rule by its number.
  static Result<Aliases> make(std::span<const AliasText> rules);

  bool empty() const { return rules_.empty(); }
  // A request for a stream, a playlist or a segment: path, query and key of a sound HttpTarget. The
  // path may name no stream by itself.
  AliasFound of_http(std::string_view host, std::string_view path, std::string_view query,
                     const StreamKey& key) const;
  // What any other protocol names, or what an origin says that it has. The key itself if it has an
  // error or if no rule fits.
  StreamKey of_key(StreamKey key) const;
  AliasFound find(const StreamKey& key) const;

 private:
  struct Rule {
    AliasPattern from;
    std::vector<AliasTarget> to;
    std::vector<std::string_view> params;  // their names, in from
  };
  struct Asked;
  AliasFound find(const Asked& asked) const;

  std::vector<Rule> rules_;
};

// The rules of a configuration, which has checked them.
template <typename Rules>
Aliases aliases_of(const Rules& configured) {
  std::vector<AliasText> texts;
  for (const auto& rule : configured) texts.push_back({rule.from, rule.to});
  return Aliases::make(texts).value_or(Aliases{});
}

}  // namespace weir::route
