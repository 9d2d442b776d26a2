#include "workers/http/rtc_json.h"

#include <algorithm>
#include <set>

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

bool has_double_member(const cJSON* object) {
  std::set<std::string_view> names;
  for (const cJSON* item = object->child; item != nullptr; item = item->next) {
    if (!names.insert(item->string).second) return true;
  }
  return false;
}

void replace_text(cJSON* object, const char* name, std::string_view text) {
  cJSON_ReplaceItemInObjectCaseSensitive(object, name,
                                         cJSON_CreateString(std::string(text).c_str()));
}

std::string print(const cJSON* json) {
  struct Free {
    void operator()(char* text) const { cJSON_free(text); }
  };
  const std::unique_ptr<char, Free> text(cJSON_PrintUnformatted(json));
  return text ? std::string(text.get()) : std::string();
}

}  // namespace

Result<SrsOffer> read_srs_offer(std::string_view body) {
  SrsOffer offer;
  offer.json = parse_object(body);
  if (!offer.json) return fail("the body is no JSON object");
  if (has_double_member(offer.json.get())) return fail("the body has a member twice");
  offer.stream_url = text_of(offer.json.get(), "streamurl");
  offer.sdp = text_of(offer.json.get(), "sdp");
  if (offer.stream_url.empty()) return fail("streamurl is missing");
  if (offer.sdp.empty()) return fail("sdp is missing");
  return offer;
}

std::string print_srs_offer(const SrsOffer& offer, std::string_view stream_url,
                            std::string_view sdp, std::string_view client_ip) {
  cJSON* const json = offer.json.get();
  replace_text(json, "streamurl", stream_url);
  replace_text(json, "sdp", sdp);
  if (cJSON_IsString(cJSON_GetObjectItemCaseSensitive(json, "clientip"))) {
    replace_text(json, "clientip", client_ip);
  }
  return print(json);
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

Result<SrsClients> find_srs_publisher(std::string_view body, std::string_view stream_url) {
  constexpr double kMsMax = 1e12;
  const ApiJson json = parse_object(body);
  const cJSON* const rows = cJSON_GetObjectItemCaseSensitive(json.get(), "clients");
  if (!cJSON_IsArray(rows)) return fail("the answer has no clients");
  SrsClients out;
  for (const cJSON* row = rows->child; row != nullptr; row = row->next) {
    ++out.count;
    const bool publishes = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(row, "publish")) &&
                           text_of(row, "type").starts_with("rtc");
    if (!publishes || text_of(row, "tcUrl") + "/" + text_of(row, "name") != stream_url) continue;
    const cJSON* alive = cJSON_GetObjectItemCaseSensitive(row, "alive");
    const double ms = cJSON_IsNumber(alive) ? alive->valuedouble * 1000 : 0;
    out.id = text_of(row, "id");
    out.connected_ms = ms > 0 ? static_cast<std::uint64_t>(std::min(ms, kMsMax)) : 0;
  }
  return out;
}

std::string with_sdp(const SrsAnswer& answer, std::string_view sdp) {
  replace_text(answer.json.get(), "sdp", sdp);
  return print(answer.json.get());
}

}  // namespace weir::http
