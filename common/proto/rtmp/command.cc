#include "common/proto/rtmp/command.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "common/proto/rtmp/amf0.h"
#include "common/proto/rtmp/chunk.h"

namespace weir::rtmp {
namespace {

using amf0::Marker;
using amf0::Reader;
using amf0::Writer;

constexpr std::array<std::pair<std::string_view, CommandKind>, 18> kNames = {{
    {"connect", CommandKind::kConnect},
    {"releaseStream", CommandKind::kReleaseStream},
    {"FCPublish", CommandKind::kFcPublish},
    {"FCUnpublish", CommandKind::kFcUnpublish},
    {"FCSubscribe", CommandKind::kFcSubscribe},
    {"createStream", CommandKind::kCreateStream},
    {"deleteStream", CommandKind::kDeleteStream},
    {"closeStream", CommandKind::kCloseStream},
    {"getStreamLength", CommandKind::kGetStreamLength},
    {"publish", CommandKind::kPublish},
    {"play", CommandKind::kPlay},
    {"play2", CommandKind::kPlay2},
    {"_result", CommandKind::kResult},
    {"_error", CommandKind::kError},
    {"onStatus", CommandKind::kOnStatus},
    {"onFCPublish", CommandKind::kOnFcPublish},
    {"onFCUnpublish", CommandKind::kOnFcUnpublish},
    {"onBWDone", CommandKind::kOnBwDone},
}};

CommandKind kind_of(std::string_view name) {
  for (const auto& [text, kind] : kNames) {
    if (text == name) return kind;
  }
  return CommandKind::kOther;
}

// A member that should be a string but is something else is as good as absent.
bool read_text(Reader& reader, std::string_view& value) {
  const Marker marker = reader.peek();
  if (marker == Marker::kString || marker == Marker::kLongString) return reader.read_string(value);
  return reader.skip();
}

// Twice is refused: a server might take the other one.
bool read_text_once(Reader& reader, std::string_view& value) {
  return value.data() == nullptr && read_text(reader, value);
}

bool parse_connect(Reader& reader, Command& command) {
  if (!reader.begin_object()) return false;
  std::string_view key;
  bool end = false;
  while (reader.next_key(key, end)) {
    if (end) return true;
    bool read = false;
    if (key == "app") {
      read = read_text_once(reader, command.app);
    } else if (key == "tcUrl") {
      read = read_text_once(reader, command.tc_url);
    } else if (key == "flashVer") {
      read = read_text(reader, command.flash_ver);
    } else if (key == "pageUrl") {
      read = read_text(reader, command.page_url);
    } else if (key == "objectEncoding" && reader.peek() == Marker::kNumber) {
      read = reader.read_number(command.object_encoding);
    } else {
      read = reader.skip();
    }
    if (!read) return false;
  }
  return false;
}

bool parse_info(Reader& reader, Command& command) {
  if (!reader.begin_object()) return false;
  std::string_view key;
  bool end = false;
  while (reader.next_key(key, end)) {
    if (end) return true;
    bool read = false;
    if (key == "level") {
      read = read_text(reader, command.level);
    } else if (key == "code") {
      read = read_text(reader, command.code);
    } else if (key == "description") {
      read = read_text(reader, command.description);
    } else {
      read = reader.skip();
    }
    if (!read) return false;
  }
  return false;
}

// The command object, which is null or not of interest here, then the stream's name.
bool parse_named(Reader& reader, Command& command) {
  if (!reader.skip() || !reader.read_string(command.stream)) return false;
  if (command.kind != CommandKind::kPublish || reader.at_end()) return true;
  return read_text(reader, command.publish_type);
}

// The same for commands that do without a name, too.
bool parse_maybe_named(Reader& reader, Command& command) {
  if (!reader.skip()) return true;
  const Marker marker = reader.peek();
  if (marker == Marker::kString || marker == Marker::kLongString) {
    static_cast<void>(reader.read_string(command.stream));
  }
  return true;
}

// _result, _error, onStatus: properties or null, then a number or the information object. Either
// may be missing in answers to commands that have nothing to say.
bool parse_answer(Reader& reader, Command& command) {
  if (reader.at_end()) return true;
  if (!reader.skip()) return false;
  if (reader.at_end()) return true;
  const Marker marker = reader.peek();
  if (marker == Marker::kNumber) {
    double id = 0;
    if (!reader.read_number(id)) return false;
    command.stream_id = id;
    return true;
  }
  if (marker == Marker::kObject || marker == Marker::kEcmaArray) return parse_info(reader, command);
  return reader.skip();
}

}  // namespace

bool parse_command(ByteView payload, std::uint8_t type, Command& command) {
  command = Command{};
  if (type == kCommandAmf3 && !payload.empty() && payload[0] == 0) payload = payload.subspan(1);
  Reader reader(payload);
  if (!reader.read_string(command.name)) return false;
  command.kind = kind_of(command.name);
  if (!reader.read_number(command.transaction)) return command.kind == CommandKind::kOther;
  switch (command.kind) {
    case CommandKind::kConnect:
      return parse_connect(reader, command);
    case CommandKind::kPublish:
    case CommandKind::kPlay:
      return parse_named(reader, command);
    case CommandKind::kResult:
    case CommandKind::kError:
    case CommandKind::kOnStatus:
      return parse_answer(reader, command);
    case CommandKind::kReleaseStream:
    case CommandKind::kFcPublish:
    case CommandKind::kFcUnpublish:
      return parse_maybe_named(reader, command);
    case CommandKind::kFcSubscribe:
    case CommandKind::kCreateStream:
    case CommandKind::kDeleteStream:
    case CommandKind::kCloseStream:
    case CommandKind::kGetStreamLength:
    case CommandKind::kPlay2:
    case CommandKind::kOnFcPublish:
    case CommandKind::kOnFcUnpublish:
    case CommandKind::kOnBwDone:
    case CommandKind::kOther:
      return true;
  }
  return true;
}

bool replace_texts(ByteView payload, std::vector<TextEdit> edits, std::vector<std::uint8_t>& out) {
  std::erase_if(edits, [](const TextEdit& edit) { return edit.text.data() == nullptr; });
  std::sort(edits.begin(), edits.end(),
            [](const TextEdit& a, const TextEdit& b) { return a.text.data() < b.text.data(); });
  std::size_t at = 0;
  for (const TextEdit& edit : edits) {
    const auto text_at = static_cast<std::size_t>(as_bytes(edit.text).data() - payload.data());
    if (edit.fresh.size() > 0xFFFF) return false;
    // Marker and length before it: 1 + 2 bytes, of a long string 1 + 4.
    const bool is_short = payload[text_at - 3] == static_cast<std::uint8_t>(Marker::kString) &&
                          load_be16(payload.data() + text_at - 2) == edit.text.size();
    const ByteView before = payload.subspan(at, text_at - (is_short ? 3U : 5U) - at);
    out.insert(out.end(), before.begin(), before.end());
    Writer(out).string(edit.fresh);
    at = text_at + edit.text.size();
  }
  const ByteView rest = payload.subspan(at);
  out.insert(out.end(), rest.begin(), rest.end());
  return true;
}

void write_connect_result(std::vector<std::uint8_t>& out, double transaction,
                          double object_encoding) {
  Writer writer(out);
  writer.string("_result").number(transaction);
  writer.begin_object();
  writer.key("fmsVer").string("FMS/3,5,7,7009").key("capabilities").number(31);
  writer.key("mode").number(1).end_object();
  writer.begin_object();
  writer.key("level").string("status").key("code").string("NetConnection.Connect.Success");
  writer.key("description").string("Connection succeeded.");
  writer.key("objectEncoding").number(object_encoding).end_object();
}

void write_empty_result(std::vector<std::uint8_t>& out, double transaction) {
  Writer(out).string("_result").number(transaction).null().undefined();
}

void write_create_stream_result(std::vector<std::uint8_t>& out, double transaction,
                                double stream_id) {
  Writer(out).string("_result").number(transaction).null().number(stream_id);
}

void write_on_status(std::vector<std::uint8_t>& out, std::string_view level, std::string_view code,
                     std::string_view description) {
  Writer writer(out);
  writer.string("onStatus").number(0).null().begin_object();
  writer.key("level").string(level).key("code").string(code);
  writer.key("description").string(description).end_object();
}

bool write_no_op(std::vector<std::uint8_t>& out, std::uint8_t type, std::size_t size) {
  constexpr std::string_view kName = "onWeirSync";
  const std::size_t lead = type == kCommandAmf3 ? 1 : 0;
  const std::size_t fixed = lead + 3 + 9 + 1 + 4;  // string header, number, null, empty object
  if (size < kNoOpMin + lead || size - fixed > 0xFFFF) return false;
  std::string name(kName.substr(0, size - fixed));
  name.resize(size - fixed, '_');
  if (lead != 0) out.push_back(0);
  Writer(out).string(name).number(0).null().begin_object().end_object();
  return true;
}

}  // namespace weir::rtmp
