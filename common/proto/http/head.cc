#include "common/proto/http/head.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/ascii.h"

namespace weir::http {
namespace {

constexpr std::size_t kMethodBytes = 32;

struct ErrorRow {
  HeadError error;
  int status;
  std::string_view name;
};
constexpr std::array<ErrorRow, 17> kErrors = {{
    {HeadError::kNone, 0, "none"},
    {HeadError::kBadLine, 400, "bad-start-line"},
    {HeadError::kBadTarget, 400, "bad-target"},
    {HeadError::kBadHost, 400, "bad-host"},
    {HeadError::kBadField, 400, "bad-field"},
    {HeadError::kFoldedField, 400, "folded-field"},
    {HeadError::kBadLineEnd, 400, "bad-line-end"},
    {HeadError::kBadContentLength, 400, "bad-content-length"},
    {HeadError::kLengthAndEncoding, 400, "length-and-encoding"},
    {HeadError::kBadEncoding, 400, "bad-transfer-encoding"},
    {HeadError::kUnknownEncoding, 501, "unknown-transfer-encoding"},
    {HeadError::kConnectRefused, 501, "connect-refused"},
    {HeadError::kMethodTooLong, 501, "method-too-long"},
    {HeadError::kTargetTooLong, 414, "target-too-long"},
    {HeadError::kHeadTooLarge, 431, "head-too-large"},
    {HeadError::kTooManyFields, 431, "too-many-fields"},
    {HeadError::kBadVersion, 505, "bad-version"},
}};
static_assert(kErrors.back().error == HeadError::kBadVersion);

constexpr std::array<std::string_view, 9> kMethods = {"GET",     "HEAD",  "POST",  "PUT", "DELETE",
                                                      "OPTIONS", "PATCH", "TRACE", ""};

Method method_of(std::string_view text) {
  const auto* at = std::find(kMethods.begin(), kMethods.end() - 1, text);
  return static_cast<Method>(at - kMethods.begin());
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// kNone for HTTP/1.0 and HTTP/1.1.
HeadError parse_version(std::string_view text, std::uint8_t& minor) {
  if (text.size() != 8 || text.substr(0, 5) != "HTTP/" || !is_digit(text[5]) || text[6] != '.' ||
      !is_digit(text[7])) {
    return HeadError::kBadLine;
  }
  if (text[5] != '1' || text[7] > '1') return HeadError::kBadVersion;
  minor = static_cast<std::uint8_t>(text[7] - '0');
  return HeadError::kNone;
}

// Bytes over 0x7F aren't allowed in a URI, but players send stream names in UTF-8 unescaped, and
// no server takes them for anything else; they pass as they are. A fragment never goes on the wire.
bool is_target_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > 0x20 && byte != 0x7F && byte != '#';
  });
}

void split_path(std::string_view text, RequestHead& out) {
  const std::size_t mark = text.find('?');
  out.path = text.substr(0, mark);
  out.has_query = mark != std::string_view::npos;
  out.query = out.has_query ? text.substr(mark + 1) : std::string_view{};
}

HeadError parse_absolute(std::string_view target, RequestHead& out) {
  const std::size_t mark = target.find("://");
  if (mark == std::string_view::npos) return HeadError::kBadTarget;
  const std::string_view scheme = target.substr(0, mark);
  if (same_ignoring_case(scheme, "http")) {
    out.scheme = "http";
  } else if (same_ignoring_case(scheme, "https")) {
    out.scheme = "https";
  } else {
    return HeadError::kBadTarget;
  }
  const std::string_view rest = target.substr(mark + 3);
  const std::size_t end = std::min(rest.find_first_of("/?"), rest.size());
  out.host = rest.substr(0, end);
  if (out.host.empty() || !is_valid_host(out.host)) return HeadError::kBadTarget;
  out.absolute_form = true;
  split_path(rest.substr(end), out);
  if (out.path.empty()) out.path = "/";
  return HeadError::kNone;
}

HeadError parse_target(std::string_view target, RequestHead& out) {
  if (target.empty() || !is_target_text(target)) return HeadError::kBadTarget;
  if (target.front() == '/') {
    split_path(target, out);
    return HeadError::kNone;
  }
  if (target == "*") {
    out.path = target;
    return out.method == Method::kOptions ? HeadError::kNone : HeadError::kBadTarget;
  }
  return parse_absolute(target, out);
}

