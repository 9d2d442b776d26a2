#include "common/proto/hls/playlist.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/control_byte.h"
#include "common/proto/http/fields.h"
#include "common/proto/http/target.h"

namespace weir::hls {
namespace {

constexpr std::string_view kBom = "\xEF\xBB\xBF";
constexpr std::string_view kFirstTag = "#EXTM3U";
constexpr std::string_view kBlank = " \t";

constexpr std::string_view kPrefix = "#EXT-X-";
constexpr std::size_t kVariables = 64;
constexpr std::size_t kVariableBytes = 4096;  // of one value

struct UriTag {
  std::string_view tag;  // after `#EXT-X-`, before the colon
  std::string_view attribute;
};
constexpr std::array<UriTag, 13> kUriTags = {{
    {"PART", "URI"},
    {"IMAGE-STREAM-INF", "URI"},
    {"DATERANGE", "X-ASSET-URI"},
    {"DATERANGE", "X-ASSET-LIST"},
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

// The name of a tag line with a value; empty for all others.
std::string_view tag_of(std::string_view line) {
  if (!line.starts_with(kPrefix)) return {};
  line.remove_prefix(kPrefix.size());
  const std::size_t colon = line.find(':');
  return colon == std::string_view::npos ? std::string_view() : line.substr(0, colon);
}

bool has_uris(std::string_view tag) {
  return std::any_of(kUriTags.begin(), kUriTags.end(),
                     [&](const UriTag& known) { return known.tag == tag; });
}
bool is_uri(std::string_view tag, std::string_view attribute) {
  return std::any_of(kUriTags.begin(), kUriTags.end(), [&](const UriTag& known) {
    return known.tag == tag && known.attribute == attribute;
  });
}

// The variables of a playlist (EXT-X-DEFINE) and their values, as far as they stand in it.
class Variables {
 public:
  // False: there are too many, or too long ones; then it is not known.
  bool define(std::string_view name, std::string_view value) {
    if (name.empty() || all_.size() == kVariables || value.size() > kVariableBytes) return false;
    all_.emplace_back(name, value);
    return true;
  }
  // The text with all variables replaced; nothing when one is not known, or it gets too long.
  std::optional<std::string> expand(std::string_view text, std::size_t most) const {
    std::string out;
    while (out.size() <= most) {
      const std::size_t open = text.find("{$");
      out.append(text.substr(0, open));
      if (open == std::string_view::npos) return out;
      const std::size_t close = text.find('}', open);
      if (close == std::string_view::npos) return std::nullopt;
      const std::string_view name = text.substr(open + 2, close - open - 2);
      const auto found = std::find_if(all_.begin(), all_.end(),
                                      [&](const auto& one) { return one.first == name; });
      if (found == all_.end()) return std::nullopt;
      out.append(found->second);
      text.remove_prefix(close + 1);
    }
    return std::nullopt;
  }

 private:
  std::vector<std::pair<std::string, std::string>> all_;
};

class Rewriter {
 public:
  Rewriter(const RewriteOptions& options, std::string& out)
      : options_(options),
        pinner_(options, UriPinner::Markup::kPlain),
        base_(pinner_.document_base()),
        out_(out) {}

  // A line without its end. False: malformed.
  bool line(std::string_view text) {
    if (text.empty()) return true;
    if (text[0] != '#') return uri(text);
    const std::string_view tag = tag_of(text);
    if (tag.empty()) {
      out_.append(text);
      return true;
    }
    if (tag == "PREFETCH") {  // of LHLS: its value is a URI
      out_.append(text.substr(0, text.find(':') + 1));
      return uri(text.substr(text.find(':') + 1));
    }
    if (tag == "DEFINE") return define(text);
    if (has_uris(tag)) return attributes(text, tag);
    out_.append(text);
    return true;
  }

 private:
  // Blanks around a URI are not part of it (players trim them) but stay.
  bool uri(std::string_view text) {
    if (has_control_byte(text)) return false;
    const std::string_view bare = http::trim(text);
    const auto begin = static_cast<std::size_t>(bare.data() - text.data());
    out_.append(text.substr(0, begin));
    if (!bare.empty() && !pinned(bare)) return false;
    out_.append(text.substr(begin + bare.size()));
    return true;
  }

  // Variables before the query decide where it leads, so they are replaced where they are known.
  // False: what stands for them may not stand in a URI.
  bool pinned(std::string_view text) {
    std::optional<std::string> expanded;
    const std::size_t variable = text.find("{$");
    if (variable != std::string_view::npos && variable < text.find('?')) {
      expanded = variables_.expand(text, options_.max_line);
    }
    if (expanded && has_control_byte(*expanded)) return false;
    pinner_.append(expanded ? *expanded : text, base_, UriPinner::Pin::kAdd, out_);
    return true;
  }

  // A value that names the origin leads to us from here on, also in playlists that import it.
  bool define(std::string_view text) {
    defined_ = {};
    const bool sound = attributes(text, "DEFINE");
    const auto known = variables_.expand(defined_.value, kVariableBytes);
    if (known) variables_.define(defined_.name, *known);
    return sound;
  }

  // NAME, VALUE or QUERYPARAM of EXT-X-DEFINE. False: it is not to be copied, but was written.
  bool note_definition(std::string_view name, std::string_view content) {
    if (name == "NAME") defined_.name = content;
    if (name == "QUERYPARAM") {
      defined_.name = content;
      const auto value = http::find_param(options_.query, content);
      defined_.value.clear();
      if (!value || !http::percent_decode(*value, defined_.value)) defined_.name.clear();
    }
    if (name != "VALUE") return true;
    defined_.value.clear();  // a second VALUE takes the place of the first
    pinner_.append(content, base_, UriPinner::Pin::kOnlyRelocate, defined_.value);
    out_.append(defined_.value);
    return false;
  }

  // `#EXT-X-TAG:` and NAME=value pairs, of which a value may be quoted and then have commas.
  bool attributes(std::string_view text, std::string_view tag) {
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
        if (!value(text, at, tag, name)) return false;
      }
      if (at < text.size()) out_.push_back(text[at++]);  // the comma
    }
    return true;
  }

  // Moves `at` to the comma after the value, or to the end.
  bool value(std::string_view text, std::size_t& at, std::string_view tag, std::string_view name) {
    std::size_t end = 0;
    if (at < text.size() && text[at] == '"') {
      out_.push_back('"');
      end = text.find('"', ++at);
      if (end == std::string_view::npos) return false;
    } else {
      end = std::min(text.find(',', at), text.size());
    }
    const std::string_view content = text.substr(at, end - at);
    if (is_uri(tag, name)) {
      if (!uri(content)) return false;
    } else if (tag != "DEFINE" || note_definition(name, content)) {
      out_.append(content);
    }
    const std::size_t comma = std::min(text.find(',', end), text.size());
    out_.append(text.substr(end, comma - end));  // the closing quote, and blanks
    at = comma;
    return true;
  }

  struct Definition {
    std::string name, value;
  };

  const RewriteOptions& options_;
  UriPinner pinner_;
  const UriBase base_;
  std::string& out_;
  Variables variables_;
  Definition defined_;  // by the tag at hand
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
