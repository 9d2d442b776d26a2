#include "common/proto/http/fields.h"

#include <algorithm>

#include "common/base/ascii.h"
#include "common/base/control_byte.h"

namespace weir::http {
namespace {

// In the order of HeaderId.
constexpr std::array<std::string_view, kHeaderIds> kNames = {
    "",
    "Accept",
    "Accept-Encoding",
    "Accept-Ranges",
    "Access-Control-Allow-Credentials",
    "Access-Control-Allow-Origin",
    "Access-Control-Request-Headers",
    "Access-Control-Request-Method",
    "Age",
    "Allow",
    "Authorization",
    "Cache-Control",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Location",
    "Content-Range",
    "Content-Type",
    "Cookie",
    "Date",
    "ETag",
    "Expect",
    "Expires",
    "Forwarded",
    "Host",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Keep-Alive",
    "Last-Modified",
    "Link",
    "Location",
    "Origin",
    "Pragma",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Range",
    "Referer",
    "Retry-After",
    "Sec-WebSocket-Accept",
    "Sec-WebSocket-Key",
    "Server",
    "Set-Cookie",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "User-Agent",
    "Vary",
    "Via",
    "WWW-Authenticate",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Real-IP",
};
static_assert(!kNames.back().empty());

// Names that can't be told apart by length and first letter share a bucket: at most a few.
constexpr std::size_t bucket_of(std::string_view name) {
  const auto letter = static_cast<std::size_t>(lower_case(name.front())) & 31U;
  return (name.size() * 7 + letter * 5) & 255U;
}

struct Buckets {
  std::array<std::uint8_t, 256> first{};        // id, 0: none
  std::array<std::uint8_t, kHeaderIds> next{};  // id of the next one in the bucket
};
constexpr Buckets make_buckets() {
  Buckets buckets;
  for (std::size_t id = kHeaderIds - 1; id > 0; --id) {
    const std::size_t at = bucket_of(kNames[id]);
    buckets.next[id] = buckets.first[at];
    buckets.first[at] = static_cast<std::uint8_t>(id);
  }
  return buckets;
}
constexpr Buckets kBuckets = make_buckets();

// tchar of RFC 9110, 5.6.2.
constexpr std::array<bool, 256> make_token_chars() {
  std::array<bool, 256> table{};
  for (std::size_t c = '0'; c <= '9'; ++c) table[c] = true;
  for (std::size_t c = 'A'; c <= 'Z'; ++c) table[c] = true;
  for (std::size_t c = 'a'; c <= 'z'; ++c) table[c] = true;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}
constexpr std::array<bool, 256> kTokenChars = make_token_chars();

}  // namespace

HeaderId header_id(std::string_view name) {
  if (name.empty()) return HeaderId::kOther;
  std::size_t id = kBuckets.first[bucket_of(name)];
  while (id != 0 && !same_ignoring_case(name, kNames[id])) id = kBuckets.next[id];
  return static_cast<HeaderId>(id);
}

std::string_view header_name(HeaderId id) {
  return id < HeaderId::kCount_ ? kNames[static_cast<std::size_t>(id)] : std::string_view{};
}

void Fields::add(std::string_view name, std::string_view value) {
  static constexpr std::size_t kUsual = 16;  // most heads have no more, and grow once
  const HeaderId id = header_id(name);
  if (all_.empty()) all_.reserve(kUsual);
  all_.push_back({name, value, id});
  std::uint8_t& first = first_[index(id)];
  if (id != HeaderId::kOther && first == 0) first = static_cast<std::uint8_t>(all_.size());
}

void Fields::clear() {
  all_.clear();
  first_.fill(0);
}

const Field* Fields::find(std::string_view name) const {
  const auto at = std::find_if(all_.begin(), all_.end(), [&](const Field& field) {
    return same_ignoring_case(field.name, name);
  });
  return at == all_.end() ? nullptr : &*at;
}

std::size_t Fields::count(HeaderId id) const {
  if (!has(id)) return 0;
  return static_cast<std::size_t>(
      std::count_if(all_.begin(), all_.end(), [&](const Field& field) { return field.id == id; }));
}

bool Fields::has_token(HeaderId id, std::string_view token) const {
  if (!has(id)) return false;
  for (const Field& field : all_) {
    if (field.id != id) continue;
    std::string_view list = field.value;
    std::string_view element;
    while (next_element(list, element)) {
      if (same_ignoring_case(element, token)) return true;
    }
  }
  return false;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return kTokenChars[static_cast<unsigned char>(c)];
  });
}

bool is_field_value(std::string_view text) {
  return !has_control_byte(text);
}

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

bool next_element(std::string_view& list, std::string_view& element) {
  while (!list.empty()) {
    bool quoted = false;
    std::size_t end = 0;
    for (; end < list.size() && (quoted || list[end] != ','); ++end) {
      if (list[end] == '"') quoted = !quoted;
      // An escaped character; a backslash at the very end is itself.
      if (quoted && list[end] == '\\' && end + 1 < list.size()) ++end;
    }
    element = trim(list.substr(0, end));
    list.remove_prefix(std::min(list.size(), end + 1));
    if (!element.empty()) return true;
  }
  return false;
}

}  // namespace weir::http
