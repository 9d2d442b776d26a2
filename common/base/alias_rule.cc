#include "common/base/alias_rule.h"

#include <algorithm>

#include "common/base/ascii.h"
#include "common/base/control_byte.h"
#include "common/base/escape.h"

namespace weir {
namespace {

using Kind = AliasPart::Kind;

constexpr std::string_view kUnused = "any";

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= limits::kAliasNameBytes &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || is_digit(c) || c == '_'; });
}

bool is_capture(const AliasPart& part) {
  return part.kind != Kind::kText && part.kind != Kind::kChoice;
}

// Without a dot it is a name of a folder or an app.
bool is_host(std::string_view text) {
  const auto fits = [](char c) {
    c = lower_case(c);
    return (c >= 'a' && c <= 'z') || is_digit(c) || c == '.' || c == '-' || c == '_';
  };
  const bool only_number = text.find_first_not_of("0123456789.") == std::string_view::npos;
  return text.find('.') != std::string_view::npos && !only_number && !text.starts_with('.') &&
         !text.ends_with('.') && std::all_of(text.begin(), text.end(), fits);
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> out;
  for (;;) {
    const std::size_t end = std::min(text.find(separator), text.size());
    out.push_back(percent_unescaped(text.substr(0, end)));
    if (end == text.size()) return out;
    text.remove_prefix(end + 1);
  }
}

// Reads patterns and targets. The first fault ends it.
class Reader {
 public:
  // `known`: the captures that may be named; none: names make captures.
  Reader(std::string_view text, std::vector<std::string>* made,
         const std::vector<std::string>* known)
      : left_(text), made_(made), known_(known) {}

  void read(AliasSegment& host, std::vector<AliasSegment>& path) {
    if (left_.size() > limits::kAliasTextBytes) return fault("it is longer than 255 bytes");
    if (has_control_byte(left_)) return fault("it has a control character");
    if (!left_.starts_with('/')) return fault("it does not begin with a slash");
    if (left_.starts_with("//")) {
      left_.remove_prefix(2);
      read_segment(host, "/?");
      for (AliasPart& part : host) lower_host(part);
      if (error_.empty() && !left_.starts_with('/')) fault("a host needs a path behind it");
    }
    while (error_.empty() && left_.starts_with('/')) {
      left_.remove_prefix(1);
      if (path.size() == limits::kAliasSegments) return fault("it has too many segments");
      read_segment(path.emplace_back(), "/?");
    }
  }

  void read_params(std::vector<AliasPattern::Param>& params) {
    while (error_.empty() && !left_.empty()) {
      left_.remove_prefix(1);  // ? or &
      const std::size_t end = std::min(left_.find('='), left_.size());
      AliasPattern::Param param;
      param.name = left_.substr(0, end);
      if (!is_name(param.name)) return fault("a parameter is name=value, the name in lower case");
      left_.remove_prefix(std::min(end + 1, left_.size()));
      AliasSegment value;
      read_segment(value, "&");
      if (!error_.empty()) return;
      if (value.size() != 1) return fault("a parameter's value is one [name] or a text");
      param.value = std::move(value.front());
      if (params.size() == limits::kAliasCaptures) return fault("it has too many parameters");
      params.push_back(std::move(param));
    }
  }

  std::string_view left() const { return left_; }
  const std::string& error() const { return error_; }

 private:
  void fault(std::string_view text) {
    if (error_.empty()) error_ = text;
  }

  static void lower_host(AliasPart& part) {
    static constexpr std::string_view kDefault = "__defaultVhost__";
    const auto canonical = [](const std::string& text) {
      return same_ignoring_case(text, kDefault) ? std::string(kDefault) : lower_case(text);
    };
    part.text = canonical(part.text);
    for (std::string& choice : part.choices) choice = canonical(choice);
  }

  void read_segment(AliasSegment& out, std::string_view ends) {
    while (error_.empty() && !left_.empty() && ends.find(left_.front()) == ends.npos) {
      AliasPart part;
      if (left_.front() == '[' || left_.front() == '(') {
        read_special(part);
      } else {
        const std::size_t end =
            std::min(left_.find_first_of(std::string(ends) + "[]()"), left_.size());
        if (end == 0) return fault("a bracket closes nothing");
        part.text = percent_unescaped(left_.substr(0, end));
        if (part.text.find('/') != std::string::npos) return fault("it has an escaped slash");
        left_.remove_prefix(end);
      }
      if (error_.empty()) check_before(out, part);
      if (out.size() == limits::kAliasCaptures * 2) return fault("a segment has too many parts");
      out.push_back(std::move(part));
    }
    if (!error_.empty()) return;
    if (out.empty()) return fault("it has an empty segment or value");
    const bool dots = out.size() == 1 && (out[0].text == "." || out[0].text == "..");
    if (dots) return fault("a segment is . or ..");
    const bool whole = std::any_of(
        out.begin(), out.end(), [](const AliasPart& part) { return part.kind == Kind::kSegments; });
    if (whole && out.size() > 1) fault("[name*] stands for whole segments");
  }

