#include "common/proto/http/head_writer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "common/base/ascii.h"

namespace weir::http {
namespace {

constexpr std::array<std::pair<unsigned, std::string_view>, 41> kReasons = {{
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
}};

void append_number(std::string& out, std::uint64_t number) {
  char digits[20];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, number);
  if (error == std::errc{}) out.append(digits, end);
}

// What Connection names, kept for the comparison with each field.
class ConnectionNames {
 public:
  explicit ConnectionNames(const Fields& fields) : fields_(fields) {
    any_ = fields.has(HeaderId::kConnection) && !only_usual();
  }
  bool has(const Field& field) const {
    return any_ && fields_.has_token(HeaderId::kConnection, field.name);
  }

 private:
  // The two values that nearly all messages have name no field.
  bool only_usual() const {
    if (fields_.count(HeaderId::kConnection) != 1) return false;
    const std::string_view value = fields_.get(HeaderId::kConnection);
    return same_ignoring_case(value, "close") || same_ignoring_case(value, "keep-alive");
  }
  const Fields& fields_;
  bool any_ = false;
};

}  // namespace

HeadWriter& HeadWriter::request(std::string_view method, std::string_view target) {
  const bool plain = std::all_of(target.begin(), target.end(), [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && c != 0x7F;
  });
  ok_ = ok_ && is_token(method) && !target.empty() && plain;
  if (ok_) out_.append(method).append(" ").append(target).append(" HTTP/1.1\r\n");
  return *this;
}

HeadWriter& HeadWriter::response(unsigned status, std::string_view reason) {
  ok_ = ok_ && status >= 100 && status <= 999 && is_field_value(reason);
  if (!ok_) return *this;
  out_.append("HTTP/1.1 ");
  append_number(out_, status);
  out_.append(" ").append(reason.empty() ? reason_phrase(status) : reason).append("\r\n");
  return *this;
}

HeadWriter& HeadWriter::field(HeaderId id, std::string_view value) {
  ok_ = ok_ && id != HeaderId::kOther && is_field_value(value);
  if (ok_) put(header_name(id), value);
  return *this;
}

HeadWriter& HeadWriter::field(std::string_view name, std::string_view value) {
  ok_ = ok_ && is_token(name) && is_field_value(value);
  if (ok_) put(name, value);
  return *this;
}

void HeadWriter::put(std::string_view name, std::string_view value) {
  out_.append(name).append(": ").append(value).append("\r\n");
}

HeadWriter& HeadWriter::field(HeaderId id, std::uint64_t number) {
  out_.append(header_name(id)).append(": ");
  append_number(out_, number);
  out_.append("\r\n");
  ok_ = ok_ && id != HeaderId::kOther;
  return *this;
}

HeadWriter& HeadWriter::copy_end_to_end(const Fields& fields, FieldSet skip) {
  const FieldSet left_out = skip | kHopByHop | FieldSet{HeaderId::kContentLength};
  const ConnectionNames named(fields);
  for (const Field& one : fields) {
    if (!left_out.has(one.id) && !named.has(one)) field(one.name, one.value);
  }
  return *this;
}

HeadWriter& HeadWriter::body(const Body& body) {
  if (body.framing == Framing::kLength) return field(HeaderId::kContentLength, body.length);
  if (body.framing == Framing::kChunked) return field(HeaderId::kTransferEncoding, "chunked");
  return *this;
}

bool HeadWriter::finish() {
  if (ok_) {
    out_.append("\r\n");
  } else {
    out_.resize(start_);
  }
  return ok_;
}

std::string_view reason_phrase(unsigned status) {
  for (const auto& [code, text] : kReasons) {
    if (code == status) return text;
  }
  return "Status";
}

}  // namespace weir::http
