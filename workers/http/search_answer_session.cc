#include "workers/http/search_answer_session.h"

#include <algorithm>
#include <string>

#include "common/proto/http/chunked.h"
#include "common/proto/http/range.h"

namespace weir::http {
namespace {

using route::SearchWord;

constexpr std::size_t kBytesMax = 64 * 1024;
// Servers send the head of FLV (13 bytes) before they know whether there will be media.
constexpr std::size_t kMediaMin = 14;
constexpr std::size_t kManifestLook = 1024;
// A live playlist is written anew with each segment.
constexpr std::int64_t kOldSeconds = 60;

struct Start {
  std::string body;
  bool whole = false;
};

// The first bytes of the body, as far as they are here.
Start start_of_body(const Body& framing, ByteView rest, bool ended) {
  Start out;
  if (framing.framing != Framing::kChunked) {
    const bool sized = framing.framing == Framing::kLength || framing.framing == Framing::kNone;
    out.whole = ended || (sized && rest.size() >= framing.length);
    // What comes after the body is none of it.
    if (sized && rest.size() > framing.length) {
      rest = rest.first(static_cast<std::size_t>(framing.length));
    }
    out.body = as_text(rest);
    return out;
  }
  ChunkedDecoder decoder;
  ParseStatus status = ParseStatus::kComplete;
  while (status == ParseStatus::kComplete && !decoder.done()) {
    ByteView data;
    status = decoder.next(rest, data);
    out.body += as_text(data);
  }
  out.whole = ended || decoder.done() || status == ParseStatus::kInvalid;
  return out;
}

bool is_web_page(const Fields& fields) {
  return fields.get(HeaderId::kContentType).substr(0, 9) == "text/html";
}

// By the origin's own clock.
bool is_old(const Fields& fields) {
  const auto modified = parse_http_date(fields.get(HeaderId::kLastModified));
  const auto now = parse_http_date(fields.get(HeaderId::kDate));
  return modified && now && *now > *modified + kOldSeconds;
}

}  // namespace

SearchWord SearchAnswer::take(ByteView bytes) {
  in_.insert(in_.end(), bytes.begin(), bytes.end());
  return read(false);
}

SearchWord SearchAnswer::end(bool in_order) {
  if (!in_order) return SearchWord::kUnreachable;
  const SearchWord word = read(true);
  return word == SearchWord::kSilent ? SearchWord::kUnreachable : word;
}

SearchWord SearchAnswer::read(bool ended) {
  for (;;) {
    ResponseHead head;
    const ParseStatus status = parser_.parse(as_text(in_), method_, head);
    if (status == ParseStatus::kNeedMore && in_.size() < kBytesMax) return SearchWord::kSilent;
    if (status != ParseStatus::kComplete) return SearchWord::kUnreachable;
    if (!head.is_interim()) return judge(head, ByteView(in_).subspan(head.consumed), ended);
    in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(head.consumed));
    parser_ = ResponseParser{};
  }
}

SearchWord SearchAnswer::judge(const ResponseHead& head, ByteView rest, bool ended) {
  const unsigned status = head.status;
  if (status == 404 || status == 410) {
    const bool framed =
        head.body.framing == Framing::kLength || head.body.framing == Framing::kNone;
    reusable_ = !ended && head.keep_alive && framed && rest.size() == head.body.length;
    return SearchWord::kNo;
  }
  if (status == 200 || status == 101) return judge_success(head, rest, ended);
  // What it was asked for a part of, or for news of, is there.
  if (status == 206 || status == 304 || status == 416) return SearchWord::kYes;
  if (status >= 500 || status == 429 || status == 408) return SearchWord::kUnreachable;
  return SearchWord::kElse;
}

SearchWord SearchAnswer::judge_success(const ResponseHead& head, ByteView rest, bool ended) const {
  if (is_web_page(head.fields) && kind_ != StreamKind::kPass) return SearchWord::kElse;
  if (method_ == Method::kHead) return SearchWord::kYes;
  const bool media = kind_ == StreamKind::kLive || head.status == 101;
  const bool sized = head.body.framing == Framing::kLength;
  if (kind_ == StreamKind::kPass && !media) return SearchWord::kYes;
  if (media && sized) return head.body.length > 0 ? SearchWord::kYes : SearchWord::kElse;
  const Start start = start_of_body(head.body, rest, ended);
  if (!media) return judge_playlist(head, as_bytes(start.body), start.whole);
  if (start.body.size() >= kMediaMin) return SearchWord::kYes;
  return start.whole ? SearchWord::kElse : SearchWord::kSilent;
}

// Not all that is called so is one: there are servers that send their front page for every name.
SearchWord SearchAnswer::judge_playlist(const ResponseHead& head, ByteView body, bool whole) const {
  static constexpr std::string_view kMark = "#EXTM3U";
  static constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (!head.fields.get(HeaderId::kContentEncoding).empty()) return SearchWord::kYes;
  std::string_view text = as_text(body);
  const SearchWord yes = is_old(head.fields) ? SearchWord::kDoubtful : SearchWord::kYes;
  if (kind_ == StreamKind::kManifest) {
    if (text.substr(0, kManifestLook).find("<MPD") != std::string_view::npos) return yes;
    return whole || text.size() >= kManifestLook ? SearchWord::kElse : SearchWord::kSilent;
  }
  if (text.substr(0, kByteOrderMark.size()) == kByteOrderMark)
    text.remove_prefix(kByteOrderMark.size());
  if (text.size() < kMark.size()) return whole ? SearchWord::kElse : SearchWord::kSilent;
  return text.substr(0, kMark.size()) == kMark ? yes : SearchWord::kElse;
}

}  // namespace weir::http
