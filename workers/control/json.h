// Owners and small builders for cJSON. A tree belongs to its JsonPtr; what is added to a parent
// belongs to the parent from then on. Text from outside is made valid UTF-8 on the way in, so that
// every answer is valid JSON whatever a stream is called.
#pragma once

#include <cjson/cJSON.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace weir::control {

struct JsonDeleter {
  void operator()(cJSON* json) const { cJSON_Delete(json); }
};
using JsonPtr = std::unique_ptr<cJSON, JsonDeleter>;

JsonPtr make_object();
JsonPtr make_array();
void add_text(cJSON* object, const char* name, std::string_view value);
// Numbers up to 2^53 are exact, as in every JSON reader.
void add_number(cJSON* object, const char* name, std::uint64_t value);
void add_flag(cJSON* object, const char* name, bool value);
// Adds `child` to `object` and returns it for filling; `object` owns it.
cJSON* add_child(cJSON* object, const char* name, JsonPtr child);
void append(cJSON* array, JsonPtr item);
void append_text(cJSON* array, std::string_view value);
// Without white space, with a line end.
std::string print(const cJSON* json);

}  // namespace weir::control
