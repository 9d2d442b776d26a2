#include "common/proto/origin_api/nginx_stat.h"

#include <charconv>

namespace weir::origin_api {
namespace {

// 0 for what is no number; the largest for what is too large.
std::uint64_t number_of(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc::result_out_of_range ? UINT64_MAX : value;
}

}  // namespace

RowStep NginxStat::next(ByteView& in) {
  for (;;) {
    const Node before = node();
    switch (reader_.next(in, before >= kFirstText)) {
      case XmlToken::kNeedMore:
        return RowStep::kNeedMore;
      case XmlToken::kInvalid:
        error_ = reader_.error();
        return RowStep::kInvalid;
      case XmlToken::kOpen:
        if (open()) break;
        error_ = "not the statistics of nginx-rtmp";
        return RowStep::kInvalid;
      case XmlToken::kClose:
        if (close(before)) return RowStep::kRow;
        break;
      case XmlToken::kText:
        text_.append(reader_.text());
        break;
    }
  }
}

NginxStat::Node NginxStat::child_of(Node parent, std::string_view name) {
  struct Child {
    Node parent;
    std::string_view name;
    Node node;
  };
  static constexpr Child kChildren[] = {
      {Node::kDocument, "rtmp", Node::kRtmp},
      {Node::kRtmp, "server", Node::kServer},
      {Node::kRtmp, "pid", Node::kPid},
      {Node::kServer, "application", Node::kApplication},
      {Node::kApplication, "name", Node::kAppName},
      {Node::kApplication, "live", Node::kLive},
      {Node::kLive, "stream", Node::kStream},
      {Node::kStream, "name", Node::kName},
      {Node::kStream, "bw_in", Node::kBandwidth},
      {Node::kStream, "publishing", Node::kPublishing},
      {Node::kStream, "meta", Node::kMeta},
      {Node::kMeta, "video", Node::kVideo},
      {Node::kMeta, "audio", Node::kAudio},
      {Node::kVideo, "codec", Node::kVideoCodec},
      {Node::kAudio, "codec", Node::kAudioCodec},
  };
  if (parent == Node::kOther) return Node::kOther;
  for (const Child& each : kChildren) {
    if (each.parent == parent && each.name == name) return each.node;
  }
  return Node::kOther;
}

// False: the document is another one.
bool NginxStat::open() {
  const std::size_t depth = reader_.depth();
  const Node opened = child_of(path_[depth - 1], reader_.name());
  path_[depth] = opened;
  text_.clear();
  if (depth == 1 && opened != Node::kRtmp) return false;
  begun_ = true;
  if (opened == Node::kApplication) app_.clear();
  if (opened == Node::kPublishing) publishing_ = true;
  if (opened == Node::kStream) {
    publishing_ = false;
    name_.clear();
    video_.clear();
    audio_.clear();
    row_ = {};
  }
  return true;
}

// True: a row is over, and it is one to be told.
bool NginxStat::close(Node closed) {
  if (closed == Node::kStream) return finish_row();
  if (closed == Node::kPid) pid_ = number_of(text_.text());
  if (closed == Node::kAppName) app_ = text_;
  if (closed == Node::kName) name_ = text_;
  if (closed == Node::kBandwidth) row_.bits_per_second = number_of(text_.text());
  if (closed == Node::kVideoCodec) video_.assign(text_.text());
  if (closed == Node::kAudioCodec) audio_.assign(text_.text());
  return false;
}

bool NginxStat::finish_row() {
  if (!publishing_) return false;
  row_.app = app_.text();
  row_.name = name_.text();
  row_.video = video_.text();
  row_.audio = audio_.text();
  const auto is_unusable = [](const NameText& text) {
    return text.text().empty() || text.is_cut() || text.text().find(' ') != std::string_view::npos;
  };
  if (is_unusable(app_) || is_unusable(name_)) {
    ++skipped_;
    return false;
  }
  return true;
}

}  // namespace weir::origin_api
