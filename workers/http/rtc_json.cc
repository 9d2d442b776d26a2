#include "workers/http/rtc_json.h"

namespace weir::http {
namespace {

// A text of at most what the whole body may have; embedded NULs end it, as everywhere in cJSON.
std::string text_of(const cJSON* json, const char* name) {
  const cJSON* item = cJSON_GetObjectItemCaseSensitive(json, name);
  return cJSON_IsString(item) ? std::string(item->valuestring) : std::string();
}

ApiJson parse_object(std::string_view body) {
  ApiJson json(cJSON_ParseWithLength(body.data(), body.size()));
  return cJSON_IsObject(json.get()) ? std::move(json) : nullptr;
}

}  // namespace

Result<SrsOffer> read_srs_offer(std::string_view body) {
  const ApiJson json = parse_object(body);
  if (!json) return fail("the body is no JSON object");
  SrsOffer offer{text_of(json.get(), "streamurl"), text_of(json.get(), "sdp")};
  if (offer.stream_url.empty()) return fail("streamurl is missing");
  if (offer.sdp.empty()) return fail("sdp is missing");
  return offer;
}

Result<SrsAnswer> read_srs_answer(std::string_view body) {
  SrsAnswer answer;
  answer.json = parse_object(body);
  if (!answer.json) return fail("the answer is no JSON object");
  const cJSON* code = cJSON_GetObjectItemCaseSensitive(answer.json.get(), "code");
  answer.sdp = text_of(answer.json.get(), "sdp");
  answer.ok = cJSON_IsNumber(code) && code->valuedouble == 0 && !answer.sdp.empty();
  return answer;
}

std::string with_sdp(const SrsAnswer& answer, std::string_view sdp) {
  cJSON_ReplaceItemInObjectCaseSensitive(answer.json.get(), "sdp",
                                         cJSON_CreateString(std::string(sdp).c_str()));
  struct Free {
    void operator()(char* text) const { cJSON_free(text); }
  };
  const std::unique_ptr<char, Free> text(cJSON_PrintUnformatted(answer.json.get()));
  return text ? std::string(text.get()) : std::string();
}

}  // namespace weir::http
