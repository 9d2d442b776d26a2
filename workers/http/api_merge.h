// One answer out of those of several origins, as JSON. Pure but for cJSON, which is why this is no
// *_session. Owner: ApiCalls. Trees belong to their ApiJson; what goes into the result is moved out
// of them. Errors: an origin whose answer has another form than its kind wants becomes a failure.
#pragma once

#include <cjson/cJSON.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "workers/http/api_plan_session.h"

namespace weir::http {

struct ApiJsonDeleter {
  void operator()(cJSON* json) const { cJSON_Delete(json); }
};
using ApiJson = std::unique_ptr<cJSON, ApiJsonDeleter>;

// What one origin said. Either `json` or `failure` is set, or neither yet.
struct OriginAnswer {
  std::string name;
  std::string id;
  std::string failure;   // why there is no usable answer
  bool missing = false;  // it answered, and has nothing there
  ApiJson json;
};

struct ApiAnswer {
  int status = 200;
  std::string body;
};

// Takes an origin's body apart; sets `json`, or `failure` and `missing`. `status` is that of HTTP.
void read_answer(OriginAnswer& answer, int status, std::string_view body);

// kList and kRows. REQUIRES: every answer has json or failure.
ApiAnswer merge_answers(const ApiPlan& plan, std::vector<OriginAnswer>& answers);
// kItem and kRemove: the one answer that counts, with its origin named.
ApiAnswer name_item(const ApiPlan& plan, OriginAnswer& answer);
// None has it.
ApiAnswer item_not_found(const ApiPlan& plan, const std::vector<OriginAnswer>& answers);
// Several have it.
ApiAnswer item_conflict(const ApiPlan& plan, const std::vector<const OriginAnswer*>& owners);

ApiAnswer api_error(int status, int code, std::string_view error);
// What the server core refuses by itself (heads, bodies, limits), with the code that the System API
// has for it.
ApiAnswer api_refusal(int status, std::string_view why);
ApiAnswer api_versions(std::string_view version, std::uint64_t pid);

}  // namespace weir::http
