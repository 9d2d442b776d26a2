#include "common/proto/hls/playlist.h"

#include <algorithm>
#include <array>

#include "common/base/control_byte.h"

namespace weir::hls {
namespace {

constexpr std::string_view kBom = "\xEF\xBB\xBF";
constexpr std::string_view kFirstTag = "#EXTM3U";
constexpr std::string_view kBlank = " \t";

struct UriTag {
  std::string_view tag;  // after `#EXT-X-`, before the colon
  std::string_view attribute;
};
constexpr std::array<UriTag, 10> kUriTags = {{
    {"PART", "URI"},
    {"MAP", "URI"},
    {"KEY", "URI"},
    {"PRELOAD-HINT", "URI"},
    {"RENDITION-REPORT", "URI"},
    {"MEDIA", "URI"},
    {"I-FRAME-STREAM-INF", "URI"},
    {"SESSION-KEY", "URI"},
    {"SESSION-DATA", "URI"},
    {"CONTENT-STEERING", "SERVER-URI"},
}};

// The attribute that holds a URI in this tag line; empty if it has none.
std::string_view uri_attribute(std::string_view line) {
  constexpr std::string_view kPrefix = "#EXT-X-";
  if (!line.starts_with(kPrefix)) return {};
  line.remove_prefix(kPrefix.size());
  const std::string_view tag = line.substr(0, line.find(':'));
  if (tag.size() == line.size()) return {};
  const auto* const found = std::find_if(kUriTags.begin(), kUriTags.end(),
                                         [&](const UriTag& known) { return known.tag == tag; });
  return found == kUriTags.end() ? std::string_view() : found->attribute;
}

class Rewriter {
 public:
  Rewriter(const RewriteOptions& options, std::string& out)
      : pinner_(options, UriPinner::Markup::kPlain), base_(pinner_.document_base()), out_(out) {}

  // A line without its end. False: malformed.
  bool line(std::string_view text) {
    if (text.empty()) return true;
    if (text[0] != '#') return uri(text);
    const std::string_view attribute = uri_attribute(text);
    if (!attribute.empty()) return attributes(text, attribute);
    out_.append(text);
    return true;
  }

 private:
  // Blanks around a URI are not part of it (players trim them) but stay.
  bool uri(std::string_view text) {
    if (has_control_byte(text)) return false;
    const std::size_t begin = std::min(text.find_first_not_of(kBlank), text.size());
    const std::size_t end = begin == text.size() ? begin : text.find_last_not_of(kBlank) + 1;
    out_.append(text.substr(0, begin));
    if (begin < end) {
      pinner_.append(text.substr(begin, end - begin), base_, UriPinner::Pin::kAdd, out_);
    }
    out_.append(text.substr(end));
    return true;
  }

  // `#EXT-X-TAG:` and NAME=value pairs, of which a value may be quoted and then have commas.
  bool attributes(std::string_view text, std::string_view wanted) {
    std::size_t at = text.find(':') + 1;
    out_.append(text.substr(0, at));
    while (at < text.size()) {
      const std::size_t name_end = std::min(text.find_first_of("=,", at), text.size());
      std::string_view name = text.substr(at, name_end - at);
      const std::size_t lead = std::min(name.find_first_not_of(kBlank), name.size());
      name.remove_prefix(lead);
      out_.append(text.substr(at, name_end - at));
      at = name_end;
      if (at < text.size() && text[at] == '=') {
        out_.push_back('=');
        ++at;
        if (!value(text, at, name == wanted)) return false;
      }
      if (at < text.size()) out_.push_back(text[at++]);  // the comma
    }
    return true;
  }

  // Moves `at` to the comma after the value, or to the end.
  bool value(std::string_view text, std::size_t& at, bool is_uri) {
    std::size_t end = 0;
    if (at < text.size() && text[at] == '"') {
      out_.push_back('"');
      end = text.find('"', ++at);
      if (end == std::string_view::npos) return false;
    } else {
      end = std::min(text.find(',', at), text.size());
    }
    const std::string_view content = text.substr(at, end - at);
    if (!is_uri) {
      out_.append(content);
    } else if (!uri(content)) {
      return false;
    }
    const std::size_t comma = std::min(text.find(',', end), text.size());
    out_.append(text.substr(end, comma - end));  // the closing quote, and blanks
    at = comma;
    return true;
  }

  UriPinner pinner_;
  const UriBase base_;
  std::string& out_;
};

// Whether the text begins with the tag that every playlist begins with.
bool is_playlist(std::string_view text) {
  if (text.starts_with(kBom)) text.remove_prefix(kBom.size());
  if (!text.starts_with(kFirstTag)) return false;
  text.remove_prefix(kFirstTag.size());
  return text.empty() || text[0] == '\n' || text[0] == '\r' || text[0] == ' ' || text[0] == '\t';
}

RewriteStatus rewrite_lines(std::string_view text, const RewriteOptions& options,
                            std::string& out) {
  Rewriter rewriter(options, out);
  if (text.starts_with(kBom)) {
    out.append(kBom);
    text.remove_prefix(kBom.size());
  }
  while (!text.empty()) {
    const std::size_t newline = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, newline);
    std::string_view ending = text.substr(newline, 1);
    if (line.ends_with('\r') && !ending.empty()) {
      ending = text.substr(newline - 1, 2);
      line.remove_suffix(1);
    }
    if (line.size() > options.max_line || !rewriter.line(line)) return RewriteStatus::kBadLine;
    out.append(ending);
    if (out.size() > options.max_output) return RewriteStatus::kTooLarge;
    text.remove_prefix(std::min(newline + 1, text.size()));
  }
  return RewriteStatus::kOk;
}

}  // namespace

RewriteStatus rewrite_playlist(ByteView in, const RewriteOptions& options, std::string& out) {
  out.clear();
  const std::string_view text = as_text(in);
  if (!is_playlist(text)) return RewriteStatus::kNotAPlaylist;
  if (text.size() > options.max_input) return RewriteStatus::kTooLarge;
  out.reserve(std::min(text.size() * 2 + 1024, options.max_output));
  const RewriteStatus status = rewrite_lines(text, options, out);
  if (status != RewriteStatus::kOk) out.clear();
  return status;
}

}  // namespace weir::hls
