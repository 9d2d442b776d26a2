#include "common/proto/dash/mpd.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace weir::dash {
namespace {

using hls::UriBase;
using hls::UriPinner;

constexpr std::size_t kDepth = 32;
constexpr std::size_t kAttributes = 64;
constexpr std::string_view kBom = "\xEF\xBB\xBF";
constexpr std::string_view kBlank = " \t\r\n";
constexpr std::string_view kNameEnd = " \t\r\n/>=<\"'";

struct UriAttribute {
  std::string_view element;
  std::string_view attribute;
};
constexpr std::array<UriAttribute, 9> kUriAttributes = {{
    {"SegmentURL", "media"},
    {"SegmentURL", "index"},
    {"SegmentTemplate", "media"},
    {"SegmentTemplate", "initialization"},
    {"SegmentTemplate", "index"},
    {"SegmentTemplate", "bitstreamSwitching"},
    {"Initialization", "sourceURL"},
    {"RepresentationIndex", "sourceURL"},
    {"BitstreamSwitching", "sourceURL"},
}};
constexpr std::array<std::string_view, 4> kUriElements = {"BaseURL", "Location", "PatchLocation",
                                                          "ContentSteering"};

bool is_blank(char c) {
  return kBlank.find(c) != std::string_view::npos;
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && !is_blank(c)) || byte == 0x7F;
  });
}

