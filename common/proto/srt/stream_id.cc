#include "common/proto/srt/stream_id.h"

#include <algorithm>
#include <utility>

#include "common/base/ascii.h"
#include "common/base/limits.h"

namespace weir::srt {
namespace {

constexpr std::string_view kSeparators = ",&;?";

// Asked of each byte.
constexpr bool is_separator(char c) {
  return c == ',' || c == '&' || c == ';' || c == '?';
}
static_assert(std::all_of(kSeparators.begin(), kSeparators.end(), is_separator));

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
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
  rest.remove_prefix(end);
  return depth == 0;
}

// SRS has the first of each row; the others are what other servers call it.
Mode mode_of(std::string_view name) {
  for (const std::string_view publish : {"publish", "push"}) {
    if (same_ignoring_case(name, publish)) return Mode::kPublish;
  }
  for (const std::string_view request : {"request", "read", "play", "pull", "subscribe"}) {
    if (same_ignoring_case(name, request)) return Mode::kRequest;
  }
  return Mode::kUnknown;
}

// `#!` fields have the keys of access-control.md. Behind a path stand those of a query, where r and
// h have no meaning, and a colon will do for `=`.
enum class Form : std::uint8_t { kFields, kQuery };

class FieldReader {
 public:
  FieldReader(Form form, StreamId& out) : form_(form), out_(out) {}

  // `content` begins with a field, or with the separator before one.
  StreamIdError read(std::string_view content) {
    char separator = ',';
    while (!content.empty()) {
      std::string_view field;
      if (is_separator(content.front())) {
        separator = content.front();
        content.remove_prefix(1);
      }
      if (!take_field(content, field)) return StreamIdError::kBadSyntax;
      if (trimmed(field).empty()) continue;
      if (!store(field, separator)) return StreamIdError::kBadSyntax;
    }
    if (out_.vhost.empty()) out_.vhost = vhost_;
    return StreamIdError::kNone;
  }

  std::string_view resource() const { return resource_; }
  std::string_view host() const { return host_; }

 private:
  bool store(std::string_view field, char separator) {
    const std::size_t equals = field.find_first_of(form_ == Form::kQuery ? "=:" : "=");
    const std::string_view key = trimmed(field.substr(0, equals));
    const bool has_value = equals != std::string_view::npos;
    if (key.empty()) return false;
    // A bare token is all that some queries have.
    const bool query = form_ == Form::kQuery && (separator == '?' || separator == '&');
    if (!has_value && !query) return false;
    const std::string_view value = has_value ? field.substr(equals + 1) : std::string_view();
    const auto is = [key](std::string_view name) { return same_ignoring_case(key, name); };
    if (is("r") || is("h")) {
      if (form_ == Form::kQuery) return false;
      (is("r") ? resource_ : host_) = trimmed(value);
    } else if (is("m") || (form_ == Form::kQuery && is("mode"))) {
      out_.mode = mode_of(trimmed(value));
    } else if (is("u")) {
      out_.user = trimmed(value);
    } else if (is("vhost") || is("domain")) {
      if (vhost_.empty()) vhost_ = trimmed(value);
      add_rest(key, value, has_value);
    } else {
      add_rest(key, value, has_value);
      add_field(key, value, separator);
    }
    return true;
  }

  void add_field(std::string_view key, std::string_view value, char separator) {
    // SRS makes a comma of each question mark. What came first stands behind a field of ours.
    out_.fields.push_back(separator == '?' || out_.fields.empty() ? ',' : separator);
    out_.fields.append(key).append("=").append(value);
  }

  void add_rest(std::string_view key, std::string_view value, bool has_value) {
    if (!out_.rest.empty()) out_.rest.push_back('&');
    out_.rest.append(key);
    if (has_value) out_.rest.append("=").append(value);
  }