  // Where a capture would end must be plain.
  void check_before(const AliasSegment& out, const AliasPart& part) {
    if (known_ != nullptr || out.empty() || !is_capture(part)) return;
    if (is_capture(out.back())) fault("two captures without text between them");
    if (part.kind == Kind::kNumber || out.back().kind != Kind::kChoice) return;
    fault("a choice right before a capture");
  }

  void read_special(AliasPart& part) {
    const bool unnamed = left_.front() == '(';
    const std::size_t end = left_.find(unnamed ? ')' : ']');
    if (end == std::string_view::npos) return fault("a bracket is not closed");
    std::string_view text = left_.substr(1, end - 1);
    left_.remove_prefix(end + 1);
    if (unnamed) return read_choices(text, part);
    const std::size_t colon = std::min(text.find(':'), text.size());
    std::string_view name = text.substr(0, colon);
    part.kind = name == "number" ? Kind::kNumber : name == "vhost" ? Kind::kHost : Kind::kAny;
    if (colon < text.size()) {
      read_choices(text.substr(colon + 1), part);
    } else if (name.ends_with('*')) {
      name.remove_suffix(1);
      part.kind = Kind::kSegments;
    }
    if (!is_name(name)) return fault("a name in brackets has lower-case letters, digits and _");
    set_capture(name, part);
  }

  void read_choices(std::string_view text, AliasPart& part) {
    part.kind = Kind::kChoice;
    part.choices = split(text, '|');
    if (part.choices.size() > limits::kAliasChoices) fault("a choice has too many words");
    for (const std::string& word : part.choices) {
      if (word.find_first_of("/[]()") != std::string::npos) fault("a choice has words only");
    }
  }

  void set_capture(std::string_view name, AliasPart& part) {
    const std::vector<std::string>& names = known_ != nullptr ? *known_ : *made_;
    const auto found = std::find(names.begin(), names.end(), name);
    if (known_ != nullptr) {
      if (part.kind == Kind::kChoice) return fault("a target takes [name] only");
      if (found == names.end()) {
        return fault("[" + std::string(name) + "] is not in the pattern");
      }
      part.capture = static_cast<std::size_t>(found - names.begin());
      return;
    }
    if (name == kUnused || (name == "number" && found != names.end())) return;
    if (found != names.end()) return fault("[" + std::string(name) + "] is there twice");
    if (names.size() == limits::kAliasCaptures) return fault("it has too many captures");
    part.capture = names.size();
    made_->emplace_back(name);
  }

  std::string_view left_;
  std::vector<std::string>* made_;
  const std::vector<std::string>* known_;
  std::string error_;
};

bool ends_in_dotted_text(const AliasSegment& segment) {
  const AliasPart& last = segment.back();
  const auto dotted = [](const std::string& text) { return text.find('.') != std::string::npos; };
  return dotted(last.text) || std::any_of(last.choices.begin(), last.choices.end(), dotted);
}

// Takes the longest end of `text` that a capture may have, `before` being what precedes it.
std::string_view take_capture(const AliasPart& part, const AliasPart* before,
                              std::string_view& text) {
  std::size_t from = 0;
  if (part.kind == Kind::kNumber) {
    from = text.size();
    while (from > 0 && is_digit(text[from - 1])) --from;
  } else if (before != nullptr) {
    const std::size_t found = text.rfind(before->text);
    from = found == std::string_view::npos ? text.size() : found + before->text.size();
  }
  const std::string_view taken = text.substr(from);
  text = text.substr(0, from);
  return taken;
}

bool take_choice(const AliasPart& part, std::string_view& text, std::string_view& taken) {
  const auto found = std::find_if(part.choices.begin(), part.choices.end(),
                                  [&](const std::string& word) { return text.ends_with(word); });
  if (found == part.choices.end()) return false;
  taken = text.substr(text.size() - found->size());
  text.remove_suffix(found->size());
  return true;
}

}  // namespace

