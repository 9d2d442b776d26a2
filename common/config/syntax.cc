#include "common/config/syntax.h"

#include <glob.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "common/config/read_file.h"
#include "common/config/values.h"

namespace weir::config {
namespace {

class GlobResult {
 public:
  explicit GlobResult(const std::string& pattern) {
    status_ = ::glob(pattern.c_str(), 0, nullptr, &found_);
  }
  GlobResult(const GlobResult&) = delete;
  GlobResult& operator=(const GlobResult&) = delete;
  ~GlobResult() { ::globfree(&found_); }
  std::vector<std::string> paths() const {
    if (status_ != 0) return {};
    return {found_.gl_pathv, found_.gl_pathv + found_.gl_pathc};
  }

 private:
  glob_t found_{};
  int status_;
};

std::string relative_to(const std::string& file, const std::string& path) {
  const std::size_t slash = file.rfind('/');
  if (path.starts_with('/') || slash == std::string::npos) return path;
  return file.substr(0, slash + 1) + path;
}

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}
bool ends_word(char c) {
  return is_space(c) || c == ';' || c == '{' || c == '}';
}
bool is_name(char c) {
  return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// What all files of one load share.
struct Shared {
  const Environment& environment;
  FaultList& faults;
  Document document;
  std::vector<std::string> open_files;  // the chain of includes down to the current file
  std::size_t statements = 0;
  std::size_t expanded = 0;  // bytes that variables have put in
};

// Parses one file's text. An include makes another FileParser.
class FileParser {
 public:
  FileParser(Shared& shared, std::string_view text, std::size_t depth)
      : shared_(shared), text_(text), block_depth_(depth) {
    shared_.document.files.push_back(shared_.open_files.back());
    file_ = static_cast<std::uint32_t>(shared_.document.files.size() - 1);
    if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
  }

  void parse(std::vector<Statement>& out) {
    if (report_binary()) return;
    parse_statements(out, nullptr);
  }

 private:
  // Control characters mean that this is no text file; one fault is enough then.
  bool report_binary() {
    for (const char c : text_) {
      const auto byte = static_cast<unsigned char>(c);
      if ((byte < 0x20 && !is_space(c)) || byte == 0x7F) {
        fault(here(), "control character " + std::to_string(byte) + ": is this a text file?");
        return true;
      }
      advance();
    }
    position_ = 0;
    line_ = column_ = 1;
    return false;
  }

  bool at_end() const { return position_ >= text_.size(); }
  char peek() const { return text_[position_]; }
  Place here() const { return {file_, line_, column_}; }
  void fault(const Place& at, std::string text) {
    shared_.faults.add(shared_.document, at, std::move(text));
  }
  void advance() {
    if (text_[position_] == '\n') {
      ++line_;
      column_ = 1;
    } else {
      ++column_;
    }
    ++position_;
  }
  void skip_space_and_comments() {
    while (!at_end() && (is_space(peek()) || peek() == '#')) {
      if (peek() == '#') {
        while (!at_end() && peek() != '\n') advance();
      } else {
        advance();
      }
    }
  }
  bool exhausted() const {
    return gave_up_ || shared_.faults.full() || shared_.statements >= kMaxStatements;
  }

  // `opened`: the name of the block whose end is looked for; null at the top of a file.
  void parse_statements(std::vector<Statement>& out, const Word* opened) {
    for (;;) {
      skip_space_and_comments();
      if (at_end() || exhausted()) break;
      const Place at = here();
      if (peek() == '}') {
        advance();
        if (opened != nullptr) return;
        fault(at, "\"}\" closes nothing");
      } else if (peek() == ';' || peek() == '{') {
        fault(at, std::string("\"") + peek() + "\" where a name is expected");
        advance();
      } else {
        parse_statement(out);
      }
    }
    if (opened != nullptr && !exhausted()) {
      fault(opened->at, "block " + show(opened->text) + " is not closed");
    }
  }

  void parse_statement(std::vector<Statement>& out) {
    if (++shared_.statements == kMaxStatements) {
      fault(here(), "more than " + std::to_string(kMaxStatements) + " statements");
      return;
    }
    Statement statement;
    statement.name = parse_word();
    const bool is_include = statement.name.text == "include" || statement.name.text == ".include";
    for (;;) {
      // A statement ends on the line it began on, so that a forgotten semicolon is named where it
      // is missing; only the brace of a block may follow on the next line.
      const Place end = here();
      skip_space_and_comments();
      const bool same_line = !at_end() && line_ == end.line;
      if (!at_end() && peek() == '{') {
        advance();
        parse_block(statement);
        break;
      }
      if (same_line && peek() == ';') {
        advance();
        break;
      }
      if (!same_line || peek() == '}') {
        if (statement.name.text != ".include") {
          fault(end, "\";\" expected after " + show(last_word(statement).text));
        }
        if (!at_end() && peek() == ';') advance();
        break;
      }
      statement.values.push_back(parse_word());
    }
    if (is_include && !statement.is_block) {
      include(statement, out);
    } else {
      out.push_back(std::move(statement));
    }
  }

  static const Word& last_word(const Statement& statement) {
    return statement.values.empty() ? statement.name : statement.values.back();
  }

  void parse_block(Statement& statement) {
    statement.is_block = true;
    if (block_depth_ >= kMaxDepth) {
      fault(statement.name.at,
            "blocks are nested more than " + std::to_string(kMaxDepth) + " deep");
      gave_up_ = true;  // nothing that follows could be placed
      return;
    }
    ++block_depth_;
    parse_statements(statement.children, &statement.name);
    --block_depth_;
  }

  Word parse_word() {
    Word word;
    word.at = here();
    if (peek() == '\'') {
      parse_raw(word);
    } else if (peek() == '"') {
      parse_quoted(word);
    } else {
      while (!at_end() && !ends_word(peek())) take_character(word);
      return word;
    }
    if (!at_end() && !ends_word(peek())) {
      fault(here(), "a space or \";\" expected after the closing quote");
    }
    return word;
  }

  void parse_raw(Word& word) {
    advance();
    while (!at_end() && peek() != '\'' && peek() != '\n') {
      word.text += peek();
      advance();
    }
    close_quote(word, '\'');
  }

  void parse_quoted(Word& word) {
    advance();
    while (!at_end() && peek() != '"' && peek() != '\n') {
      if (peek() == '\\') {
        parse_escape(word);
      } else {
        take_character(word);
      }
    }
    close_quote(word, '"');
  }

  void close_quote(const Word& word, char quote) {
    if (!at_end() && peek() == quote) {
      advance();
    } else {
      fault(word.at, "the quoted text that begins here is not closed on its line");
    }
  }

  void parse_escape(Word& word) {
    const Place at = here();
    advance();
    const char c = at_end() ? '\n' : peek();
    if (c == '"' || c == '\\' || c == '$') {
      word.text += c;
    } else if (c == 'n' || c == 't') {
      word.text += c == 'n' ? '\n' : '\t';
    } else {
      fault(at, "unknown escape: \\\" \\\\ \\$ \\n and \\t are known");
    }
    if (c != '\n') advance();
  }

  // One character, or one variable.
  void take_character(Word& word) {
    if (peek() != '$') {
      word.text += peek();
      advance();
      return;
    }
    const Place at = here();
    advance();
    if (!at_end() && peek() == '$') {
      word.text += '$';
      advance();
      return;
    }
    const bool braces = !at_end() && peek() == '{';
    if (braces) advance();
    std::string name;
    while (!at_end() && is_name(peek())) {
      name += peek();
      advance();
    }
    const bool closed = !braces || (!at_end() && peek() == '}');
    if (braces && closed) advance();
    if (name.empty() || !closed) {
      fault(at, "a variable is $NAME or ${NAME}; a plain dollar sign is $$");
      return;
    }
    const auto found = shared_.environment.find(name);
    if (found == shared_.environment.end()) {
      fault(at, "variable " + show(name) + " is not set in the environment");
    } else if (shared_.expanded + found->second.size() > kMaxFileBytes) {
      fault(at, "variables make up more than 1 MiB");
    } else {
      shared_.expanded += found->second.size();
      word.text += found->second;
    }
  }

  void include(const Statement& statement, std::vector<Statement>& out) {
    if (statement.values.size() != 1 || statement.values[0].text.empty()) {
      fault(statement.name.at, "include takes one path");
      return;
    }
    const Word& wanted = statement.values[0];
    const std::string path = relative_to(shared_.open_files.back(), wanted.text);
    if (path.find_first_of("*?[") == std::string::npos) {
      include_file(path, wanted.at, out);
      return;
    }
    for (const std::string& match : GlobResult(path).paths()) include_file(match, wanted.at, out);
  }

  void include_file(const std::string& path, const Place& at, std::vector<Statement>& out) {
    auto& open = shared_.open_files;
    if (std::find(open.begin(), open.end(), path) != open.end()) {
      return fault(at, path + " includes itself");
    }
    if (open.size() > kMaxDepth) {
      return fault(at, "includes are nested more than " + std::to_string(kMaxDepth) + " deep");
    }
    if (shared_.document.files.size() >= kMaxFiles) {
      return fault(at, "more than " + std::to_string(kMaxFiles) + " files");
    }
    const auto text = read_file(path, kMaxFileBytes);
    if (!text) return fault(at, "include " + path + ": " + text.error().text);
    open.push_back(path);
    FileParser(shared_, *text, block_depth_).parse(out);
    open.pop_back();
  }

  Shared& shared_;
  std::string_view text_;
  std::size_t block_depth_;
  std::uint32_t file_ = 0;
  std::size_t position_ = 0;
  bool gave_up_ = false;
  std::uint32_t line_ = 1;
  std::uint32_t column_ = 1;
};

}  // namespace

void FaultList::add(const std::string& where, std::uint32_t line, std::uint32_t column,
                    std::string text) {
  if (full()) return;
  if (out_.size() == kMaxFaults) text = "too many faults; the rest is not shown";
  out_.push_back(Fault{where, line, column, std::move(text)});
}

Document parse_text(const std::string& name, std::string_view text, const Environment& environment,
                    FaultList& faults) {
  Shared shared{environment, faults, {}, {name}, 0, 0};
  std::vector<Statement> statements;
  if (text.size() > kMaxFileBytes) {
    shared.document.files.push_back(name);
    faults.add(name, 0, 0, "is larger than " + print_size(kMaxFileBytes));
  } else {
    FileParser(shared, text, 0).parse(statements);
  }
  shared.document.statements = std::move(statements);
  return std::move(shared.document);
}

Document parse_file(const std::string& path, const Environment& environment, FaultList& faults) {
  const auto text = read_file(path, kMaxFileBytes);
  if (text) return parse_text(path, *text, environment, faults);
  faults.add(path, 0, 0, text.error().text);
  return Document{{path}, {}};
}

}  // namespace weir::config
