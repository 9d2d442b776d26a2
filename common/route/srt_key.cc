#include "common/route/srt_key.h"

#include <algorithm>
#include <cctype>

#include "common/base/control_byte.h"
#include "common/base/limits.h"

namespace weir::route {
namespace {

// To SRS, in fields.
bool is_separator(char c) {
  return c == '=' || c == ',' || c == '&' || c == ';' || c == '?';
}

struct Reading {
  std::string_view host;
  std::string_view resource;
  std::string_view mode;
  friend bool operator==(const Reading&, const Reading&) = default;
};

// As SRS 4 to 7 read fields (srs_parse_query_string): parted by `=` and `,` alike into a row, of
// which every second text is a key. A value with `=` shifts what follows.
Reading read_in_pairs(std::string_view fields) {
  Reading out;
  std::string_view key;
  for (bool is_key = true;; is_key = !is_key) {
    const auto end = static_cast<std::size_t>(
        std::find_if(fields.begin(), fields.end(), is_separator) - fields.begin());
    const std::string_view token = fields.substr(0, end);
    if (is_key) {
      key = token;
    } else if (key == "h") {
      out.host = token;
    } else if (key == "r") {
      out.resource = token;
    } else if (key == "m") {
      out.mode = token;
    }
    if (end == fields.size()) {
      if (!is_key) return out;
      // A last key without a value has an empty one.
      if (token == "h") out.host = {};
      if (token == "r") out.resource = {};
      if (token == "m") out.mode = {};
      return out;
    }
    const bool twice = fields.substr(end).starts_with("&&");
    fields.remove_prefix(end + (twice ? 2 : 1));
  }
}

bool has_brace(std::string_view text) {
  return text.find('{') != std::string_view::npos || text.find('}') != std::string_view::npos;
}

bool has_escape(std::string_view text) {
  const auto is_hex = [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; };
  for (std::size_t at = 0; at + 2 < text.size(); ++at) {
    if (text[at] == '%' && is_hex(text[at + 1]) && is_hex(text[at + 2])) return true;
  }
  return false;
}

}  // namespace

StreamKey from_srt(const srt::StreamId& id) {
  KeyParts parts;
  parts.app = id.app;
  parts.stream = id.stream;
  std::string query;
  if (!id.vhost.empty()) {
    if (id.vhost.find_first_of("/&?") != std::string_view::npos) {
      StreamKey refused;
      refused.error = KeyError::kBadHost;
      return refused;
    }
    query = "vhost=";
    query += id.vhost;
  }
  parts.query = query;
  return make_stream_key(parts);
}

srt::StreamIdError origin_stream_id(const StreamKey& key, const srt::StreamId& id,
                                    std::string& out) {
  const std::string_view path = std::string_view(key.text).substr(key.app_at);
  const Reading meant{key.vhost() == kDefaultVhost ? std::string_view() : key.vhost(), path,
                      to_string(id.mode)};
  out.reserve(key.text.size() + id.user.size() + id.fields.size() + 32);  // with the keys
  out = "#!::";
  if (!meant.host.empty()) out.append("h=").append(meant.host).append(",");
  out.append("r=").append(path).append(",m=").append(meant.mode);
  if (!id.user.empty()) out.append(",u=").append(id.user);
  out.append(id.fields);
  if (out.size() > limits::kSrtStreamIdBytes) return srt::StreamIdError::kTooLong;
  if (has_control_byte(out)) return srt::StreamIdError::kBadSyntax;
  const bool clear = read_in_pairs(std::string_view(out).substr(4)) == meant && !has_escape(path) &&
                     path.front() != ' ' && path.back() != ' ' &&
                     std::none_of(path.begin(), path.end(), is_separator) && !has_brace(path) &&
                     !has_brace(id.user);
  // We, too, must read it as we meant it: the next one in a row may be a Weir.
  srt::StreamId again;
  const bool ours = clear && srt::parse_stream_id(out, {}, again) == srt::StreamIdError::kNone &&
                    again.mode == id.mode && from_srt(again).text == key.text;
  return ours ? srt::StreamIdError::kNone : srt::StreamIdError::kAmbiguous;
}

}  // namespace weir::route
