#include "common/config/alias.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "common/base/alias_rule.h"
#include "common/base/limits.h"
#include "common/config/nearest.h"
#include "common/config/values.h"

namespace weir::config {
namespace {

constexpr std::string_view kArrow = "->";
constexpr std::string_view kOff = "off";

constexpr OriginRow kRows[] = {
    {"preset", "words", "", "nginx_rtmp live", "nginx_rtmp APP..., nginx_http_flv APP... or srs",
     "The rules that a server's usual URLs need. APP...: the applications whose streams are in its "
     "hls_path and dash_path. Also hls=/PATH and dash=/PATH (default /hls and /dash; or off), and "
     "variant=SUFFIX for each suffix of renditions (hls_variant), such as variant=_low."},
    {"rule", "words", "", "/push/[stream] -> /live/[stream]", "PATTERN -> NAME...",
     "What fits the pattern is the stream of that name. Of several names the first that is known "
     "counts. docs/STREAMS.md has the forms."},
};

struct Preset {
  std::string_view name;
  bool takes_apps;
  bool takes_folders;
};
constexpr std::array<Preset, 3> kPresets = {
    {{"nginx_rtmp", true, true}, {"nginx_http_flv", true, true}, {"srs", false, false}}};

// What stands behind a preset's name.
struct Words {
  std::vector<std::string> apps;
  std::vector<std::string> hls;
  std::vector<std::string> dash;
  std::vector<std::string> variants;

  // A choice of the suffixes; `optional`: or none of them.
  std::string choice(bool optional) const {
    std::string out;
    for (const std::string& suffix : variants) out.append(out.empty() ? "(" : "|").append(suffix);
    if (out.empty()) return out;
    return out.append(optional ? "|)" : ")");
  }
  std::string any_app() const {
    std::string out;
    for (const std::string& app : apps) out.append(out.empty() ? "[app:" : "|").append(app);
    return out + "]";
  }
};

// Files of one folder: `/hls/cam.m3u8` and its segments, in a folder of the stream's (nested) too.
struct Files {
  std::string_view playlist;
  std::string_view segment;                // behind `cam-`
  std::array<std::string_view, 2> nested;  // in the stream's folder; the second may be empty
};
void add_folder(const std::string& folder, const Words& words, const Files& files,
                std::vector<AliasConfig>& rules) {
  const std::string stream = "/[stream]" + words.choice(true);
  std::vector<std::string> names;
  for (const std::string& app : words.apps) names.push_back("/" + app + "/[stream]");
  const auto add = [&](const std::string& below, const std::vector<std::string>& to) {
    const std::string lead = folder + below + stream;
    rules.push_back({lead + std::string(files.playlist), to, {}});
    rules.push_back({lead + "/index" + std::string(files.playlist), to, {}});
    rules.push_back({lead + "-" + std::string(files.segment), to, {}});
    for (const std::string_view nested : files.nested) {
      if (!nested.empty()) rules.push_back({lead + "/" + std::string(nested), to, {}});
    }
  };
  add("", names);
  // hls_path /tmp/hls/live
  add("/" + words.any_app(), {"/[app]/[stream]"});
}

void add_nginx_rtmp(const Words& words, std::vector<AliasConfig>& rules) {
  for (const std::string& folder : words.hls) {
    if (folder == kOff) continue;
    add_folder(folder, words, {".m3u8", "[number](.ts|.key)", {"[number](.ts|.key)"}}, rules);
  }
  for (const std::string& folder : words.dash) {
    if (folder == kOff) continue;
    add_folder(folder, words,
               {".mpd", "[any](.m4v|.m4a)", {"[number](.m4v|.m4a)", "(init|raw)(.m4v|.m4a)"}},
               rules);
  }
  if (words.variants.empty()) return;
  rules.push_back(
      {"/" + words.any_app() + "/[stream]" + words.choice(false), {"/[app]/[stream]"}, {}});
}

// The locations that people rewrite to its own form, `/flv?app=APP&stream=NAME`, which needs none.
void add_nginx_http_flv(const Words& words, std::vector<AliasConfig>& rules) {
  const std::string stream = "/[stream]" + words.choice(true) + ".flv";
  rules.push_back({"/flv/[app]" + stream, {"/[app]/[stream]"}, {}});
  AliasConfig short_form{"/flv" + stream, {}, {}};
  for (const std::string& app : words.apps) short_form.to.push_back("/" + app + "/[stream]");
  rules.push_back(std::move(short_form));
  add_nginx_rtmp(words, rules);
}

void add_srs(const Words& words, std::vector<AliasConfig>& rules) {
  const auto add = [&](const std::string& lead, const std::string& host) {
    const std::string name = lead + "/[app*]/[stream]";
    const std::string stream = name + words.choice(true);
    const std::vector<std::string> plain = {host + "/[app]/[stream]"};
    // A segment of HLS, or a live stream whose name ends in a number.
    std::string as_it_is = plain[0];
    std::string segment = name;
    if (!words.variants.empty()) {
      as_it_is += "[variant]";
      segment += "[variant:" + words.choice(true).substr(1);
      segment.back() = ']';
    }
    rules.push_back({stream + "/(video|audio)-[any](.m4s|.mp4)", plain, {}});
    rules.push_back({segment + "-[number].ts", {as_it_is + "-[number]", plain[0]}, {}});
    rules.push_back({stream + "-[number](.m4s|.key)", plain, {}});
    rules.push_back({stream + "/index(.m3u8|.mpd)", plain, {}});
    rules.push_back({stream + "/init.mp4", plain, {}});
    if (!lead.empty()) {
      rules.push_back({stream, plain, {}});
    } else if (!words.variants.empty()) {
      rules.push_back({name + words.choice(false), plain, {}});
    }
  };
  add("/[vhost]", "//[vhost]");  // http_remux { mount /[vhost]/[app]/[stream].flv; }
  add("", "");
}

class AliasReader {
 public:
  AliasReader(const Document& document, FaultList& faults, std::vector<AliasConfig>& rules)
      : document_(document), faults_(faults), rules_(rules) {}

