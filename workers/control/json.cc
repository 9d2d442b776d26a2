#include "workers/control/json.h"

#include "common/base/utf8.h"

namespace weir::control {

JsonPtr make_object() {
  return JsonPtr(cJSON_CreateObject());
}
JsonPtr make_array() {
  return JsonPtr(cJSON_CreateArray());
}

void add_text(cJSON* object, const char* name, std::string_view value) {
  cJSON_AddStringToObject(object, name, to_valid_utf8(value).c_str());
}

void add_number(cJSON* object, const char* name, std::uint64_t value) {
  cJSON_AddNumberToObject(object, name, static_cast<double>(value));
}

void add_flag(cJSON* object, const char* name, bool value) {
  cJSON_AddBoolToObject(object, name, value ? 1 : 0);
}

cJSON* add_child(cJSON* object, const char* name, JsonPtr child) {
  cJSON* raw = child.release();
  cJSON_AddItemToObject(object, name, raw);
  return raw;
}

void append(cJSON* array, JsonPtr item) {
  cJSON_AddItemToArray(array, item.release());
}

void append_text(cJSON* array, std::string_view value) {
  append(array, JsonPtr(cJSON_CreateString(to_valid_utf8(value).c_str())));
}

std::string print(const cJSON* json) {
  struct Free {
    void operator()(char* text) const { cJSON_free(text); }
  };
  const std::unique_ptr<char, Free> text(cJSON_PrintUnformatted(json));
  return text ? std::string(text.get()) + "\n" : std::string("{}\n");
}

}  // namespace weir::control