  const Form form_;
  StreamId& out_;
  std::string_view resource_;
  std::string_view host_;
  std::string_view vhost_;  // of vhost= or domain=, which count where h= names none
};

StreamIdError apply_path(std::string_view path, const StreamIdDefaults& defaults, StreamId& out) {
  while (path.starts_with('/')) path.remove_prefix(1);
  if (path.empty()) return StreamIdError::kNoResource;
  const std::size_t slash = path.rfind('/');
  out.app = slash == std::string_view::npos ? defaults.app : path.substr(0, slash);
  out.stream = slash == std::string_view::npos ? path : path.substr(slash + 1);
  return StreamIdError::kNone;
}

// `h=` is a host, or `app/stream`, or `vhost/app/stream`.
StreamIdError parse_fields(std::string_view content, const StreamIdDefaults& defaults,
                           StreamId& out) {
  FieldReader fields(Form::kFields, out);
  const StreamIdError error = fields.read(content);
  if (error != StreamIdError::kNone) return error;
  const std::string_view host = fields.host();
  const std::size_t first = host.find('/');
  std::string_view path = host;
  if (first == std::string_view::npos) {
    if (!host.empty()) out.vhost = host;
    path = {};
  } else if (host.find('/', first + 1) != std::string_view::npos) {
    out.vhost = host.substr(0, first);
    path = host.substr(first + 1);
  }
  return apply_path(fields.resource().empty() ? path : fields.resource(), defaults, out);
}

// Takes a vhost off the beginning of a path: `uplive.HOST` and `live.HOST` name the role as well,
// any other name with a dot is one where app and stream follow.
void take_host(std::string_view& path, StreamId& out) {
  const std::size_t slash = path.find('/');
  if (slash == std::string_view::npos) return;
  std::string_view host = path.substr(0, slash);
  const auto strip = [&host](std::string_view prefix) {
    if (!same_ignoring_case(host.substr(0, prefix.size()), prefix)) return false;
    if (host.size() == prefix.size()) return false;
    host.remove_prefix(prefix.size());
    return true;
  };
  if (strip("uplive.")) {
    out.mode = Mode::kPublish;
  } else if (strip("live.")) {
    out.mode = Mode::kRequest;
  } else if (host.find('.', 1) == std::string_view::npos ||
             path.find('/', slash + 1) == std::string_view::npos) {
    return;  // `.` and `..` are no names either
  }
  if (host.find_first_not_of('.') == std::string_view::npos) return;
  out.vhost = host;
  path.remove_prefix(slash);
}

// `publish:path:user:pass:query`, without what is before the first colon.
StreamIdError parse_colons(std::string_view text, const StreamIdDefaults& defaults, StreamId& out) {
  const auto take = [&text] {
    const std::size_t end = std::min(text.find(':'), text.size());
    const std::string_view part = text.substr(0, end);
    text.remove_prefix(std::min(text.size(), end + 1));
    return trimmed(part);
  };
  const std::string_view path = take();
  out.user = take();
  const std::string_view password = take();
  for (const std::string_view part : {path, out.user, password}) {
    if (part.find_first_of(kSeparators) != std::string_view::npos) return StreamIdError::kAmbiguous;
  }
  if (!password.empty()) {
    out.rest.append("s=").append(password);
    out.fields.append(",s=").append(password);
  }
  const std::string_view user = out.user;
  const StreamIdError error = FieldReader(Form::kQuery, out).read(text);
  if (error != StreamIdError::kNone) return error;
  if (out.user.empty()) out.user = user;
  return apply_path(path, defaults, out);
}

// A path, perhaps with fields behind it.
StreamIdError parse_path(std::string_view text, const StreamIdDefaults& defaults, StreamId& out) {
  std::string_view path = text.substr(0, text.find_first_of(kSeparators));
  const std::string_view query = text.substr(path.size());
  path = trimmed(path);
  if (out.vhost.empty()) take_host(path, out);
  const StreamIdError error = FieldReader(Form::kQuery, out).read(query);
  return error == StreamIdError::kNone ? apply_path(path, defaults, out) : error;
}

// Anything that does not begin with `#!`.
StreamIdError parse_plain(std::string_view text, const StreamIdDefaults& defaults, StreamId& out) {
  const std::size_t colon = text.find(':');
  if (colon >= text.find_first_of("/,&;?")) return parse_path(text, defaults, out);
  const Mode named = mode_of(trimmed(text.substr(0, colon)));
  std::string_view behind = text.substr(colon + 1);
  if (behind.starts_with("//")) {
    if (named != Mode::kUnknown) out.mode = named;
    behind.remove_prefix(2);
    const std::string_view host = behind.substr(0, behind.find('/'));
    if (host.find_first_of(kSeparators) != std::string_view::npos) return StreamIdError::kBadSyntax;
    behind.remove_prefix(host.size());
    if (host.find('.') != std::string_view::npos) out.vhost = host;
    return parse_path(behind, defaults, out);
  }
  if (named == Mode::kUnknown) return parse_path(text, defaults, out);
  out.mode = named;
  const bool colons = behind.find(':') < behind.find_first_of(kSeparators);
  return colons ? parse_colons(behind, defaults, out) : parse_path(behind, defaults, out);
}

StreamIdError parse_text(std::string_view text, const StreamIdDefaults& defaults, StreamId& out) {
  if (!text.starts_with("#!")) return parse_plain(text, defaults, out);
  text.remove_prefix(2);
  if (text.starts_with("::")) return parse_fields(text.substr(2), defaults, out);
  if (!text.starts_with(":{") || !text.ends_with('}')) return StreamIdError::kBadSyntax;
  return parse_fields(text.substr(2, text.size() - 3), defaults, out);
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
    case StreamIdError::kAmbiguous:
      return "ambiguous_stream_id";
  }
  return "unknown";
}

StreamIdError parse_stream_id(std::string_view text, const StreamIdDefaults& defaults,
                              StreamId& out) {
  out = {};
  out.mode = defaults.mode;
  // Pasted ids end in a line feed.
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  if (text.empty()) text = defaults.stream_id;
  if (text.empty()) return StreamIdError::kEmpty;
  if (text.size() > limits::kSrtStreamIdBytes) return StreamIdError::kTooLong;
  return parse_text(text, defaults, out);
}

}  // namespace weir::srt
