#include "common/route/alias.h"

#include <algorithm>

#include "common/base/limits.h"
#include "common/proto/http/target.h"
#include "common/route/query_reading.h"

namespace weir::route {
namespace {

// What stands for itself in the parts of a key, which are unescaped once more.
constexpr std::string_view kPlain = "/:@!$'()*";

StreamKey refused(KeyError error) {
  StreamKey key;
  key.error = error;
  return key;
}

// The key of a target.
StreamKey key_of(const AliasTarget& target, std::string_view vhost, const AliasCaptures& captures) {
  std::string query = "vhost=";
  const std::string named = expand_alias(target.host, captures);
  http::percent_encode(named.empty() ? vhost : std::string_view(named), "", query);
  std::string path;
  for (const AliasSegment& segment : target.path) {
    path += '/';
    http::percent_encode(expand_alias(segment, captures), kPlain, path);
  }
  KeyParts parts;
  parts.stream = path;
  parts.query = query;
  return make_stream_key(parts);
}

enum class ParamsFit : std::uint8_t { kYes, kNo, kAmbiguous };

// The values of a rule's parameters, each of which is to be there once for whoever reads the query.
// `values` keeps what the captures look at.
ParamsFit match_params(const AliasPattern& pattern, std::span<const std::string_view> names,
                       std::string_view query,
                       std::array<std::string, limits::kAliasCaptures>& values,
                       AliasCaptures& captures) {
  if (!query_names_any(query, names)) return ParamsFit::kNo;
  std::string rest;
  std::array<bool, limits::kAliasCaptures> seen{};
  http::QueryParam param;
  while (http::next_param(query, param)) {
    const auto named = std::find(names.begin(), names.end(), param.name);
    const std::size_t at = static_cast<std::size_t>(named - names.begin());
    if (named == names.end() || seen[at]) {
      rest.append(rest.empty() ? "" : "&").append(param.whole);
      continue;
    }
    seen[at] = true;
    if (!http::percent_decode(param.value, values[at])) return ParamsFit::kAmbiguous;
    if (values[at].find_first_of("=,;&?%+") != std::string::npos) return ParamsFit::kAmbiguous;
  }
  if (query_names_any(rest, names)) return ParamsFit::kAmbiguous;
  for (std::size_t i = 0; i < pattern.params.size(); ++i) {
    if (!seen[i] || !match_alias_segment({pattern.params[i].value}, values[i], captures)) {
      return ParamsFit::kNo;
    }
  }
  return ParamsFit::kYes;
}

// `/app/stream` of a key.
std::string_view path_of(const StreamKey& key) {
  return std::string_view(key.text).substr(key.app_at - 1U);
}

}  // namespace

// What is asked, as rules see it. Views.
struct Aliases::Asked {
  std::string_view vhost;
  AliasPath file;  // as it was asked
  AliasPath name;  // app and stream
  std::string_view query;
  bool http = false;
};

Result<Aliases> Aliases::make(std::span<const AliasText> rules) {
  Aliases out;
  if (rules.size() > limits::kAliasRules) return fail("there are too many rules");
  out.rules_.reserve(rules.size());  // params look into it
  for (const AliasText& text : rules) {
    const std::string where = "rule " + std::to_string(out.rules_.size() + 1) + ": ";
    auto from = parse_alias_pattern(text.from);
    if (!from) return fail(where + from.error().text);
    if (text.to.empty() || text.to.size() > limits::kAliasTargets) {
      return fail(where + "it has no names, or too many");
    }
    Rule& rule = out.rules_.emplace_back();
    rule.from = std::move(*from);
    for (const std::string& name : text.to) {
      auto target = parse_alias_target(name, rule.from);
      if (!target) return fail(where + target.error().text);
      rule.to.push_back(std::move(*target));
    }
    for (const AliasPattern::Param& param : rule.from.params) rule.params.push_back(param.name);
  }
  return out;
}

AliasFound Aliases::find(const Asked& asked) const {
  std::array<std::string, limits::kAliasCaptures> values;
  AliasFound out;
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    const Rule& rule = rules_[i];
    if (!asked.http && (rule.to.size() > 1 || !rule.params.empty())) continue;
    AliasCaptures captures{};
    const bool file = rule.from.names_file || !rule.params.empty() || asked.name.count == 0;
    const AliasPath& path = file ? asked.file : asked.name;
    if (!match_alias_path(rule.from, path, captures)) continue;
    if (!rule.from.host.empty() && !match_alias_segment(rule.from.host, asked.vhost, captures)) {
      continue;
    }
    ParamsFit params = ParamsFit::kYes;
    if (!rule.params.empty()) {
      params = match_params(rule.from, rule.params, asked.query, values, captures);
    }
    if (params == ParamsFit::kNo) continue;
    out.rule = i;
    if (params == ParamsFit::kAmbiguous) {
      out.keys.push_back(refused(KeyError::kAmbiguous));
      return out;
    }
    for (const AliasTarget& target : rule.to) {
      StreamKey key = key_of(target, asked.vhost, captures);
      if (!key.ok()) return {i, {std::move(key)}};
      out.keys.push_back(std::move(key));
    }
    return out;
  }
  return out;
}

AliasFound Aliases::of_http(std::string_view host, std::string_view path, std::string_view query,
                            const StreamKey& key) const {
  if (rules_.empty()) return {};
  // As a key it is unescaped and bounded; an app in front, since the path may have none.
  KeyParts parts;
  parts.host = host;
  parts.app = "-";
  parts.stream = path;
  parts.query = query;
  const StreamKey file = make_stream_key(parts);
  if (!file.ok()) return find(key);  // its path is too long for rules about files
  const std::string_view asked = path_of(file).substr(2);
  const std::string_view name = key.ok() ? path_of(key) : std::string_view();
  return find(Asked{file.vhost(), AliasPath(asked), AliasPath(name), query, true});
}

AliasFound Aliases::find(const StreamKey& key) const {
  if (rules_.empty() || !key.ok()) return {};
  const AliasPath path(path_of(key));
  return find(Asked{key.vhost(), path, path, {}, false});
}

StreamKey Aliases::of_key(StreamKey key) const {
  AliasFound found = find(key);
  return found.keys.empty() ? std::move(key) : std::move(found.keys.front());
}

}  // namespace weir::route
