#include "common/proto/srt/conclusion.h"

#include <algorithm>
#include <array>

namespace weir::srt {
namespace {

constexpr std::uint16_t kConfigFlag = 4;
constexpr std::size_t kFlagsAt = kHeaderBytes + 6;

using Fault = std::optional<ConclusionFault>;

// Sizes of an extension's content, how often it may stand there, and the flag that announces it:
// without the flag libsrt does not read the extension, and Weir would have judged another
// handshake.
struct ExtensionRule {
  ExtensionType type;
  std::string_view size_field;
  std::uint16_t least = 0;
  std::uint16_t most = 0;
  std::uint8_t times = 1;
  std::uint16_t flag = 0;
};
constexpr ExtensionRule kRules[] = {
    {ExtensionType::kHsReq, "hsreq_bytes", 12, 64, 1, 1},
    {ExtensionType::kKmReq, "kmreq_bytes", 20, 104, 2, 2},
    {ExtensionType::kStreamId, "stream_id_bytes", 4, limits::kSrtStreamIdBytes, 1, kConfigFlag},
    {ExtensionType::kCongestion, "congestion_bytes", 4, 16, 1, kConfigFlag},
    {ExtensionType::kFilter, "filter_bytes", 4, 64, 1, kConfigFlag},
    {ExtensionType::kGroup, "group_bytes", 8, 8, 1, kConfigFlag},
    // What a listener answers with.
    {ExtensionType::kHsRsp, "hsrsp_bytes", 0, 0, 0, 0},
    {ExtensionType::kKmRsp, "kmrsp_bytes", 0, 0, 0, 0},
};

constexpr std::size_t kStreamIdRule = 2;
static_assert(kRules[kStreamIdRule].type == ExtensionType::kStreamId);

Fault outside(std::string_view field, std::uint64_t value, std::uint64_t least, std::uint64_t most,
              Reject code = Reject::kRogue) {
  if (value >= least && value <= most) return std::nullopt;
  return ConclusionFault{field, value, least, most, code};
}

// The absolute value of `text` if it is a number of at most six digits; otherwise too much.
std::uint64_t number_of(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  if (text.empty() || text.size() > 6) return UINT32_MAX;
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return UINT32_MAX;
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

// `fec,cols:10,rows:5`: a listener without a filter of its own takes the caller's.
Fault check_filter(ByteView content) {
  std::string text = text_of_words(content);
  std::string_view rest = text;
  std::uint64_t cols = 1;
  std::uint64_t rows = 1;
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    std::uint64_t* side = nullptr;
    if (item.starts_with("cols:")) side = &cols;
    if (item.starts_with("rows:")) side = &rows;
    if (side == nullptr) continue;
    *side = number_of(item.substr(5));
    const auto fault = outside(side == &cols ? "fec_cols" : "fec_rows", *side, 1, kMostFecSide);
    if (fault) return fault;
  }
  return outside("fec_cells", cols * rows, 1, kMostFecCells);
}

Fault check_extensions(const Handshake& conclusion) {
  std::array<std::uint8_t, std::size(kRules)> seen{};
  std::size_t count = 0;
  ByteView rest = conclusion.extensions;
  Extension extension;
  while (next_extension(rest, extension)) {
    if (++count > kMostExtensions) return outside("extensions", count, 1, kMostExtensions);
    const auto* rule = std::find_if(std::begin(kRules), std::end(kRules),
                                    [&](const auto& row) { return row.type == extension.type; });
    if (rule == std::end(kRules)) continue;  // of a newer libsrt: the origin's matter
    const auto at = static_cast<std::size_t>(rule - std::begin(kRules));
    auto fault = outside(rule->size_field, extension.content.size(), rule->least, rule->most);
    if (!fault && ++seen[at] > rule->times) {
      fault = ConclusionFault{"repeated_extension", static_cast<std::uint64_t>(rule->type), 0, 0,
                              Reject::kRogue};
    }
    if (!fault && (conclusion.extension & rule->flag) != rule->flag) {
      fault =
          ConclusionFault{"extension_flags", conclusion.extension, rule->flag, 7, Reject::kRogue};
    }
    if (!fault && rule->type == ExtensionType::kFilter) fault = check_filter(extension.content);
    if (fault) return fault;
  }
  // Room for the stream id that goes on in any case.
  const bool has_id = seen[kStreamIdRule] > 0;
  if (!has_id && count == kMostExtensions) {
    return outside("extensions", count, 1, kMostExtensions - 1);
  }
  return outside("hsreq_extensions", seen[0], 1, 1);
}

bool has_stream_id(ByteView extensions) {
  Extension extension;
  while (next_extension(extensions, extension)) {
    if (extension.type == ExtensionType::kStreamId) return true;
  }
  return false;
}

void append_words(std::string_view text, std::vector<std::uint8_t>& out) {
  const std::size_t words = (text.size() + 3) / 4;
  std::size_t at = out.size();
  out.resize(at + 4 + words * 4);
  store_be16(out.data() + at, static_cast<std::uint16_t>(ExtensionType::kStreamId));
  store_be16(out.data() + at + 2, static_cast<std::uint16_t>(words));
  at += 4;
  for (std::size_t i = 0; i < text.size(); ++i) {
    out[at + (i ^ 3)] = static_cast<std::uint8_t>(text[i]);  // each word's bytes, last first
  }
}

}  // namespace

std::string to_string(const ConclusionFault& fault) {
  std::string out(fault.field);
  out.append(" ").append(std::to_string(fault.value));
  out.append(", allowed ").append(std::to_string(fault.least));
  if (fault.most != fault.least) out.append(" to ").append(std::to_string(fault.most));
  return out;
}

std::optional<ConclusionFault> check_conclusion(const Handshake& conclusion) {
  const Fault faults[] = {
      outside("version", conclusion.version, 5, 5, Reject::kVersion),
      outside("initial_sequence", conclusion.initial_sequence, 0, kMostSequence),
      outside("mss", conclusion.mss, kLeastMss, kMostMss),
      outside("window", conclusion.window, kLeastWindow, kMostWindow),
  };
  for (const Fault& fault : faults) {
    if (fault) return fault;
  }
  return check_extensions(conclusion);
}

bool with_stream_id(ByteView conclusion, std::string_view stream_id,
                    std::vector<std::uint8_t>& out) {
  const ByteView head = conclusion.first(kHandshakeBytes);
  ByteView rest = conclusion.subspan(kHandshakeBytes);
  const bool replaces = has_stream_id(rest);
  out.clear();
  out.reserve(conclusion.size() + stream_id.size() + 7);  // with head and padding
  out.insert(out.end(), head.begin(), head.end());
  bool written = false;
  Extension extension;
  for (ByteView next = rest; next_extension(next, extension); rest = next) {
    const ByteView whole = rest.first(rest.size() - next.size());
    const bool is_id = extension.type == ExtensionType::kStreamId;
    if (!is_id) out.insert(out.end(), whole.begin(), whole.end());
    if (!written && (is_id || !replaces)) {
      append_words(stream_id, out);
      written = true;
    }
  }
  const auto flags = load_be16(out.data() + kFlagsAt);
  store_be16(out.data() + kFlagsAt, static_cast<std::uint16_t>(flags | kConfigFlag));
  return written && out.size() <= limits::kSrtConclusionBytes;
}

}  // namespace weir::srt
