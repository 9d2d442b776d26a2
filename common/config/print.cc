// What derives from the option table for people: `weir -T`, docs/OPTIONS.md, conf/weir.conf, and
// the comparison of two configurations at SIGHUP.
#include <algorithm>

#include "common/config/alias.h"
#include "common/config/certificate.h"
#include "common/config/config.h"
#include "common/config/options.h"
#include "common/config/origin.h"
#include "common/config/reference_texts.h"
#include "common/config/values.h"

namespace weir {
namespace config {
namespace {

constexpr std::string_view kMask = "***";

std::string source_of(const Config& config, const OptionRow& row) {
  const auto found = config.sources.find(row.path());
  return found == config.sources.end() ? "default" : found->second.text;
}

std::string print_option(const Config& config, const OptionRow& row, std::string_view indent) {
  const std::string value = row.get(config);
  const bool masked = row.type == OptionType::Secret && !value.empty();
  std::string out(indent);
  out.append(row.name).append(" ").append(masked ? print_word(kMask) : print_word(value));
  out.append(";  # ").append(masked ? "masked, " : "").append(source_of(config, row));
  return out + "\n";
}

std::string reload_text(const OptionRow& row) {
  return row.reload == ReloadClass::kReload ? "reload" : "restart";
}

// ---- docs/OPTIONS.md

std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string code(std::string_view text) {
  return text.empty() ? std::string() : "`" + cell(text) + "`";
}

std::string default_code(std::string_view text) {
  return text.empty() ? "empty" : code(text);
}

void add_options_table(std::string& out, std::string_view section) {
  out +=
      "| option | type | default | range | unit | class | environment | meaning |\n"
      "| --- | --- | --- | --- | --- | --- | --- | --- |\n";
  for (const OptionRow& row : option_rows()) {
    if (row.section != section) continue;
    out += "| " + code(row.name) + " | " + std::string(type_text(row.type)) + " | " +
           default_code(row.initial) + " | " + cell(range_text(row)) + " | " + cell(row.unit) +
           " | " + reload_text(row) + " | " + code(row.env) + " | " + cell(row.doc) + " |\n";
  }
}

constexpr std::string_view kMarkdownHead = R"(# Options
Made by `weir --print-options-md` from `common/config/options.def`; don't edit it by hand.

)";

// ---- conf/weir.conf

constexpr std::string_view kConfHead =
    R"(# Weir: every option with its default. Made by `weir --print-options-conf`; docs/OPTIONS.md is the
# reference. Remove the # in front of an option to change it, then `weir -t` and `weir -s reload`.
#
# Above each option: its meaning, then (type; range; unit; class; environment variable, which wins).
# class reload: SIGHUP applies it to new sessions; class restart: needs a new master.
)";

// A text as comment lines of up to 100 columns.
std::string comment(std::string_view text, std::string_view indent) {
  constexpr std::size_t kColumns = 100;
  std::string out;
  std::string line;
  const auto flush = [&] {
    if (!line.empty()) out.append(indent).append("#").append(line).append("\n");
    line.clear();
  };
  while (!text.empty()) {
    const std::size_t space = std::min(text.find(' '), text.size());
    if (indent.size() + 1 + line.size() + 1 + space > kColumns) flush();
    line.append(" ").append(text.substr(0, space));
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  flush();
  return out;
}

std::string conf_option(const OptionRow& row, std::string_view indent) {
  std::string facts = "(" + std::string(type_text(row.type)) + "; " + range_text(row);
  if (!row.unit.empty()) facts.append("; ").append(row.unit);
  facts += "; " + reload_text(row);
  if (!row.env.empty()) facts.append("; ").append(row.env);
  std::string out = comment(std::string(row.doc) + " " + facts + ")", indent);
  out.append(indent).append("# ").append(row.name).append(" ").append(print_word(row.initial));
  return out + ";\n";
}

void add_block_table(std::string& out, std::span<const OriginRow> rows) {
  out += "| option | type | default | range | meaning |\n| --- | --- | --- | --- | --- |\n";
  for (const OriginRow& row : rows) {
    out += "| " + code(row.name) + " | " + std::string(row.type) + " | " + code(row.initial) +
           " | " + std::string(row.range) + " | " + std::string(row.doc) + " |\n";
  }
}

void add_conf_block(std::string& out, std::string_view name, std::span<const OriginRow> rows) {
  out.append("# ").append(name).append(" {\n");
  for (const OriginRow& row : rows) {
    out += comment(
        std::string(row.doc) + " (" + std::string(row.type) + "; " + std::string(row.range) + ")",
        "#     ");
    out.append("#     ").append(row.name).append(" ").append(row.example).append(";\n");
  }
  out += "# }\n";
}

void add_conf_section(std::string& out, std::string_view section, std::string_view indent) {
  for (const OptionRow& row : option_rows()) {
    if (row.section != section) continue;
    if (!out.ends_with("{\n")) out += "\n";
    out += conf_option(row, indent);
  }
}

}  // namespace
}  // namespace config

