// Reading what the System API answers, and showing rows of it as a table.
#pragma once

#include <cjson/cJSON.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace weir::ctl {

struct JsonDeleter {
  void operator()(cJSON* json) const { cJSON_Delete(json); }
};
using JsonPtr = std::unique_ptr<cJSON, JsonDeleter>;

// Of a member of an object; "" and 0 when it is not there or is something else. `json` may be null.
std::string text_at(const cJSON* json, const char* name);
std::uint64_t number_at(const cJSON* json, const char* name);
bool flag_at(const cJSON* json, const char* name);
// Null when it is not there.
const cJSON* member(const cJSON* json, const char* name);

struct Column {
  const char* title;
  std::string (*cell)(const cJSON& row);
};
// One line a row under the titles; columns as wide as they need to be. Control bytes of what comes
// from clients are shown, not obeyed.
std::string table(const cJSON* rows, std::span<const Column> columns);

// "3d 04h", "12m 30s", "450ms".
std::string duration_text(std::uint64_t ms);

}  // namespace weir::ctl
