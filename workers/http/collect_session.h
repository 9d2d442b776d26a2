// CollectedResponse: a whole small response of an origin, fed from its connection: interim heads
// are passed over, chunks taken apart, the size bounded. Pure. Owner: one request to one origin;
// head() is made of views into this object, so it lives and dies with it. Errors: kInvalid and
// error().
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/proto/http/chunked.h"
#include "common/proto/http/head.h"

namespace weir::http {

class CollectedResponse {
 public:
  // `request`: the method that is answered. `body_max`: a larger body is an error.
  CollectedResponse(Method request, std::size_t body_max)
      : request_(request), body_max_(body_max) {}
  CollectedResponse(const CollectedResponse&) = delete;
  CollectedResponse& operator=(const CollectedResponse&) = delete;

  // kComplete: head() and body() are whole; what follows is ignored. Don't call again then.
  ParseStatus feed(ByteView bytes);
  // The origin has closed: kComplete when that is how its body ends.
  ParseStatus on_close();

  const ResponseHead& head() const { return head_; }
  const std::string& body() const { return body_; }
  std::string& body() { return body_; }
  std::string_view error() const { return error_; }
  // Whether head() is whole; also after an error in the body.
  bool has_head() const { return in_body_; }
  // Whether the origin has sent anything.
  bool begun() const { return in_body_ || !in_.empty(); }

 private:
  ParseStatus take_body(ByteView bytes);
  ParseStatus fail(std::string_view why);

  Method request_;
  std::size_t body_max_;
  std::vector<std::uint8_t> in_;  // up to the end of the head, which is views into it
  ResponseParser parser_;
  ResponseHead head_;
  ChunkedDecoder chunked_;
  std::string body_;
  std::string_view error_;
  bool in_body_ = false;
};

}  // namespace weir::http
