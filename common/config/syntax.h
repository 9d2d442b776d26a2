// The syntax of weir.conf: text to a tree of statements, each with its place. Knows no option.
//
//   statement  = name value* ";"  |  name value* "{" statement* "}"  |  include pattern ";"
//   value      = bare word | "quoted, with \" \\ \n \t \$ and variables" | 'taken as it is'
//   variable   = $NAME | ${NAME}, from the environment, in bare and "quoted" words; $$ is a $
//   comment    = # to the end of the line, where a word could begin
//
// `include` takes a path or a glob pattern, relative to the folder of the file it stands in, and is
// allowed inside blocks; libucl's `.include "path"` is understood too. A pattern may match nothing.
// Everything is bounded (kMax...), a fault does not stop the parser, and all text is hostile.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/config.h"

namespace weir::config {

inline constexpr std::size_t kMaxFileBytes = 1024 * 1024;
inline constexpr std::size_t kMaxFiles = 64;  // reads of files, includes among them
inline constexpr std::size_t kMaxDepth = 8;   // of blocks, and of includes
inline constexpr std::size_t kMaxStatements = 65536;

struct Place {
  std::uint32_t file = 0;  // index into Document::files
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

struct Word {
  std::string text;  // unquoted, variables replaced
  Place at;
};

struct Statement {
  Word name;
  std::vector<Word> values;
  bool is_block = false;
  std::vector<Statement> children;
};

struct Document {
  std::vector<std::string> files;
  std::vector<Statement> statements;
};

// Collects faults up to the limit.
class FaultList {
 public:
  explicit FaultList(std::vector<Fault>& out) : out_(out) {}
  void add(const std::string& where, std::uint32_t line, std::uint32_t column, std::string text);
  void add(const Document& document, const Place& at, std::string text) {
    add(document.files[at.file], at.line, at.column, std::move(text));
  }
  bool full() const { return out_.size() > kMaxFaults; }

 private:
  std::vector<Fault>& out_;
};

// Parses the file, or the text when one is given, and what it includes.
Document parse_file(const std::string& path, const Environment& environment, FaultList& faults);
Document parse_text(const std::string& name, std::string_view text, const Environment& environment,
                    FaultList& faults);

}  // namespace weir::config