// `line` has no line end.
HeadError parse_request_line(std::string_view line, const HeadLimits& limits, RequestHead& out) {
  const std::size_t first = line.find(' ');
  if (first == std::string_view::npos) return HeadError::kBadLine;
  const std::size_t second = line.find(' ', first + 1);
  if (second == std::string_view::npos) return HeadError::kBadLine;
  out.method_text = line.substr(0, first);
  out.raw_target = line.substr(first + 1, second - first - 1);
  if (!is_token(out.method_text)) return HeadError::kBadLine;
  if (out.method_text.size() > kMethodBytes) return HeadError::kMethodTooLong;
  const HeadError version = parse_version(line.substr(second + 1), out.minor);
  if (version != HeadError::kNone) return version;
  if (out.raw_target.size() > limits.target_bytes) return HeadError::kTargetTooLong;
  if (out.method_text == "CONNECT") return HeadError::kConnectRefused;
  out.method = method_of(out.method_text);
  return parse_target(out.raw_target, out);
}

// The space after the code may be missing when there is no reason: some servers leave it out.
HeadError parse_status_line(std::string_view line, ResponseHead& out) {
  if (line.size() < 12 || line[8] != ' ') return HeadError::kBadLine;
  const HeadError version = parse_version(line.substr(0, 8), out.minor);
  if (version != HeadError::kNone) return version;
  const std::string_view code = line.substr(9, 3);
  if (!std::all_of(code.begin(), code.end(), is_digit) || code[0] == '0') {
    return HeadError::kBadLine;
  }
  if (line.size() > 12 && line[12] != ' ') return HeadError::kBadLine;
  out.status =
      static_cast<std::uint16_t>((code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0'));
  out.reason = line.size() > 13 ? line.substr(13) : std::string_view{};
  return is_field_value(out.reason) ? HeadError::kNone : HeadError::kBadLine;
}

// Whether white space before the colon of a field is an error or, in a response, taken away: a
// proxy must do that (RFC 9112, 5.1).
enum class NameSpace : std::uint8_t { kRefuse, kRemove };

HeadError parse_field(std::string_view line, NameSpace space, Fields& fields) {
  if (line.front() == ' ' || line.front() == '\t') return HeadError::kFoldedField;
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return HeadError::kBadField;
  std::string_view name = line.substr(0, colon);
  if (space == NameSpace::kRemove) name = trim(name);
  if (!is_token(name)) return HeadError::kBadField;
  const std::string_view value = trim(line.substr(colon + 1));
  if (!is_field_value(value)) {
    const bool line_end = value.find('\r') != std::string_view::npos;
    return line_end ? HeadError::kBadLineEnd : HeadError::kBadField;
  }
  fields.add(name, value);
  return HeadError::kNone;
}

// `text`: all field lines and the empty line. The scanner has seen that each LF follows a CR.
HeadError parse_fields(std::string_view text, const HeadLimits& limits, NameSpace space,
                       Fields& fields) {
  const std::size_t most = std::min<std::size_t>(limits.fields, 255);
  while (text.size() > 2) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos || end == 0) return HeadError::kBadLineEnd;
    if (fields.size() == most) return HeadError::kTooManyFields;
    const HeadError error = parse_field(text.substr(0, end - 1), space, fields);
    if (error != HeadError::kNone) return error;
    text.remove_prefix(end + 1);
  }
  return HeadError::kNone;
}

// What both kinds of message say of their length (RFC 9112, 6.1 to 6.3).
struct Lengths {
  bool chunked = false;
  std::optional<std::uint64_t> content_length;
};

HeadError parse_lengths(const Fields& fields, std::uint8_t minor, Lengths& out) {
  if (fields.has(HeaderId::kContentLength)) {
    std::uint64_t value = 0;
    if (fields.count(HeaderId::kContentLength) != 1 ||
        !parse_decimal(fields.get(HeaderId::kContentLength), value)) {
      return HeadError::kBadContentLength;
    }
    out.content_length = value;
  }
  if (!fields.has(HeaderId::kTransferEncoding)) return HeadError::kNone;
  if (out.content_length) return HeadError::kLengthAndEncoding;
  if (minor == 0) return HeadError::kBadEncoding;
  std::size_t chunked = 0;
  std::size_t others = 0;
  bool last = false;
  for (const Field& field : fields) {
    if (field.id != HeaderId::kTransferEncoding) continue;
    std::string_view list = field.value;
    std::string_view coding;
    while (next_element(list, coding)) {
      last = same_ignoring_case(coding, "chunked");
      ++(last ? chunked : others);
    }
  }
  if (!last || chunked != 1) {
    return chunked == 0 && others > 0 ? HeadError::kUnknownEncoding : HeadError::kBadEncoding;
  }
  if (others > 0) return HeadError::kUnknownEncoding;
  out.chunked = true;
  return HeadError::kNone;
}

bool wants_keep_alive(const Fields& fields, std::uint8_t minor) {
  if (!fields.has(HeaderId::kConnection)) return minor == 1;
  if (fields.has_token(HeaderId::kConnection, "close")) return false;
  return minor == 1 || fields.has_token(HeaderId::kConnection, "keep-alive");
}

