#include "workers/control/registration.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>

#include "common/base/endpoint.h"
#include "common/base/host_name.h"
#include "common/base/limits.h"
#include "common/base/utf8.h"
#include "workers/control/json.h"
#include "workers/control/text.h"

namespace weir::control {
namespace {

// `webrtc://`, a name, a port.
constexpr std::size_t kEndpointBytes = kHostNameBytes + 16;

using Refusal = tl::unexpected<RegistrationError>;

Refusal refuse(std::string field, std::string text) {
  return Refusal(RegistrationError{std::move(field), std::move(text)});
}

// cJSON ends a text at \u0000, which would hide what follows from every check. A control character
// in its place keeps the text whole, and the check of its field refuses it.
std::string without_nul_escapes(std::string_view body) {
  std::string out(body);
  for (std::size_t i = 0; i + 1 < out.size(); ++i) {
    if (out[i] != '\\') continue;
    if (out.compare(i, 6, "\\u0000") == 0) out[i + 5] = '1';
    ++i;  // the escaped character
  }
  return out;
}

tl::expected<JsonPtr, RegistrationError> parse_object(std::string_view body) {
  if (body.size() > limits::kRegisterBodyBytes) {
    return refuse("body",
                  "is longer than " + std::to_string(limits::kRegisterBodyBytes) + " bytes");
  }
  if (body.find('\0') != std::string_view::npos) return refuse("body", "has a NUL byte");
  const std::string text = without_nul_escapes(body);
  // The length with the final NUL, and "must end there": nothing but white space may follow.
  JsonPtr json(cJSON_ParseWithLengthOpts(text.c_str(), text.size() + 1, nullptr, 1));
  if (!json) return refuse("body", "is not valid JSON");
  if (cJSON_IsObject(json.get()) == 0) return refuse("body", "is not a JSON object");
  return json;
}

// The member called `name`; null when it is missing or null. Refused when it is there twice: which
// one counts would depend on the reader.
tl::expected<const cJSON*, RegistrationError> find_member(const cJSON* object, const char* name) {
  const cJSON* found = nullptr;
  for (const cJSON* item = object->child; item != nullptr; item = item->next) {
    if (item->string == nullptr || std::strcmp(item->string, name) != 0) continue;
    if (found != nullptr) return refuse(name, "is there twice");
    found = item;
  }
  if (found != nullptr && cJSON_IsNull(found) != 0) found = nullptr;
  return found;
}

// A text, or a whole number in its place.
std::optional<std::string> scalar_text(const cJSON* item) {
  static constexpr double kExact = 9007199254740992.0;  // 2^53
  if (cJSON_IsString(item) != 0 && item->valuestring != nullptr) return item->valuestring;
  if (cJSON_IsNumber(item) == 0) return std::nullopt;
  const double value = item->valuedouble;
  if (!std::isfinite(value) || std::fabs(value) > kExact || std::trunc(value) != value) {
    return std::nullopt;
  }
  return std::to_string(static_cast<std::int64_t>(value));
}

tl::expected<std::string, RegistrationError> checked_text(
    const std::string& field, const cJSON* item, std::size_t most = limits::kOriginTextBytes) {
  const auto text = scalar_text(item);
  if (!text) return refuse(field, "is neither a text nor a whole number");
  if (text->empty()) return refuse(field, "is empty");
  if (text->size() > most) {
    return refuse(field, "is longer than " + std::to_string(most) + " bytes");
  }
  if (!is_valid_utf8(*text)) return refuse(field, "is not valid UTF-8");
  for (const char c : *text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) return refuse(field, "has a control character");
  }
  return *text;
}

tl::expected<void, RegistrationError> read_text(const cJSON* object, const char* name,
                                                bool mandatory, char* out) {
  const auto member = find_member(object, name);
  if (!member) return Refusal(member.error());
  if (*member == nullptr) {
    if (mandatory) return refuse(name, "is missing");
    return {};
  }
  // An optional text may be there and empty: SRS sends what it has.
  if (!mandatory && cJSON_IsString(*member) != 0 && (*member)->valuestring[0] == '\0') return {};
  const auto text = checked_text(name, *member);
  if (!text) return Refusal(text.error());
  std::copy(text->begin(), text->end(), out);  // the rest of the field is zero
  return {};
}

tl::expected<Endpoint, RegistrationError> read_ip(const cJSON* object, HostNames& names) {
  const auto member = find_member(object, "ip");
  if (!member) return Refusal(member.error());
  if (*member == nullptr) return refuse("ip", "is missing");
  const auto text = checked_text("ip", *member, kHostNameBytes);
  if (!text) return Refusal(text.error());
  const auto ip = parse_origin_host(*text, names);
  if (!ip) return refuse("ip", "is wrong: " + ip.error().text);
  if (!ip->is_host()) return refuse("ip", "is not the address of a host");
  return *ip;
}

tl::expected<void, RegistrationError> read_endpoints(const cJSON* object, const char* name,
                                                     ipc::EndpointKind kind, bool mandatory,
                                                     ipc::OriginRegister& out) {
  const auto member = find_member(object, name);
  if (!member) return Refusal(member.error());
  if (*member == nullptr) {
    if (mandatory) return refuse(name, "is missing");
    return {};
  }
  if (cJSON_IsArray(*member) == 0) return refuse(name, "is not an array");
  const auto index = static_cast<std::size_t>(kind);
  std::size_t count = 0;
  for (const cJSON* item = (*member)->child; item != nullptr; item = item->next) {
    if (count == limits::kEndpointsPerKind) {
      return refuse(name,
                    "has more than " + std::to_string(limits::kEndpointsPerKind) + " endpoints");
    }
    const std::string field = std::string(name) + "[" + std::to_string(count) + "]";
    const auto text = checked_text(field, item, kEndpointBytes);
    if (!text) return Refusal(text.error());
    const auto endpoint = parse_origin_endpoint(*text, out.ip, &out.hosts);
    if (!endpoint) return refuse(field, "is wrong: " + endpoint.error().text);
    if (!endpoint->is_host()) return refuse(field, "has no address of a host");
    out.endpoints[index][count++] = *endpoint;
  }
  if (mandatory && count == 0) return refuse(name, "has no endpoint");
  out.endpoint_count[index] = static_cast<std::uint8_t>(count);
  return {};
}

}  // namespace

