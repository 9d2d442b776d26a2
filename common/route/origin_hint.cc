#include "common/route/origin_hint.h"

#include <algorithm>
#include <array>

#include "common/base/bytes.h"

namespace weir::route {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t kHintBytes = 16;
// A fixed, public start; the secrecy comes from the secret alone.
constexpr HashSeed kDerivation{0x7765697220686e74ULL, 0x206b657920763031ULL};

std::array<int, 256> make_values() {
  std::array<int, 256> values{};
  values.fill(-1);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<int>(i);
  }
  return values;
}

std::uint64_t labelled(HashSeed seed, std::string_view label, std::string_view text) {
  std::string all;
  all.reserve(label.size() + 1 + text.size());
  all.append(label).append(1, '\0').append(text);
  return keyed_hash(seed, all);
}

std::uint64_t mac_of(const HintKey& key, std::uint64_t fingerprint, std::string_view scope) {
  std::array<std::uint8_t, 8> number{};
  store_be64(number.data(), fingerprint);
  return labelled(key.mac, as_text(number), scope);
}

std::string_view next_param(std::string_view& query) {
  const std::size_t end = std::min(query.find('&'), query.size());
  const std::string_view param = query.substr(0, end);
  query.remove_prefix(std::min(end + 1, query.size()));
  return param;
}

bool is_hint(std::string_view param) {
  return param.substr(0, param.find('=')) == kHintParameter;
}

}  // namespace

HintKey derive_hint_key(std::string_view secret) {
  const HashSeed root{labelled(kDerivation, "root 0", secret),
                      labelled(kDerivation, "root 1", secret)};
  return {{labelled(root, "fingerprint 0", secret), labelled(root, "fingerprint 1", secret)},
          {labelled(root, "mac 0", secret), labelled(root, "mac 1", secret)}};
}

std::uint64_t origin_fingerprint(const HintKey& key, std::string_view endpoint_text) {
  return keyed_hash(key.fingerprint, endpoint_text);
}

std::uint64_t origin_fingerprint(const HintKey& key, const Endpoint& endpoint) {
  return origin_fingerprint(key, to_string(endpoint));
}

std::string_view hint_scope(std::string_view path) {
  if (path.starts_with('/')) path.remove_prefix(1);
  const std::size_t slash = path.find('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::string make_hint(const HintKey& key, std::uint64_t fingerprint, std::string_view scope) {
  std::array<std::uint8_t, kHintBytes> bytes{};
  store_be64(bytes.data(), fingerprint);
  store_be64(bytes.data() + 8, mac_of(key, fingerprint, scope));
  std::string text;
  text.reserve(kHintChars);
  std::uint32_t bits = 0;
  int held = 0;
  for (const std::uint8_t byte : bytes) {
    bits = ((bits << 8) | byte) & 0xFFFF;
    for (held += 8; held >= 6; held -= 6) text.push_back(kAlphabet[(bits >> (held - 6)) & 63]);
  }
  text.push_back(kAlphabet[(bits << (6 - held)) & 63]);
  return text;
}

const std::string& HintCache::of(const Endpoint& endpoint, std::string_view scope) {
  std::size_t place = endpoint.port + scope.size();
  for (const std::uint8_t byte : endpoint.ip) place = place * 31 + byte;
  if (!scope.empty()) place = place * 31 + static_cast<unsigned char>(scope.back());
  Entry& entry = entries_[place % entries_.size()];
  if (entry.hint.empty() || entry.scope != scope || !(entry.endpoint == endpoint)) {
    entry = {endpoint, std::string(scope),
             make_hint(key_, origin_fingerprint(key_, endpoint), scope)};
  }
  return entry.hint;
}

std::optional<OriginHint> parse_hint(std::string_view text) {
  static const std::array<int, 256> kValues = make_values();
  if (text.size() != kHintChars) return std::nullopt;
  std::array<std::uint8_t, kHintBytes> bytes{};
  std::size_t n = 0;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const int value = kValues[static_cast<unsigned char>(c)];
    if (value < 0) return std::nullopt;
    bits = ((bits << 6) | static_cast<std::uint32_t>(value)) & 0xFFFF;
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes[n++] = static_cast<std::uint8_t>(bits >> held);
  }
  // Four bits are left; other values than zero would be further spellings of the same hint.
  if ((bits & 15) != 0) return std::nullopt;
  return OriginHint{load_be64(bytes.data()), load_be64(bytes.data() + 8)};
}

bool verify_hint(const HintKey& key, const OriginHint& hint, std::string_view scope) {
  // One comparison of whole words: its time does not depend on where they differ.
  return (mac_of(key, hint.fingerprint, scope) ^ hint.mac) == 0;
}

std::optional<std::uint64_t> read_hint(const HintKey& key, std::string_view hint,
                                       std::string_view path) {
  const std::optional<OriginHint> parsed = parse_hint(hint);
  if (!parsed || !verify_hint(key, *parsed, hint_scope(path))) return std::nullopt;
  return parsed->fingerprint;
}

OwnParams take_own_params(std::string_view query, std::string_view companion) {
  OwnParams out;
  if (query.find(kHintParameter) == std::string_view::npos &&
      query.find(companion) == std::string_view::npos) {
    out.rest = query;
    return out;
  }
  const auto is_companion = [&](std::string_view param) {
    return param.substr(0, param.find('=')) == companion;
  };
  std::string_view before, hint, near, last;  // near: what stood right before the last hint
  for (std::string_view left = query; !left.empty();) {
    const std::string_view param = next_param(left);
    if (is_hint(param)) {
      hint = param;
      near = is_companion(before) ? before : std::string_view();
    } else if (is_companion(param)) {
      last = param;
    }
    before = param;
  }
  const std::string_view beside = hint.data() == nullptr ? last : near;
  const auto value_of = [](std::string_view param) {
    return param.substr(std::min(param.find('='), param.size() - 1) + 1);
  };
  if (!hint.empty()) out.hint = value_of(hint);
  if (!beside.empty()) out.companion = value_of(beside);
  bool first = true;
  for (std::string_view left = query; !left.empty();) {
    const bool more = left.find('&') != std::string_view::npos;
    const std::string_view param = next_param(left);
    const bool ours =
        !param.empty() && (param.data() == hint.data() || param.data() == beside.data());
    if (!ours) out.rest.append(first ? "" : "&").append(param);
    first = first && ours;
    if (more && left.empty() && !first) out.rest.push_back('&');  // it ended with one
  }
  return out;
}

std::string_view hint_in_query(std::string_view query) {
  while (!query.empty()) {
    const std::string_view param = next_param(query);
    if (!is_hint(param)) continue;
    return param.substr(std::min(kHintParameter.size() + 1, param.size()));
  }
  return {};
}

std::string query_without_hint(std::string_view query) {
  std::string out;
  if (hint_in_query(query).empty() && query.find(kHintParameter) == std::string_view::npos) {
    out = query;
    return out;
  }
  bool first = true;
  while (!query.empty()) {
    const bool more = query.find('&') != std::string_view::npos;
    const std::string_view param = next_param(query);
    if (!is_hint(param)) {
      if (!first) out.push_back('&');
      out.append(param);
      first = false;
    }
    if (more && query.empty() && !first) out.push_back('&');  // it ended with one
  }
  return out;
}

}  // namespace weir::route