HeadError check_host(bool needed, RequestHead& out) {
  const std::size_t count = out.fields.count(HeaderId::kHost);
  if (count > 1 || (needed && count == 0 && out.minor == 1)) return HeadError::kBadHost;
  const std::string_view host = out.fields.get(HeaderId::kHost);
  if (!is_valid_host(host)) return HeadError::kBadHost;
  if (!out.absolute_form) out.host = host;
  return HeadError::kNone;
}

HeadError finish_request(const HeadLimits& limits, RequestHead& out) {
  const HeadError host = check_host(limits.needs_host, out);
  if (host != HeadError::kNone) return host;
  Lengths lengths;
  const HeadError error = parse_lengths(out.fields, out.minor, lengths);
  if (error != HeadError::kNone) return error;
  if (lengths.chunked) {
    out.body = {Framing::kChunked, 0};
  } else if (lengths.content_length) {
    out.body = {Framing::kLength, *lengths.content_length};
  }
  out.keep_alive = wants_keep_alive(out.fields, out.minor);
  out.upgrade = out.minor == 1 && out.fields.has(HeaderId::kUpgrade) &&
                out.fields.has_token(HeaderId::kConnection, "upgrade");
  out.expect_continue = out.minor == 1 && out.fields.has_token(HeaderId::kExpect, "100-continue");
  return HeadError::kNone;
}

HeadError finish_response(Method request, ResponseHead& out) {
  Lengths lengths;
  const HeadError error = parse_lengths(out.fields, out.minor, lengths);
  if (error != HeadError::kNone) return error;
  out.content_length = lengths.content_length;
  if (out.status == 101) {
    out.body = {Framing::kTunnel, 0};
  } else if (out.status < 200 || out.status == 204 || out.status == 304 ||
             request == Method::kHead) {
    out.body = {Framing::kNone, 0};
  } else if (lengths.chunked) {
    out.body = {Framing::kChunked, 0};
  } else if (lengths.content_length) {
    out.body = {Framing::kLength, *lengths.content_length};
  } else {
    out.body = {Framing::kUntilClose, 0};
  }
  out.keep_alive = out.body.framing != Framing::kUntilClose && out.status != 101 &&
                   wants_keep_alive(out.fields, out.minor);
  return HeadError::kNone;
}

void reset(RequestHead& out) {
  Fields fields = std::move(out.fields);
  fields.clear();
  out = RequestHead{};
  out.fields = std::move(fields);
}

void reset(ResponseHead& out) {
  Fields fields = std::move(out.fields);
  fields.clear();
  out = ResponseHead{};
  out.fields = std::move(fields);
}

std::string_view first_line(std::string_view buffer, const HeadScanner& scanner) {
  return buffer.substr(scanner.leading(), scanner.first_line_end() - scanner.leading() - 2);
}

HeadError scan_error(const HeadScanner& scanner) {
  return scanner.too_large() ? HeadError::kHeadTooLarge : HeadError::kBadLineEnd;
}

}  // namespace

std::string_view to_string(Method method) {
  return kMethods[static_cast<std::size_t>(method)];
}

std::string_view to_string(HeadError error) {
  return kErrors[static_cast<std::size_t>(error)].name;
}

int status_of(HeadError error) {
  return kErrors[static_cast<std::size_t>(error)].status;
}

bool parse_decimal(std::string_view text, std::uint64_t& value) {
  if (text.empty() || text.size() > 19 || !std::all_of(text.begin(), text.end(), is_digit)) {
    return false;
  }
  value = 0;
  for (const char c : text) value = value * 10 + static_cast<std::uint64_t>(c - '0');
  return value <= static_cast<std::uint64_t>(INT64_MAX);
}

bool is_valid_host(std::string_view host) {
  if (host.empty()) return true;
  std::string_view port;
  std::string_view name = host;
  if (host.front() == '[') {
    const std::size_t close = host.find(']');
    if (close == std::string_view::npos || close < 3) return false;
    name = host.substr(1, close - 1);
    port = host.substr(close + 1);
    if (name.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos) return false;
  } else {
    const std::size_t colon = std::min(host.find(':'), host.size());
    name = host.substr(0, colon);
    port = host.substr(colon);
    // reg-name of RFC 3986 without what could end a URL's authority, quotes or markup.
    const bool good = std::all_of(name.begin(), name.end(), [](char c) {
      return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
             c == '-' || c == '_' || c == '~' || c == '%' || c == '!' || c == '$' || c == '+' ||
             c == '=';
    });
    if (!good || name.empty()) return false;
  }
  if (port.empty()) return true;
  if (port.front() != ':' || port.size() > 6) return false;
  port.remove_prefix(1);
  std::uint64_t number = 0;
  return port.empty() || (parse_decimal(port, number) && number <= 65535);
}