Result<AliasPattern> parse_alias_pattern(std::string_view text) {
  AliasPattern out;
  Reader reader(text, &out.captures, nullptr);
  reader.read(out.host, out.path);
  if (reader.error().empty()) reader.read_params(out.params);
  if (!reader.error().empty()) return fail(reader.error());
  const auto is_many = [](const AliasSegment& segment) {
    return segment.front().kind == Kind::kSegments;
  };
  const auto many = std::count_if(out.path.begin(), out.path.end(), is_many);
  const bool elsewhere =
      (!out.host.empty() && is_many(out.host)) ||
      std::any_of(out.params.begin(), out.params.end(), [](const AliasPattern::Param& param) {
        return param.value.kind == Kind::kSegments || param.value.kind == Kind::kChoice;
      });
  if (many > 1) return fail("it has more than one [name*]");
  if (elsewhere) return fail("[name*] and choices of words stand in the path only");
  out.many = many == 1;
  out.names_file = ends_in_dotted_text(out.path.back());
  return out;
}

Result<AliasTarget> parse_alias_target(std::string_view text, const AliasPattern& pattern) {
  AliasTarget out;
  Reader reader(text, nullptr, &pattern.captures);
  reader.read(out.host, out.path);
  if (!reader.error().empty()) return fail(reader.error());
  if (!reader.left().empty()) return fail("a target has no query");
  const auto is_choice = [](const AliasPart& part) { return part.kind == Kind::kChoice; };
  for (const AliasSegment& segment : out.path) {
    if (std::any_of(segment.begin(), segment.end(), is_choice)) {
      return fail("a target takes [name] only");
    }
  }
  const auto names_many = [&](const AliasPart& part) {
    return std::any_of(pattern.path.begin(), pattern.path.end(), [&](const AliasSegment& segment) {
      return segment.front().kind == Kind::kSegments && part.kind != Kind::kText &&
             segment.front().capture == part.capture;
    });
  };
  if (out.path.size() == 1 && !names_many(out.path.front().front())) {
    return fail("it names an app and a stream: /app/stream");
  }
  return out;
}

AliasPath::AliasPath(std::string_view path) {
  while (path.starts_with('/')) {
    path.remove_prefix(1);
    const std::size_t end = std::min(path.find('/'), path.size());
    if (count == segment.size()) {
      count = 0;
      return;
    }
    segment[count++] = path.substr(0, end);
    path.remove_prefix(end);
  }
}

bool match_alias_segment(const AliasSegment& segment, std::string_view text,
                         AliasCaptures& captures) {
  for (std::size_t i = segment.size(); i-- > 0;) {
    const AliasPart& part = segment[i];
    std::string_view taken;
    if (part.kind == Kind::kText) {
      if (!text.ends_with(part.text)) return false;
      text.remove_suffix(part.text.size());
    } else if (part.kind == Kind::kChoice) {
      if (!take_choice(part, text, taken)) return false;
    } else {
      taken = take_capture(part, i > 0 ? &segment[i - 1] : nullptr, text);
      if (taken.empty() || (part.kind == Kind::kHost && !is_host(taken))) return false;
    }
    if (part.capture < captures.size()) captures[part.capture] = taken;
  }
  return text.empty();
}

bool match_alias_path(const AliasPattern& pattern, const AliasPath& path, AliasCaptures& captures) {
  const std::size_t size = pattern.path.size();
  if (pattern.many ? path.count < size : path.count != size) return false;
  std::size_t at = 0;
  for (const AliasSegment& segment : pattern.path) {
    if (segment.front().kind != Kind::kSegments) {
      if (!match_alias_segment(segment, path.segment[at++], captures)) return false;
      continue;
    }
    const std::string_view first = path.segment[at];
    at += path.count - size + 1;
    const std::string_view last = path.segment[at - 1];
    const std::size_t length = static_cast<std::size_t>(last.data() + last.size() - first.data());
    const AliasPart& part = segment.front();
    if (part.capture < captures.size()) captures[part.capture] = {first.data(), length};
  }
  return true;
}

std::string expand_alias(const AliasSegment& segment, const AliasCaptures& captures) {
  std::string out;
  for (const AliasPart& part : segment) {
    out += part.kind == Kind::kText ? std::string_view(part.text) : captures[part.capture];
  }
  return out;
}

}  // namespace weir
