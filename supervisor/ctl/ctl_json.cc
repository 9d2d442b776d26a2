#include "supervisor/ctl/ctl_json.h"

#include <algorithm>
#include <array>
#include <vector>

namespace weir::ctl {
namespace {

// Of UTF-8: what is not the continuation of a character.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string printable(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return text;
}

}  // namespace

const cJSON* member(const cJSON* json, const char* name) {
  return cJSON_IsObject(json) != 0 ? cJSON_GetObjectItemCaseSensitive(json, name) : nullptr;
}

std::string text_at(const cJSON* json, const char* name) {
  const cJSON* const found = member(json, name);
  return cJSON_IsString(found) != 0 ? found->valuestring : "";
}

std::uint64_t number_at(const cJSON* json, const char* name) {
  const cJSON* const found = member(json, name);
  const bool fits =
      cJSON_IsNumber(found) != 0 && found->valuedouble >= 0 && found->valuedouble < 1e18;
  return fits ? static_cast<std::uint64_t>(found->valuedouble) : 0;
}

bool flag_at(const cJSON* json, const char* name) {
  return cJSON_IsTrue(member(json, name)) != 0;
}

std::string table(const cJSON* rows, std::span<const Column> columns) {
  std::vector<std::vector<std::string>> lines(1);
  for (const Column& column : columns) lines[0].emplace_back(column.title);
  const cJSON* row = nullptr;
  cJSON_ArrayForEach(row, rows) {
    auto& line = lines.emplace_back();
    for (const Column& column : columns) line.push_back(printable(column.cell(*row)));
  }
  std::vector<std::size_t> widths(columns.size());
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i)
      widths[i] = std::max(widths[i], width_of(line[i]));
  }
  std::string out;
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      out += line[i];
      const bool last = i + 1 == line.size();
      if (!last) out.append(widths[i] - width_of(line[i]) + 2, ' ');
    }
    out += '\n';
  }
  return out;
}

std::string duration_text(std::uint64_t ms) {
  struct Unit {
    std::uint64_t ms;
    const char* name;
  };
  static constexpr std::array<Unit, 4> kUnits = {
      {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}}};
  for (std::size_t i = 0; i < kUnits.size(); ++i) {
    if (ms < kUnits[i].ms) continue;
    std::string text = std::to_string(ms / kUnits[i].ms) + kUnits[i].name;
    if (i + 1 < kUnits.size()) {
      text += " " + std::to_string(ms % kUnits[i].ms / kUnits[i + 1].ms) + kUnits[i + 1].name;
    }
    return text;
  }
  return std::to_string(ms) + "ms";
}

}  // namespace weir::ctl
