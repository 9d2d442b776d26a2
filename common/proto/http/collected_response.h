// CollectedResponse: a whole small response, fed from its connection in pieces of any size: interim
// heads are passed over (RFC 9110, 15.2), chunks taken apart, all of it bounded. Pure. Whoever asks
// an origin or the operator's own server for something small reads the answer with it. Owner: one
// request on one connection; head() is made of views into this object, so it lives and dies with
// it. Errors: kInvalid, error() and detail().
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/proto/http/head.h"
#include "common/proto/http/streamed_response.h"

namespace weir::http {

class CollectedResponse {
 public:
  // `request`: the method that is answered. `body_max`: a larger body is an error.
  CollectedResponse(Method request, std::size_t body_max)
      : response_(request), body_max_(body_max) {}
  CollectedResponse(const CollectedResponse&) = delete;
  CollectedResponse& operator=(const CollectedResponse&) = delete;

  // kComplete: head() and body() are whole; what follows is ignored. Don't call again then.
  ParseStatus feed(ByteView bytes);
  // The other side has closed: kComplete when that is how its body ends.
  ParseStatus on_close();

  const ResponseHead& head() const { return response_.head(); }
  const std::string& body() const { return body_; }
  std::string& body() { return body_; }
  // For people; the same few texts whatever was wrong in detail.
  std::string_view error() const { return too_large_ ? kTooLarge : response_.error(); }
  // What was wrong with a head or a chunk; empty for other errors.
  std::string_view detail() const { return response_.detail(); }
  // Whether head() is whole; also after an error in the body.
  bool has_head() const { return response_.has_head(); }
  // Whether anything has come.
  bool begun() const { return response_.begun(); }
  // After kComplete: the connection may be used again. Not when the head says otherwise, the body
  // ended with the connection, or more has come already than was asked for.
  bool reusable() const { return head().keep_alive && ended_in_order_; }

 private:
  static constexpr std::string_view kTooLarge = "answer is too large";

  StreamedResponse response_;
  std::size_t body_max_;
  std::string body_;
  bool too_large_ = false;
  bool ended_in_order_ = false;
};

}  // namespace weir::http
