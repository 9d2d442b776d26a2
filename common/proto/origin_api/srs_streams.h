// SrsStreams: the streams that SRS's HTTP API lists as published (SRS 3 to 7: GET /api/v1/streams/,
// SrsGoApiStreams and SrsStatisticStream::dumps there), read while the answer comes, in pieces of
// any size. Pure; some 3 kB whatever the answer is.
//
//   {"code":0, …, "streams":[{"id":…, "name":"cam", "vhost":"vid-…", "app":"live",
//     "url":"/live/cam" or "vhost/live/cam", "clients":1, "kbps":{"recv_30s":2000, …},
//     "publish":{"active":true, …}, "video":{"codec":"H264", …} or null, "audio":…}, …]}
//
// `vhost` is an id that only another call translates, so the vhost is read off `url`. Rows of
// streams that only have players (`active` false) are passed over. Owner: one answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/base/bytes.h"
#include "common/proto/origin_api/json_reader.h"
#include "common/proto/origin_api/stream_row.h"

namespace weir::origin_api {

class SrsStreams {
 public:
  // Takes bytes from the front of `in`.
  RowStep next(ByteView& in);
  const StreamRow& row() const { return row_; }

  // The answer was whole and one of this API.
  bool complete() const { return reader_.complete() && has_streams_ && code_ == 0; }
  // It is one of this API as far as it has come.
  bool begun() const { return has_streams_; }
  // All that stood there, published or not: fewer than were asked for, so this was the last page.
  std::size_t rows() const { return rows_; }
  // Published ones without a name of a possible length.
  std::size_t skipped() const { return skipped_; }
  std::string_view error() const { return error_; }

 private:
  enum class Key : std::uint8_t {
    kOther,
    kCode,
    kStreams,
    kName,
    kVhost,
    kApp,
    kUrl,
    kKbps,
    kReceived,
    kPublish,
    kActive,
    kVideo,
    kAudio,
    kCodec,
  };
  Key key_of(std::string_view text) const;
  Key top_key(std::string_view text) const;
  Key row_key(std::string_view text) const;
  Key part_key(std::string_view text) const;
  void begin(JsonToken token);
  bool end(JsonToken token);
  void take_text();
  void take_number(std::uint64_t number);
  bool finish_row();
  void clear_row();

  JsonReader reader_;
  Key key_ = Key::kOther;   // whose value comes
  Key part_ = Key::kOther;  // of a row: in which of its objects
  bool in_streams_ = false;
  bool in_row_ = false;
  bool has_streams_ = false;
  bool active_ = false;
  std::uint64_t code_ = 0;
  std::size_t rows_ = 0;
  std::size_t skipped_ = 0;
  std::string_view error_;
  NameText name_, app_, url_, vhost_;
  CodecText video_, audio_;
  StreamRow row_;
};

}  // namespace weir::origin_api