void RequestHead::append_target(std::string& out) const {
  out.append(path);
  if (has_query) out.append("?").append(query);
}

ParseStatus HeadScanner::scan(std::string_view buffer, std::size_t limit) {
  const std::string_view seen = buffer.substr(0, limit);
  while (scanned_ < seen.size()) {
    const std::size_t lf = seen.find('\n', scanned_);
    if (lf == std::string_view::npos) {
      scanned_ = seen.size();
      break;
    }
    if (lf == line_ || seen[lf - 1] != '\r') return ParseStatus::kInvalid;
    const bool empty = lf == line_ + 1;
    scanned_ = lf + 1;
    line_ = scanned_;
    if (!empty && first_end_ == 0) {
      first_end_ = scanned_;
    } else if (empty && first_end_ != 0) {
      return ParseStatus::kComplete;
    } else if (empty) {
      // One empty line before a head: some clients send it after a body (RFC 9112, 2.2).
      if (leading_ != 0) return ParseStatus::kInvalid;
      leading_ = scanned_;
    }
  }
  too_large_ = buffer.size() >= limit;
  return too_large_ ? ParseStatus::kInvalid : ParseStatus::kNeedMore;
}

ParseStatus RequestParser::invalid(HeadError error) {
  error_ = error;
  return ParseStatus::kInvalid;
}

ParseStatus RequestParser::parse(std::string_view buffer, RequestHead& out) {
  reset(out);
  const ParseStatus scanned = scanner_.scan(buffer, limits_.head_bytes);
  const bool have_line = scanner_.first_line_end() != 0;
  if (!have_line && !buffer.empty() && scanned != ParseStatus::kInvalid) {
    // Something else than HTTP (a TLS hello) shall not wait for the time limit.
    const char first = buffer[std::min(scanner_.leading(), buffer.size() - 1)];
    if (first != '\r' && first != '\n' && !is_token({&first, 1}))
      return invalid(HeadError::kBadLine);
  }
  if (!have_line && buffer.size() > limits_.target_bytes + kMethodBytes + 16) {
    return invalid(HeadError::kTargetTooLong);
  }
  if (have_line && (scanned == ParseStatus::kComplete || !line_checked_)) {
    line_checked_ = true;
    const HeadError line = parse_request_line(first_line(buffer, scanner_), limits_, out);
    if (line != HeadError::kNone) return invalid(line);
  }
  if (scanned == ParseStatus::kInvalid) return invalid(scan_error(scanner_));
  if (scanned == ParseStatus::kNeedMore) return scanned;
  const std::size_t from = scanner_.first_line_end();
  HeadError error = parse_fields(buffer.substr(from, scanner_.length() - from), limits_,
                                 NameSpace::kRefuse, out.fields);
  if (error == HeadError::kNone) error = finish_request(limits_, out);
  if (error != HeadError::kNone) return invalid(error);
  out.consumed = scanner_.length();
  scanner_ = HeadScanner{};
  line_checked_ = false;
  return ParseStatus::kComplete;
}

ParseStatus ResponseParser::invalid(HeadError error) {
  error_ = error;
  return ParseStatus::kInvalid;
}

ParseStatus ResponseParser::parse(std::string_view buffer, Method request, ResponseHead& out) {
  reset(out);
  const ParseStatus scanned = scanner_.scan(buffer, limits_.head_bytes);
  const std::string_view start = buffer.substr(0, 5);
  if (start != std::string_view("HTTP/").substr(0, start.size())) {
    return invalid(HeadError::kBadLine);
  }
  const bool have_line = scanner_.first_line_end() != 0;
  if (have_line && (scanned == ParseStatus::kComplete || !line_checked_)) {
    line_checked_ = true;
    const HeadError line = parse_status_line(first_line(buffer, scanner_), out);
    if (line != HeadError::kNone) return invalid(line);
  }
  if (scanned == ParseStatus::kInvalid) return invalid(scan_error(scanner_));
  if (scanned == ParseStatus::kNeedMore) return scanned;
  const std::size_t from = scanner_.first_line_end();
  HeadError error = parse_fields(buffer.substr(from, scanner_.length() - from), limits_,
                                 NameSpace::kRemove, out.fields);
  if (error == HeadError::kNone) error = finish_response(request, out);
  if (error != HeadError::kNone) return invalid(error);
  out.consumed = scanner_.length();
  scanner_ = HeadScanner{};
  line_checked_ = false;
  return ParseStatus::kComplete;
}

}  // namespace weir::http
