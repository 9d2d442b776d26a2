#include "common/proto/srt/stream_id.h"

#include <algorithm>
#include <utility>

#include "common/base/limits.h"

namespace weir::srt {
namespace {

bool is_separator(char c) {
  return c == ',' || c == '&' || c == ';' || c == '?';
}

bool same_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

// The next field of `rest`, up to a separator that is in no braces. False: braces do not match.
bool take_field(std::string_view& rest, std::string_view& field) {
  std::size_t depth = 0;
  std::size_t end = 0;
  for (; end < rest.size(); ++end) {
    if (depth == 0 && is_separator(rest[end])) break;
    if (rest[end] == '{') ++depth;
    if (rest[end] == '}' && depth-- == 0) return false;
  }
  field = rest.substr(0, end);
  rest.remove_prefix(std::min(rest.size(), end + 1));
  return depth == 0;
}

Mode mode_of(std::string_view name) {
  if (same_ignoring_case(name, "publish")) return Mode::kPublish;
  return same_ignoring_case(name, "request") ? Mode::kRequest : Mode::kUnknown;
}

struct Fields {
  std::string_view resource;
  std::string_view host;
};

void store(std::string_view key, std::string_view value, Fields& fields, StreamId& out) {
  if (key == "r") {
    fields.resource = value;
  } else if (key == "h") {
    fields.host = value;
  } else if (key == "m") {
    out.mode = mode_of(value);
  } else if (key == "u") {
    out.user = value;
  } else {
    if (!out.rest.empty()) out.rest.push_back('&');
    out.rest.append(key).push_back('=');
    out.rest.append(value);
  }
}

StreamIdError parse_fields(std::string_view content, Fields& fields, StreamId& out) {
  while (!content.empty()) {
    std::string_view field;
    if (!take_field(content, field)) return StreamIdError::kBadSyntax;
    if (field.empty()) continue;
    const std::size_t equals = field.find('=');
    if (equals == 0 || equals == std::string_view::npos) return StreamIdError::kBadSyntax;
    store(field.substr(0, equals), field.substr(equals + 1), fields, out);
  }
  return StreamIdError::kNone;
}

// `h=` is a host, or `app/stream`, or `vhost/app/stream`.
void apply_host(Fields& fields, StreamId& out) {
  const std::size_t first = fields.host.find('/');
  if (first == std::string_view::npos) {
    if (!fields.host.empty()) out.vhost = fields.host;
    return;
  }
  std::string_view path = fields.host;
  if (fields.host.find('/', first + 1) != std::string_view::npos) {
    out.vhost = fields.host.substr(0, first);
    path = fields.host.substr(first + 1);
  }
  if (fields.resource.empty()) fields.resource = path;
}

StreamIdError apply_path(std::string_view path, const StreamIdDefaults& defaults, StreamId& out) {
  while (path.starts_with('/')) path.remove_prefix(1);
  if (path.empty()) return StreamIdError::kNoResource;
  const std::size_t slash = path.rfind('/');
  out.app = slash == std::string_view::npos ? defaults.app : path.substr(0, slash);
  out.stream = slash == std::string_view::npos ? path : path.substr(slash + 1);
  return StreamIdError::kNone;
}

StreamIdError parse_text(std::string_view text, const StreamIdDefaults& defaults, StreamId& out) {
  Fields fields;
  if (text.starts_with("#!")) {
    std::string_view content = text.substr(2);
    if (content.starts_with("::")) {
      content.remove_prefix(2);
    } else if (content.starts_with(":{") && content.ends_with('}')) {
      content = content.substr(2, content.size() - 3);
    } else {
      return StreamIdError::kBadSyntax;
    }
    const StreamIdError error = parse_fields(content, fields, out);
    if (error != StreamIdError::kNone) return error;
    apply_host(fields, out);
    return apply_path(fields.resource, defaults, out);
  }
  // A path, perhaps with a query behind it, which is the origin's matter.
  const std::string_view path = text.substr(0, text.find('?'));
  if (path.size() < text.size()) out.rest = text.substr(path.size() + 1);
  return apply_path(path, defaults, out);
}

}  // namespace

std::string_view to_string(Mode mode) {
  switch (mode) {
    case Mode::kRequest:
      return "request";
    case Mode::kPublish:
      return "publish";
    case Mode::kUnknown:
      return "unknown";
  }
  return "unknown";
}

std::string_view to_string(StreamIdError error) {
  switch (error) {
    case StreamIdError::kNone:
      return "none";
    case StreamIdError::kEmpty:
      return "empty_stream_id";
    case StreamIdError::kTooLong:
      return "stream_id_too_long";
    case StreamIdError::kBadSyntax:
      return "bad_stream_id";
    case StreamIdError::kNoResource:
      return "no_resource";
  }
  return "unknown";
}

StreamIdError parse_stream_id(std::string_view text, const StreamIdDefaults& defaults,
                              StreamId& out) {
  out = {};
  out.mode = defaults.mode;
  if (text.empty()) text = defaults.stream_id;
  if (text.empty()) return StreamIdError::kEmpty;
  if (text.size() > limits::kSrtStreamIdBytes) return StreamIdError::kTooLong;
  return parse_text(text, defaults, out);
}

}  // namespace weir::srt