  void read(const Statement& block) {
    if (!block.values.empty()) fault(block.values[0].at, "block aliases takes no name");
    for (const Statement& statement : block.children) read_statement(statement);
  }

 private:
  void fault(const Place& at, std::string text) { faults_.add(document_, at, std::move(text)); }

  void read_statement(const Statement& statement) {
    const std::string& name = statement.name.text;
    const Place& at = statement.name.at;
    if (name != "preset" && name != "rule") {
      return fault(
          at, "unknown option " + show(name) + " in aliases" + suggest(name, {"preset", "rule"}));
    }
    if (statement.is_block) return fault(at, "aliases." + name + ": is not a block");
    const std::size_t before = rules_.size();
    if (before > limits::kAliasRules) return;  // a fault already
    const std::string source = document_.files[at.file] + ":" + std::to_string(at.line);
    if (name == "rule") {
      read_rule(statement, source);
    } else {
      read_preset(statement, source);
    }
    if (rules_.size() > limits::kAliasRules) {
      fault(at, "aliases: more than " + std::to_string(limits::kAliasRules) +
                    " rules, those of presets among them");
    }
  }

  void read_rule(const Statement& statement, const std::string& source) {
    const std::vector<Word>& words = statement.values;
    if (words.size() < 3 || words[1].text != kArrow || words.size() > 2 + limits::kAliasTargets) {
      return fault(statement.name.at, "aliases.rule: takes PATTERN -> NAME, up to " +
                                          std::to_string(limits::kAliasTargets) + " names");
    }
    AliasConfig rule;
    rule.from = words[0].text;
    rule.source.text = source;
    const auto pattern = parse_alias_pattern(rule.from);
    if (!pattern) return bad(words[0], pattern.error().text);
    for (std::size_t i = 2; i < words.size(); ++i) {
      const auto target = parse_alias_target(words[i].text, *pattern);
      if (!target) return bad(words[i], target.error().text);
      rule.to.push_back(words[i].text);
    }
    rules_.push_back(std::move(rule));
  }

  void bad(const Word& word, const std::string& why) {
    fault(word.at, "aliases.rule: " + show(word.text) + ": " + why);
  }

