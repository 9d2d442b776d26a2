// SearchAnswer: what an origin's answer to a viewer's own request says about whether the origin has
// the stream. Reads no more than that takes: the head, and where a head alone is only a promise the
// first bytes of the body. Pure; one for each origin that a search asks.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/proto/http/head.h"
#include "common/route/stream_search.h"
#include "workers/http/stream_kind.h"

namespace weir::http {

class SearchAnswer {
 public:
  SearchAnswer(StreamKind kind, Method method) : kind_(kind), method_(method) {}

  // More bytes of the origin. kSilent: it has said nothing yet that could be believed.
  route::SearchWord take(ByteView bytes);
  // No more will come. `in_order`: a close, which ends some bodies.
  route::SearchWord end(bool in_order);
  // After a kNo: all of the answer is here and its connection may take another request.
  bool reusable() const { return reusable_; }
  // All that has come, without interim heads; for whoever takes the response over.
  std::vector<std::uint8_t> bytes() { return std::move(in_); }

 private:
  route::SearchWord read(bool ended);
  route::SearchWord judge(const ResponseHead& head, ByteView rest, bool ended);
  route::SearchWord judge_success(const ResponseHead& head, ByteView rest, bool ended) const;
  route::SearchWord judge_playlist(const ResponseHead& head, ByteView body, bool whole) const;

  StreamKind kind_;
  Method method_;
  bool reusable_ = false;
  ResponseParser parser_;
  std::vector<std::uint8_t> in_;
};

}  // namespace weir::http
