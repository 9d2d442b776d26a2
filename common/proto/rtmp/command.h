// RTMP command messages (RTMP 1.0, section 7; types 20 and 17): what a proxy must understand of
// them, and the answers that it gives. Pure. Views point into the payload and die with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"

namespace weir::rtmp {

enum class CommandKind : std::uint8_t {
  kConnect,
  kReleaseStream,
  kFcPublish,
  kFcUnpublish,
  kFcSubscribe,
  kCreateStream,
  kDeleteStream,
  kCloseStream,
  kGetStreamLength,
  kPublish,
  kPlay,
  kPlay2,
  kResult,
  kError,
  kOnStatus,
  kOnFcPublish,
  kOnFcUnpublish,
  kOnBwDone,
  kOther,
};

struct Command {
  CommandKind kind = CommandKind::kOther;
  std::string_view name;
  double transaction = 0;
  // connect
  std::string_view app;
  std::string_view tc_url;
  std::string_view flash_ver;
  std::string_view page_url;
  double object_encoding = 0;
  // publish, play; releaseStream, FCPublish and FCUnpublish if they have one
  std::string_view stream;
  std::string_view publish_type;
  // _result: a number in place of the information object, as createStream's answer has
  std::optional<double> stream_id;
  // _result, _error, onStatus: of the information object
  std::string_view level;
  std::string_view code;
  std::string_view description;
};

// Parses the payload of a command message; `type` 17 has one byte before the AMF0 values. Of a
// command that is of no use to a proxy only name and transaction are read. False: not a command, or
// an argument that is needed is missing or of the wrong type.
bool parse_command(ByteView payload, std::uint8_t type, Command& command);

// One string of a payload, as parse_command() gave it, and what is to stand in its place.
struct TextEdit {
  std::string_view text;  // a view into the payload; without data: there is nothing to replace
  std::string_view fresh;
};
// The payload with other strings in it. False: one of them is too long.
bool replace_texts(ByteView payload, std::vector<TextEdit> edits, std::vector<std::uint8_t>& out);

// Payloads (AMF0, type 20) of what a server answers, appended to `out`.
void write_connect_result(std::vector<std::uint8_t>& out, double transaction,
                          double object_encoding);
// `_result` with null and undefined: releaseStream, FCPublish.
void write_empty_result(std::vector<std::uint8_t>& out, double transaction);
void write_create_stream_result(std::vector<std::uint8_t>& out, double transaction,
                                double stream_id);
void write_on_status(std::vector<std::uint8_t>& out, std::string_view level, std::string_view code,
                     std::string_view description);
// A command that no client knows, of exactly `size` bytes: how a decoder's chunk state is brought
// to a length without any effect. It has all that a command may have, down to an (empty)
// information object: an SRS edge looks into that unasked. False if it can't be that short (see
// kNoOpMin) or that long.
inline constexpr std::size_t kNoOpMin = 20;
bool write_no_op(std::vector<std::uint8_t>& out, std::uint8_t type, std::size_t size);

}  // namespace weir::rtmp