tl::expected<ipc::OriginRegister, RegistrationError> parse_registration(std::string_view body) {
  const auto json = parse_object(body);
  if (!json) return Refusal(json.error());
  const cJSON* object = json->get();
  ipc::OriginRegister out;
  const auto ip = read_ip(object, out.hosts);
  if (!ip) return Refusal(ip.error());
  out.ip = *ip;

  struct TextField {
    const char* name;
    bool mandatory;
    char* out;
  };
  const std::array<TextField, 4> texts = {{{"server", true, out.server},
                                           {"service", true, out.service},
                                           {"pid", true, out.pid},
                                           {"device_id", false, out.device_id}}};
  for (const TextField& field : texts) {
    const auto done = read_text(object, field.name, field.mandatory, field.out);
    if (!done) return Refusal(done.error());
  }

  struct EndpointField {
    const char* name;
    ipc::EndpointKind kind;
    bool mandatory;
  };
  static constexpr std::array<EndpointField, 5> kEndpointFields = {
      {{"rtmp", ipc::EndpointKind::kRtmp, true},
       {"http", ipc::EndpointKind::kHttp, false},
       {"api", ipc::EndpointKind::kApi, false},
       {"srt", ipc::EndpointKind::kSrt, false},
       {"rtc", ipc::EndpointKind::kRtc, false}}};
  for (const EndpointField& field : kEndpointFields) {
    const auto done = read_endpoints(object, field.name, field.kind, field.mandatory, out);
    if (!done) return Refusal(done.error());
  }
  return out;
}

}  // namespace weir::control