// Element names are compared without their namespace prefix.
std::string_view local_name(std::string_view name) {
  const std::size_t colon = name.find(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

// Whether a UTCTiming value is a URL that we may touch: others are dates and host names.
bool is_timing_url(std::string_view value) {
  if (value.find_first_of(kBlank) != std::string_view::npos) return false;
  return value.starts_with("http://") || value.starts_with("https://") || value.starts_with('/');
}

bool is_uri_attribute(std::string_view element, std::string_view name, std::string_view value) {
  if (name == "xlink:href") return true;
  if (element == "UTCTiming") return name == "value" && is_timing_url(value);
  return std::any_of(kUriAttributes.begin(), kUriAttributes.end(), [&](const UriAttribute& known) {
    return known.element == element && known.attribute == name;
  });
}

// A BaseURL that names a directory cannot carry a query: what is resolved against it loses it.
bool is_directory(std::string_view uri) {
  uri = uri.substr(0, uri.find_first_of("?#"));
  const std::size_t slash = uri.rfind('/');
  const std::string_view last = slash == std::string_view::npos ? uri : uri.substr(slash + 1);
  return last.empty() || last == "." || last == "..";
}

// Copies the text to `out` from mark to mark, with URIs replaced.
class Scanner {
 public:
  Scanner(std::string_view text, const RewriteOptions& options, std::string& out)
      : text_(text),
        options_(options),
        pinner_(options, UriPinner::Markup::kXml),
        document_(pinner_.document_base()),
        out_(out) {}

  RewriteStatus run() {
    if (text_.starts_with(kBom)) at_ = kBom.size();
    while (true) {
      const std::size_t open = text_.find('<', at_);
      if (open == std::string_view::npos) break;
      at_ = open;
      const RewriteStatus status = markup();
      if (status != RewriteStatus::kOk) return status;
      if (out_.size() > options_.max_output) return RewriteStatus::kTooLarge;
    }
    if (!seen_root_) return RewriteStatus::kNotAPlaylist;
    if (!open_.empty()) return RewriteStatus::kBadLine;
    copy_to(text_.size());
    return out_.size() > options_.max_output ? RewriteStatus::kTooLarge : RewriteStatus::kOk;
  }

 private:
  struct Element {
    std::string_view name;  // with prefix
    UriBase base;           // what URIs in it are relative to
    bool own_base = false;  // a BaseURL of its own, on this proxy, has set it
  };

  // REQUIRES: text_[at_] is `<`. Moves past one tag, comment, section or instruction.
  RewriteStatus markup() {
    if (rest().starts_with("<?")) return skip_to("?>");
    if (rest().starts_with("<!--")) return skip_to("-->");
    if (rest().starts_with("<![CDATA[")) return seen_root_ ? skip_to("]]>") : malformed();
    if (rest().starts_with("<!")) return malformed();  // a DOCTYPE, and with it entities
    if (rest().starts_with("</")) return end_tag();
    return start_tag();
  }

  std::string_view rest() const { return text_.substr(at_); }
  // What does not begin as a manifest is not ours to judge.
  RewriteStatus malformed() const {
    return seen_root_ ? RewriteStatus::kBadLine : RewriteStatus::kNotAPlaylist;
  }
  void copy_to(std::size_t end) {
    out_.append(text_.substr(copied_, end - copied_));
    copied_ = end;
  }

  RewriteStatus skip_to(std::string_view end) {
    // From behind the opening, so that `<!-->` is not a whole comment.
    const std::size_t found = text_.find(end, at_ + (end == "-->" ? 4 : 2));
    if (found == std::string_view::npos) return malformed();
    at_ = found + end.size();
    return RewriteStatus::kOk;
  }

  RewriteStatus end_tag() {
    const std::size_t close = text_.find('>', at_);
    if (close == std::string_view::npos || open_.empty()) return malformed();
    std::string_view name = text_.substr(at_ + 2, close - at_ - 2);
    while (!name.empty() && is_blank(name.back())) name.remove_suffix(1);
    if (name != open_.back().name) return malformed();
    open_.pop_back();
    at_ = close + 1;
    return RewriteStatus::kOk;
  }

  RewriteStatus start_tag() {
    const std::size_t begin = at_++;
    const std::string_view name = take_name();
    if (name.empty() || (seen_root_ && open_.empty())) return malformed();
    if (!seen_root_ && local_name(name) != "MPD") return RewriteStatus::kNotAPlaylist;
    seen_root_ = true;
    const UriBase base = open_.empty() ? document_ : open_.back().base;
    for (std::size_t count = 0;; ++count) {
      skip_blanks();
      if (at_ >= text_.size() || at_ - begin > options_.max_line || count > kAttributes) {
        return RewriteStatus::kBadLine;
      }
      if (text_[at_] == '>' || text_[at_] == '/') break;
      if (!attribute(local_name(name), base)) return RewriteStatus::kBadLine;
    }
    if (text_[at_] == '/') {
      at_ += 2;
      return at_ <= text_.size() && text_[at_ - 1] == '>' ? RewriteStatus::kOk
                                                          : RewriteStatus::kBadLine;
    }
    ++at_;
    if (open_.size() >= kDepth) return RewriteStatus::kBadLine;
    open_.push_back({name, base, false});
    return is_uri_element(local_name(name)) ? uri_text(local_name(name)) : RewriteStatus::kOk;
  }

  static bool is_uri_element(std::string_view name) {
    return std::find(kUriElements.begin(), kUriElements.end(), name) != kUriElements.end();
  }

  std::string_view take_name() {
    const std::size_t end = std::min(text_.find_first_of(kNameEnd, at_), text_.size());
    const std::string_view name = text_.substr(at_, end - at_);
    at_ = end;
    return name;
  }
  void skip_blanks() { at_ = std::min(text_.find_first_not_of(kBlank, at_), text_.size()); }

  // name="value" or name='value'. False: malformed.
  bool attribute(std::string_view element, const UriBase& base) {
    const std::string_view name = take_name();
    skip_blanks();
    if (name.empty() || at_ >= text_.size() || text_[at_] != '=') return false;
    ++at_;
    skip_blanks();
    if (at_ >= text_.size() || (text_[at_] != '"' && text_[at_] != '\'')) return false;
    const std::size_t begin = at_ + 1;
    const std::size_t end = text_.find(text_[at_], begin);
    if (end == std::string_view::npos) return false;
    at_ = end + 1;
    const std::string_view value = text_.substr(begin, end - begin);
    if (value.size() > options_.max_line || value.find('<') != std::string_view::npos) return false;
    return !is_uri_attribute(element, name, value) || uri(begin, end, base, UriPinner::Pin::kAdd);
  }

  // Replaces the URI between two places, blanks around it excepted. False: malformed.
  bool uri(std::size_t begin, std::size_t end, const UriBase& base, UriPinner::Pin pin) {
    while (begin < end && is_blank(text_[begin])) ++begin;
    while (begin < end && is_blank(text_[end - 1])) --end;
    const std::string_view value = text_.substr(begin, end - begin);
    if (value.size() > options_.max_line || has_control(value)) return false;
    copy_to(begin);
    pinner_.append(value, base, pin, out_);
    copied_ = end;
    return true;
  }

  // The text of a BaseURL and its like, whose start tag has just been read. A BaseURL is relative
  // to the base outside of its parent, and sets the base of what follows it in its parent.
  // Only a plain run of text is taken: with comments or sections inside it stays as it is.
  RewriteStatus uri_text(std::string_view element) {
    const std::size_t end = text_.find('<', at_);
    if (end == std::string_view::npos) return RewriteStatus::kBadLine;
    if (!text_.substr(end).starts_with("</")) return RewriteStatus::kOk;
    std::string_view value = text_.substr(at_, end - at_);
    while (!value.empty() && is_blank(value.front())) value.remove_prefix(1);
    while (!value.empty() && is_blank(value.back())) value.remove_suffix(1);
    const bool is_base = element == "BaseURL" && open_.size() >= 2;
    const UriBase outer = is_base && open_.size() >= 3 ? open_[open_.size() - 3].base : document_;
    const bool directory = element == "BaseURL" && is_directory(value);
    const UriPinner::Pin pin = directory ? UriPinner::Pin::kOnlyRelocate : UriPinner::Pin::kAdd;
    if (!uri(at_, end, outer, pin)) return RewriteStatus::kBadLine;
    if (is_base) set_base(open_[open_.size() - 2], pinner_.resolve_base(outer, value));
    at_ = end;
    return RewriteStatus::kOk;
  }

  // Of several BaseURLs, which are alternatives, one on this proxy counts: its segments need pins.
  static void set_base(Element& element, UriBase base) {
    if (base.foreign && element.own_base) return;
    element.own_base = !base.foreign;
    element.base = std::move(base);
  }

  const std::string_view text_;
  const RewriteOptions& options_;
  UriPinner pinner_;
  const UriBase document_;
  std::string& out_;
  std::vector<Element> open_;
  std::size_t at_ = 0;
  std::size_t copied_ = 0;  // everything before it is in out_
  bool seen_root_ = false;
};

}  // namespace

RewriteStatus rewrite_mpd(ByteView in, const RewriteOptions& options, std::string& out) {
  out.clear();
  const std::string_view text = as_text(in);
  if (text.size() > options.max_input) return RewriteStatus::kTooLarge;
  Scanner scanner(text, options, out);
  const RewriteStatus status = scanner.run();
  if (status != RewriteStatus::kOk) out.clear();
  return status;
}

}  // namespace weir::dash
