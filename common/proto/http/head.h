// Parsers for the head of an HTTP/1 request and response (RFC 9112), strict where leniency would
// let two servers see different messages: line ends are CRLF, no folding, no white space around
// names (in a response that before the colon is taken away: RFC 9112, 5.1), one Content-Length,
// Transfer-Encoding is `chunked` alone and never beside Content-Length. Pure. What was parsed are
// views into the caller's buffer: they live while it stays unmoved.
//
// Feeding: give parse() the whole buffer from the head's first byte each time, longer than before;
// the parser remembers how far it has looked, so byte-wise feeding is linear. One parser a
// connection and direction; after kComplete it is ready for the next head (drop `consumed` bytes).
// After kInvalid, error() names the reason and status_of() the answer; the connection must close.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/proto/http/fields.h"

namespace weir::http {

enum class Method : std::uint8_t {
  kGet,
  kHead,
  kPost,
  kPut,
  kDelete,
  kOptions,
  kPatch,
  kTrace,
  kOther,
};
std::string_view to_string(Method method);  // kOther: ""

enum class HeadError : std::uint8_t {
  kNone,
  kBadLine,            // 400: request or status line that isn't one
  kBadTarget,          // 400: not origin-, absolute- or asterisk-form; control bytes; fragment
  kBadHost,            // 400: Host missing (1.1), twice, or not a host
  kBadField,           // 400: name that is no token, control bytes in the value
  kFoldedField,        // 400: obs-fold
  kBadLineEnd,         // 400: CR or LF alone
  kBadContentLength,   // 400: not one number
  kLengthAndEncoding,  // 400: Content-Length beside Transfer-Encoding
  kBadEncoding,        // 400: Transfer-Encoding in HTTP/1.0, or chunked not last or twice
  kUnknownEncoding,    // 501: Transfer-Encoding with another coding
  kConnectRefused,     // 501: CONNECT; there is no forward proxy here
  kMethodTooLong,      // 501
  kTargetTooLong,      // 414
  kHeadTooLarge,       // 431: bytes
  kTooManyFields,      // 431
  kBadVersion,         // 505: neither HTTP/1.0 nor HTTP/1.1
};
std::string_view to_string(HeadError error);  // for logs, `folded-field`
int status_of(HeadError error);               // as answer to a request; 0 for kNone

struct HeadLimits {
  std::size_t head_bytes = 16 * 1024;  // start line, fields and the empty line
  std::size_t target_bytes = 8 * 1024;
  std::size_t fields = 100;  // at most 255
  bool needs_host = true;    // of HTTP/1.1 requests; false where nothing depends on the host
};

// How the end of the message body is found (RFC 9112, 6.3).
enum class Framing : std::uint8_t {
  kNone,        // no body
  kLength,      // `length` bytes; may be 0
  kChunked,     // ChunkedDecoder finds the end
  kUntilClose,  // responses only
  kTunnel,      // after a 101: whatever comes belongs to the other protocol
};
struct Body {
  Framing framing = Framing::kNone;
  std::uint64_t length = 0;
  // Whether nothing follows the head.
  bool empty() const {
    return framing == Framing::kNone || (framing == Framing::kLength && length == 0);
  }
};

struct RequestHead {
  Method method = Method::kGet;
  std::uint8_t minor = 1;        // HTTP/1.<minor>: 0 or 1
  bool keep_alive = true;        // as far as the client is concerned
  bool absolute_form = false;    // host came from the target, Host was ignored
  bool upgrade = false;          // `Connection: upgrade` beside an Upgrade field (HTTP/1.1)
  bool expect_continue = false;  // `Expect: 100-continue` (HTTP/1.1)
  bool has_query = false;        // there is a `?`, even with nothing after it
  std::string_view method_text;
  std::string_view raw_target;  // as received
  std::string_view scheme;      // of absolute-form: `http` or `https`, else empty
  std::string_view path;        // begins with `/`, not unescaped; `*` for OPTIONS *
  std::string_view query;       // after the `?`
  std::string_view host;        // with port if given; empty: none
  Fields fields;
  Body body;
  std::size_t consumed = 0;

  bool is_asterisk() const { return path == "*"; }
  // `path?query`, as it goes to an origin.
  void append_target(std::string& out) const;
};

struct ResponseHead {
  std::uint16_t status = 0;
  std::uint8_t minor = 1;
  bool keep_alive = true;  // the connection can be used again when the body is through
  std::string_view reason;
  Fields fields;
  Body body;
  // Content-Length as it stands there, also for HEAD and 304.
  std::optional<std::uint64_t> content_length;
  std::size_t consumed = 0;

  // 100 to 199 but not 101: another head follows on the same connection.
  bool is_interim() const { return status >= 100 && status < 200 && status != 101; }
};

// Finds the end of a head without looking at any byte twice.
class HeadScanner {
 public:
  // kComplete: length() bytes, of which leading() are an empty line to ignore, end with the empty
  // line. kInvalid: a bare LF, or limit bytes and no end.
  ParseStatus scan(std::string_view buffer, std::size_t limit);
  std::size_t length() const { return scanned_; }
  std::size_t leading() const { return leading_; }
  std::size_t first_line_end() const { return first_end_; }  // of its LF + 1; 0: not seen yet
  bool too_large() const { return too_large_; }

 private:
  std::size_t scanned_ = 0;
  std::size_t line_ = 0;  // where the current line begins
  std::size_t leading_ = 0;
  std::size_t first_end_ = 0;
  bool too_large_ = false;
};

class RequestParser {
 public:
  RequestParser() = default;
  explicit RequestParser(const HeadLimits& limits) : limits_(limits) {}
  // Replaces `out`, whose memory is used again; meaningful after kComplete only.
  ParseStatus parse(std::string_view buffer, RequestHead& out);
  HeadError error() const { return error_; }

 private:
  ParseStatus invalid(HeadError error);
  HeadLimits limits_;
  HeadScanner scanner_;
  bool line_checked_ = false;
  HeadError error_ = HeadError::kNone;
};

class ResponseParser {
 public:
  ResponseParser() = default;
  explicit ResponseParser(const HeadLimits& limits) : limits_(limits) {}
  // `request`: the method that is answered; it decides about the body.
  ParseStatus parse(std::string_view buffer, Method request, ResponseHead& out);
  HeadError error() const { return error_; }

 private:
  ParseStatus invalid(HeadError error);
  HeadLimits limits_;
  HeadScanner scanner_;
  bool line_checked_ = false;
  HeadError error_ = HeadError::kNone;
};

// `name`, `name:port`, `[v6]:port`: what Host and an authority may hold. Empty is valid for Host.
bool is_valid_host(std::string_view host);
// Digits only, no sign, no overflow.
bool parse_decimal(std::string_view text, std::uint64_t& value);

}  // namespace weir::http
