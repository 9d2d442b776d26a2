#include <doctest/doctest.h>

#include <random>

#include "common/config/syntax.h"

using namespace weir;
using namespace weir::config;

namespace {

struct Parsed {
  std::vector<Fault> faults;
  Document document;
};

Parsed parse(std::string_view text, const Environment& environment = {}) {
  Parsed parsed;
  FaultList list(parsed.faults);
  parsed.document = parse_text("a.conf", text, environment, list);
  return parsed;
}

std::string first_fault(std::string_view text) {
  const Parsed parsed = parse(text);
  return parsed.faults.empty() ? "" : to_string(parsed.faults.front());
}

}  // namespace

TEST_CASE("statements, blocks, comments and quotes become a tree with places") {
  const Parsed parsed = parse(
      "# head\n"
      "a 1; b;\n"
      "block name\n"
      "{ # opens\n"
      "  c x y 'r $w \\' \"q\\\"\\$\\\\\";\n"
      "}\n");
  CHECK(parsed.faults.empty());
  const auto& top = parsed.document.statements;
  REQUIRE(top.size() == 3);
  CHECK(top[0].name.text == "a");
  CHECK(top[0].values[0].at.line == 2);
  CHECK(top[0].values[0].at.column == 3);
  CHECK(top[1].values.empty());
  REQUIRE(top[2].is_block);
  CHECK(top[2].values[0].text == "name");
  REQUIRE(top[2].children.size() == 1);
  const Statement& inner = top[2].children[0];
  REQUIRE(inner.values.size() == 4);
  CHECK(inner.values[2].text == "r $w \\");
  CHECK(inner.values[3].text == "q\"$\\");
  CHECK(inner.name.at.line == 5);
  CHECK(inner.name.at.column == 3);
}

TEST_CASE("variables come from the environment, in bare and double-quoted words") {
  const Parsed parsed = parse("a $X; b x${X}y; c \"<$X>\"; d '$X'; e $$X;", {{"X", "v w"}});
  CHECK(parsed.faults.empty());
  const char* expected[] = {"v w", "xv wy", "<v w>", "$X", "$X"};
  REQUIRE(parsed.document.statements.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(parsed.document.statements[i].values.at(0).text == expected[i]);
  }
}

TEST_CASE("a syntax fault has file, line and column") {
  const std::pair<const char*, const char*> cases[] = {
      {"a 1\nb 2;", "a.conf:1:4: \";\" expected after \"1\""},
      {"x {\n  a 1 }", "a.conf:2:6: \";\" expected after \"1\""},
      {"a 1;\n  }\n", "a.conf:2:3: \"}\" closes nothing"},
      {"\nx {\n a 1;\n", "a.conf:2:1: block \"x\" is not closed"},
      {"a \"b;\nc;", "a.conf:1:3: the quoted text that begins here is not closed on its line"},
      {"a \"b\"c;", "a.conf:1:6: a space or \";\" expected after the closing quote"},
      {"a \"\\q\";", "a.conf:1:4: unknown escape: \\\" \\\\ \\$ \\n and \\t are known"},
      {"a $NO;", "a.conf:1:3: variable \"NO\" is not set in the environment"},
      {"a ${NO;", "a.conf:1:3: a variable is $NAME or ${NAME}; a plain dollar sign is $$"},
      {"a;\nb \x01;", "a.conf:2:3: control character 1: is this a text file?"},
      {"{ a; }", "a.conf:1:1: \"{\" where a name is expected"},
      {"include;", "a.conf:1:1: include takes one path"},
      {"a {b {c {d {e {f {g {h {i {\n", "a.conf:1:25: blocks are nested more than 8 deep"}};
  for (const auto& [written, fault] : cases) {
    const auto& text = written;
    CAPTURE(text);
    CHECK(first_fault(text) == fault);
  }
}

TEST_CASE("parsing goes on after a fault, up to the limit of faults") {
  CHECK(parse("a 1\nb \"x\nc $NO;\n}").faults.size() == 5);
  const Parsed many = parse(std::string(5000, '}'));
  CHECK(many.faults.size() == kMaxFaults + 1);
  CHECK(many.faults.back().text == "too many faults; the rest is not shown");
}

TEST_CASE("hostile text is bounded") {
  CHECK(first_fault(std::string(kMaxFileBytes + 1, ' ')) == "a.conf: is larger than 1m");
  CHECK(first_fault(std::string(kMaxFileBytes, '{')) != "");
  CHECK(parse(std::string(kMaxFileBytes, 'a')).faults.size() == 1);
  std::string blocks;
  for (int i = 0; i < 200'000; ++i) blocks += "a{";
  CHECK(parse(blocks).faults.size() == 1);
  std::string statements;
  for (int i = 0; i < 200'000; ++i) statements += "a;";
  CHECK(parse(statements).faults.size() == 1);
  // A variable that expands to much, many times.
  std::string expanding = "a ";
  for (int i = 0; i < 1000; ++i) expanding += "$X";
  CHECK(parse(expanding + ";", {{"X", std::string(100'000, 'x')}}).faults.size() > 0);
}

TEST_CASE("random bytes and mutated files end in a tree or in faults") {
  std::mt19937 random(20240917);
  const std::string seed =
      "rtmp { listen 1935; relay_delay \"20ms\"; }\norigin a { ip '10.0.0.1'; rtmp ${X} 1936; }\n";
  const std::string alphabet = "{};\"'$\\#\n\t \xEF\xBB\xBF" + std::string(1, '\0') + "ax1.[]:";
  for (int round = 0; round < 20'000; ++round) {
    std::string text = seed;
    const int edits = 1 + static_cast<int>(random() % 8);
    for (int i = 0; i < edits && !text.empty(); ++i) {
      const std::size_t at = random() % text.size();
      const char c = alphabet[random() % alphabet.size()];
      if (random() % 3 == 0) {
        text.erase(at, 1 + random() % 4);
      } else if (random() % 2 == 0) {
        text[at] = c;
      } else {
        text.insert(at, 1, c);
      }
    }
    CHECK(parse(text, {{"X", "1935"}}).faults.size() <= kMaxFaults + 1);
    CHECK(load_config_text("a.conf", text, {}).faults.size() <= kMaxFaults + 1);
  }
}
