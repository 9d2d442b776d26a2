#include "common/proto/origin_api/srs_streams.h"

namespace weir::origin_api {
namespace {

constexpr std::size_t kTopDepth = 1;      // {"code":0,"streams":[
constexpr std::size_t kStreamsDepth = 2;  // in the array
constexpr std::size_t kRowDepth = 3;
constexpr std::size_t kPartDepth = 4;
constexpr std::uint64_t kBitsPerKilobit = 1000;
constexpr std::uint64_t kKbpsMax = UINT32_MAX;
constexpr std::string_view kDefaultVhost = "__defaultVhost__";
constexpr std::string_view kVhostId = "vid-";

}  // namespace

RowStep SrsStreams::next(ByteView& in) {
  for (;;) {
    const JsonToken token = reader_.next(in);
    switch (token) {
      case JsonToken::kNeedMore:
        return RowStep::kNeedMore;
      case JsonToken::kInvalid:
        error_ = reader_.error();
        return RowStep::kInvalid;
      case JsonToken::kKey:
        key_ = key_of(reader_.text());
        break;
      case JsonToken::kString:
        take_text();
        break;
      case JsonToken::kNumber:
        take_number(reader_.number());
        break;
      case JsonToken::kTrue:
        if (key_ == Key::kActive) active_ = true;
        break;
      case JsonToken::kFalse:
        if (key_ == Key::kActive) active_ = false;
        break;
      case JsonToken::kNull:
        break;
      case JsonToken::kBeginObject:
      case JsonToken::kBeginArray:
        begin(token);
        break;
      case JsonToken::kEndObject:
      case JsonToken::kEndArray:
        if (end(token)) return RowStep::kRow;
        break;
    }
  }
}

SrsStreams::Key SrsStreams::key_of(std::string_view text) const {
  const std::size_t depth = reader_.depth();
  if (depth == kTopDepth) return top_key(text);
  if (!in_row_) return Key::kOther;
  if (depth == kRowDepth) return row_key(text);
  return depth == kPartDepth ? part_key(text) : Key::kOther;
}

SrsStreams::Key SrsStreams::top_key(std::string_view text) const {
  if (text == "code") return Key::kCode;
  return text == "streams" ? Key::kStreams : Key::kOther;
}

// By length first: most keys of a row are none of these.
SrsStreams::Key SrsStreams::row_key(std::string_view text) const {
  switch (text.size()) {
    case 3:
      if (text == "app") return Key::kApp;
      return text == "url" ? Key::kUrl : Key::kOther;
    case 4:
      if (text == "name") return Key::kName;
      return text == "kbps" ? Key::kKbps : Key::kOther;
    case 5:
      if (text == "vhost") return Key::kVhost;
      if (text == "video") return Key::kVideo;
      return text == "audio" ? Key::kAudio : Key::kOther;
    case 7:
      return text == "publish" ? Key::kPublish : Key::kOther;
    default:
      return Key::kOther;
  }
}

SrsStreams::Key SrsStreams::part_key(std::string_view text) const {
  if (part_ == Key::kKbps && text == "recv_30s") return Key::kReceived;
  if (part_ == Key::kPublish && text == "active") return Key::kActive;
  const bool is_media = part_ == Key::kVideo || part_ == Key::kAudio;
  return is_media && text == "codec" ? Key::kCodec : Key::kOther;
}

void SrsStreams::begin(JsonToken token) {
  const std::size_t depth = reader_.depth();
  const bool is_object = token == JsonToken::kBeginObject;
  if (depth == kStreamsDepth && key_ == Key::kStreams && !is_object) {
    in_streams_ = has_streams_ = true;
  } else if (depth == kRowDepth && in_streams_ && is_object) {
    in_row_ = true;
    clear_row();
  } else if (depth == kPartDepth) {
    part_ = is_object ? key_ : Key::kOther;
  }
  key_ = Key::kOther;
}

// True: a row is over, and it is one to be told.
bool SrsStreams::end(JsonToken token) {
  const std::size_t depth = reader_.depth();
  key_ = Key::kOther;
  if (depth == kTopDepth && token == JsonToken::kEndArray) in_streams_ = false;
  if (depth == kRowDepth) part_ = Key::kOther;
  if (depth != kStreamsDepth || !in_row_) return false;
  in_row_ = false;
  return finish_row();
}

void SrsStreams::take_text() {
  // What the reader has cut fills a field, and is marked as cut there by one byte more.
  const auto keep = [this](auto& field) {
    field.assign(reader_.text());
    if (reader_.is_cut()) field.append(" ");
  };
  if (key_ == Key::kName) keep(name_);
  if (key_ == Key::kApp) keep(app_);
  if (key_ == Key::kUrl) keep(url_);
  if (key_ == Key::kVhost) keep(vhost_);
  if (key_ == Key::kCodec) keep(part_ == Key::kVideo ? video_ : audio_);
}

void SrsStreams::take_number(std::uint64_t number) {
  if (key_ == Key::kCode) code_ = number;
  if (key_ == Key::kReceived) row_.bits_per_second = std::min(number, kKbpsMax) * kBitsPerKilobit;
}

void SrsStreams::clear_row() {
  for (NameText* text : {&name_, &app_, &url_, &vhost_}) text->clear();
  video_.clear();
  audio_.clear();
  row_ = {};
  active_ = false;
  part_ = Key::kOther;
}

bool SrsStreams::finish_row() {
  ++rows_;
  if (!active_) return false;
  row_.name = name_.text();
  row_.app = app_.text();
  row_.video = video_.text();
  row_.audio = audio_.text();
  const std::size_t slash = url_.text().find('/');
  row_.vhost = slash == std::string_view::npos ? vhost_.text() : url_.text().substr(0, slash);
  // Without a URL an id is all there is.
  if (row_.vhost == kDefaultVhost || row_.vhost.starts_with(kVhostId)) row_.vhost = {};
  if (row_.name.empty() || row_.app.empty() || name_.is_cut() || app_.is_cut()) {
    ++skipped_;
    return false;
  }
  return true;
}

}  // namespace weir::origin_api
