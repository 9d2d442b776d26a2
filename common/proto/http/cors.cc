#include "common/proto/http/cors.h"

#include <algorithm>

namespace weir::http {
namespace {

constexpr std::size_t kOriginBytes = 256;
constexpr std::size_t kHeadersBytes = 2048;
constexpr std::string_view kMaxAge = "86400";  // seconds

// `https://host:port`, or another scheme of an app; not `null`, which any page can make itself.
bool is_origin(std::string_view text) {
  return text.size() <= kOriginBytes && text.find("://") != std::string_view::npos &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return c > 0x20 && c < 0x7F && c != ',' && c != '"' && c != '<' && c != '>';
         });
}

bool are_names(std::string_view list) {
  if (list.empty() || list.size() > kHeadersBytes) return false;
  std::string_view name;
  while (next_element(list, name)) {
    if (!is_token(name)) return false;
  }
  return true;
}

}  // namespace

CorsMode parse_cors_mode(std::string_view word) {
  if (word == "on") return CorsMode::kOn;
  if (word == "origin") return CorsMode::kOrigin;
  return word == "credentials" ? CorsMode::kCredentials : CorsMode::kOff;
}

std::unique_ptr<CorsAsk> read_cors_ask(CorsMode mode, const Fields& fields) {
  const std::string_view origin = fields.get(HeaderId::kOrigin);
  if (mode != CorsMode::kCredentials || !is_origin(origin)) return nullptr;
  auto ask = std::make_unique<CorsAsk>();
  ask->origin = origin;
  const std::string_view headers = fields.get(HeaderId::kAccessControlRequestHeaders);
  if (are_names(headers)) ask->headers = headers;
  return ask;
}

FieldSet cors_replaced(CorsMode mode) {
  if (mode != CorsMode::kCredentials) return {};
  return {HeaderId::kAccessControlAllowOrigin, HeaderId::kAccessControlAllowCredentials};
}

void put_cors(CorsMode mode, const CorsAsk* ask, bool theirs, const PutField& put) {
  if (mode == CorsMode::kOn && !theirs) put("Access-Control-Allow-Origin", "*");
  if (mode != CorsMode::kCredentials) return;
  put("Vary", "Origin");  // also where there is none: a cache must not give it to who has one
  if (ask == nullptr) return;
  put("Access-Control-Allow-Origin", ask->origin);
  put("Access-Control-Allow-Credentials", "true");
}

void put_preflight(CorsMode mode, const CorsAsk* ask, std::string_view methods,
                   const PutField& put) {
  if (mode != CorsMode::kOn && (mode != CorsMode::kCredentials || ask == nullptr)) return;
  put("Access-Control-Allow-Methods", methods);
  // A star does not cover Authorization, and with credentials it is a name like any other.
  if (mode == CorsMode::kOn) {
    put("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match, Range, *");
  } else if (!ask->headers.empty()) {
    put("Access-Control-Allow-Headers", ask->headers);
  }
  put("Access-Control-Max-Age", kMaxAge);
}

}  // namespace weir::http