  void read_preset(const Statement& statement, const std::string& source) {
    const Place& at = statement.name.at;
    if (statement.values.empty()) return fault(at, "aliases.preset: takes the name of one");
    const Word& name = statement.values[0];
    const auto* preset = std::find_if(kPresets.begin(), kPresets.end(),
                                      [&](const Preset& known) { return known.name == name.text; });
    if (preset == kPresets.end()) {
      return fault(name.at, "aliases.preset: " + show(name.text) +
                                " is none of nginx_rtmp, nginx_http_flv, srs" +
                                suggest(name.text, {"nginx_rtmp", "nginx_http_flv", "srs"}));
    }
    Words words;
    for (std::size_t i = 1; i < statement.values.size(); ++i) {
      if (!read_word(*preset, statement.values[i], words)) return;
    }
    if (preset->takes_apps && words.apps.empty()) {
      return fault(name.at, "aliases.preset: " + name.text +
                                " needs the applications that its URLs do not name");
    }
    if (words.hls.empty()) words.hls.emplace_back("/hls");
    if (words.dash.empty()) words.dash.emplace_back("/dash");
    add_preset(*preset, words, name.at, source);
  }

  // Of both parts: what stands in a rule as text must not be read as more there.
  static bool is_plain(std::string_view text) {
    return !text.empty() && text.size() <= limits::kAliasNameBytes &&
           text.find_first_of("[]()|/?*%:") == std::string_view::npos && text != "." &&
           text != "..";
  }

  static bool is_folder(std::string_view text) {
    if (!text.starts_with('/')) return false;
    while (!text.empty()) {
      const std::size_t end = std::min(text.find('/', 1), text.size());
      if (!is_plain(text.substr(1, end - 1))) return false;
      text.remove_prefix(end);
    }
    return true;
  }

  bool read_word(const Preset& preset, const Word& word, Words& words) {
    const std::size_t equals = word.text.find('=');
    const std::string name = word.text.substr(0, std::min(equals, word.text.size()));
    const std::string value = equals == std::string::npos ? "" : word.text.substr(equals + 1);
    const auto refuse = [&](const std::string& why) {
      fault(word.at, "aliases.preset: " + show(word.text) + ": " + why);
      return false;
    };
    if (equals == std::string::npos) {
      if (!preset.takes_apps) return refuse(std::string(preset.name) + " takes no applications");
      if (!is_plain(name)) return refuse("is no application's name");
      if (words.apps.size() == limits::kAliasTargets) return refuse("too many applications");
      words.apps.push_back(name);
    } else if (name == "variant") {
      if (!is_plain(value)) return refuse("is no suffix");
      if (words.variants.size() + 1 >= limits::kAliasChoices) return refuse("too many suffixes");
      words.variants.push_back(value);
    } else if (preset.takes_folders && (name == "hls" || name == "dash")) {
      std::vector<std::string>& folders = name == "hls" ? words.hls : words.dash;
      if (value != kOff && !is_folder(value)) return refuse("is no path");
      folders.push_back(value);
    } else {
      return refuse("is not known here");
    }
    return true;
  }

  void add_preset(const Preset& preset, const Words& words, const Place& place,
                  const std::string& source) {
    std::size_t at = rules_.size();
    if (preset.name == "srs") {
      add_srs(words, rules_);
    } else if (preset.name == "nginx_rtmp") {
      add_nginx_rtmp(words, rules_);
    } else {
      add_nginx_http_flv(words, rules_);
    }
    for (; at < rules_.size(); ++at) {
      AliasConfig& rule = rules_[at];
      rule.source.text = "preset " + std::string(preset.name) + ", " + source;
      const auto pattern = parse_alias_pattern(rule.from);
      if (pattern) continue;
      fault(place, "aliases.preset: its rule " + show(rule.from) + ": " + pattern.error().text);
      return;
    }
  }

  const Document& document_;
  FaultList& faults_;
  std::vector<AliasConfig>& rules_;
};

}  // namespace

std::span<const OriginRow> alias_rows() {
  return kRows;
}

void read_aliases(const Statement& block, const Document& document, FaultList& faults,
                  std::vector<AliasConfig>& rules) {
  AliasReader(document, faults, rules).read(block);
}

std::string print_aliases(const std::vector<AliasConfig>& rules) {
  if (rules.empty()) return {};
  std::string out = "aliases {\n";
  for (const AliasConfig& rule : rules) {
    out.append("    rule ").append(print_word(rule.from)).append(" ").append(kArrow);
    for (const std::string& name : rule.to) out.append(" ").append(print_word(name));
    out.append(";  # ").append(rule.source.text).append("\n");
  }
  return out + "}\n";
}

}  // namespace weir::config
