#include "common/proto/http/collected_response.h"

namespace weir::http {

ParseStatus CollectedResponse::feed(ByteView bytes) {
  for (;;) {
    ByteView data;
    switch (response_.next(bytes, data)) {
      case StreamedResponse::Step::kNeedMore:
        return ParseStatus::kNeedMore;
      case StreamedResponse::Step::kInvalid:
        return ParseStatus::kInvalid;
      case StreamedResponse::Step::kEnd:
        ended_in_order_ = bytes.empty();
        return ParseStatus::kComplete;
      case StreamedResponse::Step::kHead:
        too_large_ = head().body.framing == Framing::kLength && head().body.length > body_max_;
        break;
      case StreamedResponse::Step::kData:
        too_large_ = data.size() > body_max_ - body_.size();
        if (!too_large_) body_ += as_text(data);
        break;
    }
    if (too_large_) return ParseStatus::kInvalid;
  }
}

ParseStatus CollectedResponse::on_close() {
  return response_.on_close() == StreamedResponse::Step::kEnd ? ParseStatus::kComplete
                                                              : ParseStatus::kInvalid;
}

}  // namespace weir::http
