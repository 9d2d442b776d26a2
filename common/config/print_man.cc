// What derives from the option table for weir.conf(5): man(7) macros, from "values" to the last
// block. packaging/man/weir.conf.5.in has what stands around it.
#include <algorithm>
#include <string>

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

// A text in which nothing is a request or an escape of troff; `code` becomes bold.
std::string man_text(std::string_view text) {
  std::string out;
  bool bold = false;
  bool line_begins = true;
  for (const char c : text) {
    if (line_begins && (c == '.' || c == '\'')) out += "\\&";
    line_begins = c == '\n';
    switch (c) {
      case '`':
        bold = !bold;
        out += bold ? "\\fB" : "\\fP";
        break;
      case '\\':
        out += "\\e";
        break;
      case '-':
        out += "\\-";
        break;
      case ':':
        out += ":\\:";  // lists of ciphers are longer than a line
        break;
      case '~':
        out += "\\(ti";
        break;
      case '^':
        out += "\\(ha";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// The same, filled into lines of up to 78 columns, with a newline at its end.
std::string man_lines(std::string_view text) {
  constexpr std::size_t kColumns = 78;
  const std::string words = man_text(text);
  std::string out;
  std::size_t column = 0;
  for (std::size_t at = 0; at < words.size();) {
    const std::size_t end = std::min(words.find_first_of(" \n", at), words.size());
    const std::string_view word = std::string_view(words).substr(at, end - at);
    at = end + 1;
    if (word.empty()) continue;
    const bool breaks = column > 0 && column + 1 + word.size() > kColumns;
    if (column > 0) out += breaks ? '\n' : ' ';
    column = breaks || column == 0 ? 0 : column + 1;
    if (column == 0 && (word[0] == '.' || word[0] == '\'')) out += "\\&";
    out += word;
    column += word.size();
  }
  return out + "\n";
}

// Empty lines part paragraphs, and count for nothing at the ends.
std::string man_paragraphs(std::string_view text) {
  while (text.starts_with('\n')) text.remove_prefix(1);
  while (text.ends_with('\n')) text.remove_suffix(1);
  std::string out;
  for (std::size_t end = 0; end != std::string_view::npos;) {
    end = text.find("\n\n");
    out += (out.empty() ? "" : ".PP\n") + man_lines(text.substr(0, end));
    if (end != std::string_view::npos) text.remove_prefix(end + 2);
  }
  return out;
}

std::string man_item(std::string_view name, std::string_view value) {
  std::string out = ".TP\n\\fB" + man_text(name) + "\\fP";
  if (!value.empty()) out += " " + man_text(value);
  return out + "\n";
}

void add_man_options(std::string& out, std::string_view section) {
  for (const OptionRow& row : option_rows()) {
    if (row.section != section) continue;
    std::string facts = std::string(type_text(row.type)) + "; " + range_text(row);
    if (!row.unit.empty()) facts.append("; ").append(row.unit);
    facts += row.reload == ReloadClass::kReload ? "; reload" : "; restart";
    if (!row.env.empty()) facts.append("; ").append(row.env);
    out += man_item(row.name, print_word(row.initial)) +
           man_lines(std::string(row.doc) + " (" + facts + ")");
  }
}

void add_man_block(std::string& out, std::string_view name, std::string_view text,
                   std::span<const OriginRow> rows) {
  out += ".SS \"" + man_text(name) + "\"\n" + man_paragraphs(text);
  for (const OriginRow& row : rows) {
    out += man_item(row.name, row.initial.empty() ? "" : print_word(row.initial)) +
           man_lines(std::string(row.doc) + " (" + std::string(row.type) + "; " +
                     std::string(row.range) + ")");
  }
}

}  // namespace
}  // namespace config

std::string options_man() {
  std::string out = ".SH VALUES\n" + config::man_paragraphs(config::kValuesText);
  out += ".SH SYNTAX\n.nf\n" + config::man_text(config::kSyntaxExample) + ".fi\n.PP\n";
  out += config::man_paragraphs(config::kSyntaxText);
  out +=
      ".SH OPTIONS\nAfter each name its default; in parentheses type, range, unit, class\nand "
      "environment variable.\n.SS \"Top level\"\n";
  config::add_man_options(out, "");
  for (const auto& section : config::section_rows()) {
    out += ".SS " + config::man_text(section.name) + "\n" + config::man_paragraphs(section.doc);
    config::add_man_options(out, section.name);
  }
  config::add_man_block(out, "origin NAME", config::kOriginText, config::origin_rows());
  config::add_man_block(out, "origins_from NAME:PORT", config::kOriginsFromText,
                        config::origins_from_rows());
  config::add_man_block(out, "certificate NAME", config::kCertificateText,
                        config::certificate_rows());
  config::add_man_block(out, "aliases", config::kAliasText, config::alias_rows());
  return out;
}

}  // namespace weir
