#include "common/proto/http/streamed_response.h"

#include <algorithm>

namespace weir::http {
namespace {

constexpr std::size_t kInterimMax = 16 * 1024;  // all interim heads; the parser bounds each
constexpr std::size_t kLookMax = 16 * 1024;  // bytes that are searched for the head's end at once
constexpr std::string_view kNoHttp = "answer is no HTTP";

}  // namespace

StreamedResponse::Step StreamedResponse::next(ByteView& in, ByteView& data) {
  if (!in_body_) return take_head(in);
  switch (head_.body.framing) {
    case Framing::kChunked:
      return take_chunks(in, data);
    case Framing::kUntilClose:
      data = in;
      break;
    case Framing::kNone:
    case Framing::kLength:
    case Framing::kTunnel:
      if (length_left_ == 0) return Step::kEnd;
      data = in.first(static_cast<std::size_t>(std::min<std::uint64_t>(length_left_, in.size())));
      length_left_ -= data.size();
      break;
  }
  in = in.subspan(data.size());
  return data.empty() ? Step::kNeedMore : Step::kData;
}

StreamedResponse::Step StreamedResponse::take_head(ByteView& in) {
  while (!in.empty()) {
    const std::size_t before = head_bytes_.size();
    const ByteView look = in.first(std::min(in.size(), kLookMax));
    head_bytes_.insert(head_bytes_.end(), look.begin(), look.end());
    const ParseStatus status = parser_.parse(as_text(head_bytes_), request_, head_);
    if (status == ParseStatus::kInvalid) return fail(kNoHttp, to_string(parser_.error()));
    if (status == ParseStatus::kNeedMore) {
      in = in.subspan(look.size());
      continue;
    }
    in = in.subspan(head_.consumed - before);  // it ends in what has just come
    if (!head_.is_interim()) {
      in_body_ = true;
      if (head_.body.framing == Framing::kTunnel) return fail(kNoHttp, "it switched protocols");
      if (head_.body.framing == Framing::kLength) length_left_ = head_.body.length;
      return Step::kHead;
    }
    interim_bytes_ += head_.consumed;
    if (interim_bytes_ > kInterimMax) return fail("answer is too large");
    head_bytes_.clear();
  }
  return Step::kNeedMore;
}

StreamedResponse::Step StreamedResponse::take_chunks(ByteView& in, ByteView& data) {
  if (chunked_.done()) return Step::kEnd;
  const ParseStatus status = chunked_.next(in, data);
  if (status == ParseStatus::kInvalid) return fail(kNoHttp, to_string(chunked_.error()));
  if (!data.empty()) return Step::kData;
  return chunked_.done() ? Step::kEnd : Step::kNeedMore;
}

StreamedResponse::Step StreamedResponse::on_close() {
  if (in_body_ && head_.body.framing == Framing::kUntilClose) return Step::kEnd;
  return fail("closed without a whole answer");
}

StreamedResponse::Step StreamedResponse::fail(std::string_view why, std::string_view detail) {
  error_ = why;
  detail_ = detail;
  return Step::kInvalid;
}

}  // namespace weir::http
