// StreamedResponse: a response whose body is handed on in pieces as it comes: interim heads are
// passed over (RFC 9110, 15.2), chunks taken apart. Pure; keeps the head and nothing of the body.
// Owner: one request on one connection; head() is made of views into this object, so it lives and
// dies with it. Errors: kInvalid, error() and detail().
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/proto/http/chunked.h"
#include "common/proto/http/head.h"

namespace weir::http {

class StreamedResponse {
 public:
  enum class Step : std::uint8_t {
    kNeedMore,  // all bytes were taken
    kHead,      // head() is whole; once
    kData,      // `data` is a piece of the body
    kEnd,       // the body is over; don't ask again
    kInvalid,   // error() says why; don't ask again
  };

  // `request`: the method that is answered.
  explicit StreamedResponse(Method request) : request_(request) {}
  StreamedResponse(const StreamedResponse&) = delete;
  StreamedResponse& operator=(const StreamedResponse&) = delete;

  // Takes bytes from the front of `in`.
  Step next(ByteView& in, ByteView& data);
  // The other side has closed: kEnd when that is how its body ends.
  Step on_close();

  const ResponseHead& head() const { return head_; }
  // Whether head() is whole; also after an error in the body.
  bool has_head() const { return in_body_; }
  // Whether anything has come.
  bool begun() const { return in_body_ || interim_bytes_ > 0 || !head_bytes_.empty(); }
  // For people; the same few texts whatever was wrong in detail.
  std::string_view error() const { return error_; }
  // What was wrong with a head or a chunk; empty for other errors.
  std::string_view detail() const { return detail_; }

 private:
  Step take_head(ByteView& in);
  Step take_chunks(ByteView& in, ByteView& data);
  Step fail(std::string_view why, std::string_view detail = {});

  Method request_;
  std::vector<std::uint8_t> head_bytes_;  // the head is views into it
  std::size_t interim_bytes_ = 0;
  ResponseParser parser_;
  ResponseHead head_;
  ChunkedDecoder chunked_;
  std::uint64_t length_left_ = 0;
  std::string_view error_, detail_;
  bool in_body_ = false;
};

}  // namespace weir::http
