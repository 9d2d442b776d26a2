#include "workers/http/api_merge.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/utf8.h"

namespace weir::http {
namespace {

ApiJson object() {
  return ApiJson(cJSON_CreateObject());
}

cJSON* get(const cJSON* json, std::string_view name) {
  return cJSON_GetObjectItemCaseSensitive(json, std::string(name).c_str());
}

void put(cJSON* json, const char* name, ApiJson value) {
  cJSON_DeleteItemFromObjectCaseSensitive(json, name);
  cJSON_AddItemToObject(json, name, value.release());
}

void put_text(cJSON* json, const char* name, std::string_view value) {
  put(json, name, ApiJson(cJSON_CreateString(to_valid_utf8(value).c_str())));
}

void put_number(cJSON* json, const char* name, double value) {
  put(json, name, ApiJson(cJSON_CreateNumber(value)));
}

void put_origin(cJSON* json, const OriginAnswer& answer) {
  put_text(json, "origin", answer.name);
  put_text(json, "origin_id", answer.id);
}

std::string print(const cJSON* json) {
  struct Free {
    void operator()(char* text) const { cJSON_free(text); }
  };
  const std::unique_ptr<char, Free> text(cJSON_PrintUnformatted(json));
  return text ? std::string(text.get()) + "\n" : std::string("{}\n");
}

ApiJson error_object(int code, std::string_view error) {
  ApiJson json = object();
  put_number(json.get(), "code", code);
  put_text(json.get(), "error", error);
  return json;
}

// partial, failed_origins. An origin that has answered, and has nothing there, has not failed.
void put_failures(cJSON* json, const std::vector<OriginAnswer>& answers, bool missing_counts) {
  ApiJson failed(cJSON_CreateArray());
  for (const OriginAnswer& answer : answers) {
    if (answer.failure.empty() || (answer.missing && !missing_counts)) continue;
    ApiJson row = object();
    put_text(row.get(), "name", answer.name);
    put_text(row.get(), "origin_id", answer.id);
    put_text(row.get(), "reason", answer.failure);
    cJSON_AddItemToArray(failed.get(), row.release());
  }
  put(json, "partial", ApiJson(cJSON_CreateBool(cJSON_GetArraySize(failed.get()) > 0 ? 1 : 0)));
  put(json, "failed_origins", std::move(failed));
}

bool all_objects(const cJSON* array) {
  const cJSON* item = nullptr;
  cJSON_ArrayForEach(item, array) {
    if (!cJSON_IsObject(item)) return false;
  }
  return true;
}

// Moves the rows of the page out of all answers.
void put_page(cJSON* json, const ApiPlan& plan, std::vector<OriginAnswer>& answers) {
  ApiJson page(cJSON_CreateArray());
  std::uint64_t position = 0;
  std::uint64_t taken = 0;
  bool more = false;
  for (const OriginAnswer& answer : answers) {
    if (!answer.json) continue;
    cJSON* rows = get(answer.json.get(), plan.array);
    while (ApiJson row{cJSON_DetachItemFromArray(rows, 0)}) {
      if (position++ < plan.start) continue;
      if (taken == plan.count) {
        more = true;
        break;
      }
      ++taken;
      put_origin(row.get(), answer);
      cJSON_AddItemToArray(page.get(), row.release());
    }
    if (more) break;
  }
  put(json, plan.array.c_str(), std::move(page));
  put_number(json, "start", static_cast<double>(plan.start));
  put_number(json, "count", static_cast<double>(taken));
  put(json, "more", ApiJson(cJSON_CreateBool(more ? 1 : 0)));
}

// What can be added up over origins: an origin's own part of its summary. Values of whole machines
// would count a machine with two origins twice.
void put_totals(cJSON* json, const std::vector<OriginAnswer>& answers) {
  struct Sum {
    const char* section;
    const char* name;
    double value = 0;
    bool seen = false;
  };
  std::array<Sum, 5> sums = {{{"self", "mem_kbyte"},
                              {"self", "cpu_percent"},
                              {"system", "conn_srs"},
                              {"system", "srs_recv_bytes"},
                              {"system", "srs_send_bytes"}}};
  double origins = 0;
  for (const OriginAnswer& answer : answers) {
    if (!answer.json) continue;
    ++origins;
    for (Sum& sum : sums) {
      const cJSON* number = get(get(get(answer.json.get(), "data"), sum.section), sum.name);
      if (!cJSON_IsNumber(number)) continue;
      sum.value += number->valuedouble;
      sum.seen = true;
    }
  }
  ApiJson totals = object();
  put_number(totals.get(), "origins", origins);
  for (const Sum& sum : sums) {
    if (sum.seen) put_number(totals.get(), sum.name, sum.value);
  }
  put(json, "totals", std::move(totals));
}

void put_rows(cJSON* json, std::vector<OriginAnswer>& answers) {
  ApiJson rows(cJSON_CreateArray());
  for (OriginAnswer& answer : answers) {
    if (!answer.json) continue;
    ApiJson row;
    if (cJSON_IsObject(get(answer.json.get(), "data"))) {
      row.reset(cJSON_DetachItemFromObjectCaseSensitive(answer.json.get(), "data"));
    } else {
      cJSON_DeleteItemFromObjectCaseSensitive(answer.json.get(), "code");
      row = std::move(answer.json);
    }
    put_origin(row.get(), answer);
    cJSON_AddItemToArray(rows.get(), row.release());
  }
  put(json, "data", std::move(rows));
}

}  // namespace

void read_answer(OriginAnswer& answer, int status, std::string_view body) {
  if (status != 200) {
    answer.missing = status == 404;
    answer.failure = "status " + std::to_string(status);
    return;
  }
  const std::string text = to_valid_utf8(body);
  ApiJson json(cJSON_ParseWithLength(text.data(), text.size()));
  if (!cJSON_IsObject(json.get())) {
    answer.failure = "answer is no JSON object";
    return;
  }
  const cJSON* code = get(json.get(), "code");
  if (cJSON_IsNumber(code) && code->valuedouble != 0) {
    // SRS says "no such stream", "no such client" and "no such vhost" with status 200.
    answer.missing = true;
    answer.failure = "code " + std::to_string(code->valueint);
    return;
  }
  answer.json = std::move(json);
}

ApiAnswer merge_answers(const ApiPlan& plan, std::vector<OriginAnswer>& answers) {
  if (plan.kind == ApiKind::kList) {
    for (OriginAnswer& answer : answers) {
      if (!answer.json) continue;
      const cJSON* rows = get(answer.json.get(), plan.array);
      if (cJSON_IsArray(rows) && all_objects(rows)) continue;
      answer.failure = "answer has no list of " + plan.array;
      answer.json.reset();
    }
  }
  const auto usable = [](const OriginAnswer& answer) { return answer.json != nullptr; };
  if (std::none_of(answers.begin(), answers.end(), usable)) {
    const bool nowhere = std::all_of(answers.begin(), answers.end(), [](const OriginAnswer& a) {
      return a.failure == "status 404";
    });
    ApiJson json = nowhere
                       ? error_object(api_code::kNotFound, "no origin has this path")
                       : error_object(api_code::kOriginsFailed, "no origin gave a usable answer");
    put_failures(json.get(), answers, true);
    return {nowhere ? 404 : 502, print(json.get())};
  }
  ApiJson json = object();
  put_number(json.get(), "code", 0);
  put_text(json.get(), "server", "weir");
  if (plan.kind == ApiKind::kList) {
    put_page(json.get(), plan, answers);
  } else {
    const bool summaries = plan.target.starts_with("/api/v1/summaries");
    if (summaries) put_totals(json.get(), answers);  // before the rows are moved
    put_failures(json.get(), answers, true);
    put_rows(json.get(), answers);
    return {200, print(json.get())};
  }
  put_failures(json.get(), answers, true);
  return {200, print(json.get())};
}

ApiAnswer name_item(const ApiPlan& plan, OriginAnswer& answer) {
  put_origin(answer.json.get(), answer);
  if (cJSON* item = get(answer.json.get(), plan.array); cJSON_IsObject(item)) {
    put_origin(item, answer);
  }
  return {200, print(answer.json.get())};
}

ApiAnswer item_not_found(const ApiPlan& plan, const std::vector<OriginAnswer>& answers) {
  const bool none = std::none_of(answers.begin(), answers.end(),
                                 [](const OriginAnswer& answer) { return answer.missing; });
  const std::string text =
      none ? "no origin gave a usable answer" : "no origin that answered has such a " + plan.array;
  ApiJson json = error_object(none ? api_code::kOriginsFailed : api_code::kNotFound, text);
  put_failures(json.get(), answers, false);
  return {none ? 502 : 404, print(json.get())};
}

ApiAnswer item_conflict(const ApiPlan& plan, const std::vector<const OriginAnswer*>& owners) {
  ApiJson json = error_object(api_code::kConflict, "several origins have such a " + plan.array +
                                                       ": choose one with ?origin=");
  ApiJson names(cJSON_CreateArray());
  for (const OriginAnswer* owner : owners) {
    cJSON_AddItemToArray(names.get(), cJSON_CreateString(to_valid_utf8(owner->name).c_str()));
  }
  put(json.get(), "origins", std::move(names));
  return {409, print(json.get())};
}

ApiAnswer api_error(int status, int code, std::string_view error) {
  return {status, print(error_object(code, error).get())};
}

ApiAnswer api_refusal(int status, std::string_view why) {
  while (why.ends_with('\n')) why.remove_suffix(1);
  switch (status) {
    case 401:
    case 403:
      return api_error(status, api_code::kUnauthorized, why);
    case 404:
      return api_error(status, api_code::kNotFound, why);
    case 405:
      return api_error(status, api_code::kBadMethod, why);
    case 408:
      return api_error(status, api_code::kTimeout, why);
    case 413:
    case 414:
    case 431:
      return api_error(status, api_code::kTooLarge, why);
    case 429:
    case 503:
      return api_error(status, api_code::kBusy, why);
    default:
      return api_error(status, api_code::kBadRequest,
                       "this is not a valid HTTP request: " + std::string(why));
  }
}

ApiAnswer api_versions(std::string_view version, std::uint64_t pid) {
  std::array<double, 3> numbers = {};
  std::size_t part = 0;
  for (const char c : version) {
    if (c == '.' && part < 2) {
      ++part;
    } else if (c >= '0' && c <= '9') {
      numbers[part] = numbers[part] * 10 + (c - '0');
    } else {
      break;
    }
  }
  ApiJson data = object();
  put_number(data.get(), "major", numbers[0]);
  put_number(data.get(), "minor", numbers[1]);
  put_number(data.get(), "revision", numbers[2]);
  put_text(data.get(), "version", version);
  ApiJson json = object();
  put_number(json.get(), "code", 0);
  put_text(json.get(), "pid", std::to_string(pid));
  put_text(json.get(), "signature", "Weir");
  put_text(json.get(), "version", version);
  put(json.get(), "data", std::move(data));
  return {200, print(json.get())};
}

}  // namespace weir::http