std::string print_config(const Config& config) {
  std::string out = "# The effective configuration; after each value, where it came from.\n";
  for (const auto& row : config::option_rows()) {
    if (row.section.empty()) out += config::print_option(config, row, "");
  }
  for (const auto& section : config::section_rows()) {
    out.append("\n").append(section.name).append(" {\n");
    for (const auto& row : config::option_rows()) {
      if (row.section == section.name) out += config::print_option(config, row, "    ");
    }
    out += "}\n";
  }
  for (const CertificateConfig& certificate : config.certificates) {
    out += "\n" + config::print_certificate(certificate);
  }
  for (const OriginConfig& origin : config.origins) out += "\n" + config::print_origin(origin);
  for (const OriginsFromConfig& set : config.origins_from) {
    out += "\n" + config::print_origins_from(set);
  }
  if (!config.aliases.empty()) out += "\n" + config::print_aliases(config.aliases);
  return out;
}

std::vector<std::string> restart_changes(const Config& running, const Config& next) {
  std::vector<std::string> changed;
  for (const auto& row : config::option_rows()) {
    if (row.reload == config::ReloadClass::kRestart && !row.same(running, next)) {
      changed.push_back(row.path());
    }
  }
  return changed;
}

void keep_restart_values(const Config& running, Config& next) {
  for (const auto& row : config::option_rows()) {
    if (row.reload != config::ReloadClass::kRestart || row.same(running, next)) continue;
    row.copy(running, next);
    next.sources[row.path()].text = "kept until a restart";
  }
}

std::string options_markdown() {
  std::string out(config::kMarkdownHead);
  out.append(config::kValuesText).append("\n## Syntax\n```\n").append(config::kSyntaxExample);
  out.append("```\n").append(config::kSyntaxText).append("\n## Top level\n");
  config::add_options_table(out, "");
  for (const auto& section : config::section_rows()) {
    out.append("\n## ").append(section.name).append("\n").append(section.doc).append("\n\n");
    config::add_options_table(out, section.name);
  }
  out.append("\n## origin NAME").append(config::kOriginText);
  config::add_block_table(out, config::origin_rows());
  out.append("\n## origins_from NAME:PORT").append(config::kOriginsFromText);
  config::add_block_table(out, config::origins_from_rows());
  out.append("\n## certificate NAME").append(config::kCertificateText);
  config::add_block_table(out, config::certificate_rows());
  out.append("\n## aliases").append(config::kAliasText);
  config::add_block_table(out, config::alias_rows());
  return out;
}

std::string options_conf() {
  std::string out(config::kConfHead);
  config::add_conf_section(out, "", "");
  for (const auto& section : config::section_rows()) {
    out += "\n" + config::comment(section.doc, "");
    out.append(section.name).append(" {\n");
    config::add_conf_section(out, section.name, "    ");
    out += "}\n";
  }
  out += "\n# Origins that need no registration: one block for each; its name is up to you.\n";
  config::add_conf_block(out, "origin NAME", config::origin_rows());
  out += "\n# Origins that are the addresses of a DNS name: one block for each name.\n";
  config::add_conf_block(out, "origins_from NAME:PORT", config::origins_from_rows());
  out += "\n# Certificates of the TLS listeners: one block for each.\n";
  config::add_conf_block(out, "certificate NAME", config::certificate_rows());
  out += "\n# Other names of streams, for what viewers ask: rules in their order.\n";
  config::add_conf_block(out, "aliases", config::alias_rows());
  out += "\n# More files, such as one for each group of origins.\n# include conf.d/*.conf;\n";
  return out;
}

}  // namespace weir
