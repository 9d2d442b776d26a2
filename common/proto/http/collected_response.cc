#include "common/proto/http/collected_response.h"

#include <algorithm>

namespace weir::http {
namespace {

constexpr std::size_t kInterimMax = 16 * 1024;  // all interim heads; the parser bounds each
constexpr std::string_view kNoHttp = "answer is no HTTP";
constexpr std::string_view kTooLarge = "answer is too large";

}  // namespace

ParseStatus CollectedResponse::feed(ByteView bytes) {
  if (in_body_) return take_body(bytes);
  in_.insert(in_.end(), bytes.begin(), bytes.end());
  for (;;) {
    const ParseStatus status = parser_.parse(as_text(in_), request_, head_);
    if (status == ParseStatus::kNeedMore) return status;
    if (status == ParseStatus::kInvalid) return fail(kNoHttp, to_string(parser_.error()));
    if (!head_.is_interim()) break;
    interim_bytes_ += head_.consumed;
    if (interim_bytes_ > kInterimMax) return fail(kTooLarge);
    in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(head_.consumed));
  }
  in_body_ = true;
  if (head_.body.framing == Framing::kTunnel) return fail(kNoHttp, "it switched protocols");
  if (head_.body.framing == Framing::kLength && head_.body.length > body_max_) {
    return fail(kTooLarge);
  }
  return take_body(ByteView(in_).subspan(head_.consumed));
}

ParseStatus CollectedResponse::take_body(ByteView bytes) {
  if (head_.body.empty()) return complete(bytes.empty());
  if (head_.body.framing == Framing::kChunked) return take_chunks(bytes);
  if (head_.body.framing == Framing::kUntilClose) {
    return append(bytes) ? ParseStatus::kNeedMore : fail(kTooLarge);
  }
  const std::size_t left = static_cast<std::size_t>(head_.body.length) - body_.size();
  const std::size_t mine = std::min(left, bytes.size());
  body_ += as_text(bytes.first(mine));
  return mine == left ? complete(mine == bytes.size()) : ParseStatus::kNeedMore;
}

ParseStatus CollectedResponse::take_chunks(ByteView bytes) {
  for (;;) {
    ByteView data;
    const ParseStatus status = chunked_.next(bytes, data);
    if (status == ParseStatus::kInvalid) return fail(kNoHttp, to_string(chunked_.error()));
    if (!append(data)) return fail(kTooLarge);
    if (chunked_.done()) return complete(bytes.empty());
    if (status == ParseStatus::kNeedMore) return status;
  }
}

// False: it would be too much.
bool CollectedResponse::append(ByteView data) {
  if (data.size() > body_max_ - body_.size()) return false;
  body_ += as_text(data);
  return true;
}

ParseStatus CollectedResponse::on_close() {
  if (in_body_ && head_.body.framing == Framing::kUntilClose) return complete(false);
  return fail("closed without a whole answer");
}

ParseStatus CollectedResponse::complete(bool in_order) {
  ended_in_order_ = in_order;
  return ParseStatus::kComplete;
}

ParseStatus CollectedResponse::fail(std::string_view why, std::string_view detail) {
  error_ = why;
  detail_ = detail;
  return ParseStatus::kInvalid;
}

}  // namespace weir::http
