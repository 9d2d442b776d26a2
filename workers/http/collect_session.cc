#include "workers/http/collect_session.h"

#include <algorithm>

namespace weir::http {
namespace {

constexpr std::size_t kHeadMax = 32 * 1024;  // interim heads and the real one

}  // namespace

ParseStatus CollectedResponse::feed(ByteView bytes) {
  if (in_body_) return take_body(bytes);
  in_.insert(in_.end(), bytes.begin(), bytes.end());
  for (;;) {
    const ParseStatus status = parser_.parse(as_text(in_), request_, head_);
    if (status == ParseStatus::kNeedMore && in_.size() < kHeadMax) return status;
    if (status != ParseStatus::kComplete) return fail("answer is no HTTP");
    const auto end = in_.begin() + static_cast<std::ptrdiff_t>(head_.consumed);
    if (head_.is_interim()) {
      in_.erase(in_.begin(), end);
      continue;
    }
    in_body_ = true;
    if (head_.body.framing == Framing::kTunnel) return fail("answer is no HTTP");
    if (head_.body.framing == Framing::kLength && head_.body.length > body_max_) {
      return fail("answer is too large");
    }
    return take_body(ByteView(in_).subspan(head_.consumed));
  }
}

ParseStatus CollectedResponse::take_body(ByteView bytes) {
  bool whole = head_.body.empty();
  if (head_.body.framing == Framing::kChunked) {
    while (!whole) {
      ByteView data;
      const ParseStatus status = chunked_.next(bytes, data);
      if (status == ParseStatus::kInvalid) return fail("answer is no HTTP");
      body_ += as_text(data);
      whole = chunked_.done();
      if (status == ParseStatus::kNeedMore) break;
    }
  } else if (head_.body.framing == Framing::kLength) {
    body_ += as_text(bytes).substr(0, head_.body.length - body_.size());
    whole = body_.size() == head_.body.length;
  } else if (!whole) {
    body_ += as_text(bytes);
  }
  if (body_.size() > body_max_) return fail("answer is too large");
  return whole ? ParseStatus::kComplete : ParseStatus::kNeedMore;
}

ParseStatus CollectedResponse::on_close() {
  if (in_body_ && head_.body.framing == Framing::kUntilClose) return ParseStatus::kComplete;
  return fail("closed without a whole answer");
}

ParseStatus CollectedResponse::fail(std::string_view why) {
  error_ = why;
  return ParseStatus::kInvalid;
}

}  // namespace weir::http
