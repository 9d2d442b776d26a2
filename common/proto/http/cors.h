// CORS (Fetch standard, "HTTP extensions"): what a response says about pages of other sites, by
// http.cors. Pure.
//
//   off          Weir says nothing; what an origin says passes
//   on           every site may read what has no Access-Control-Allow-Origin of the origin's
//   origin       as off, and OPTIONS goes to the origin: it decides alone
//   credentials  every site may read and send credentials: its origin is named, never `*`, and
//                what the origin says is replaced
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/proto/http/fields.h"

namespace weir::http {

enum class CorsMode : std::uint8_t { kOff, kOn, kOrigin, kCredentials };
CorsMode parse_cors_mode(std::string_view word);  // of the option; kOff for others

// What a page's request says of itself, for kCredentials.
struct CorsAsk {
  std::string origin;
  std::string headers;  // Access-Control-Request-Headers
};
// Null where it is not needed, or no sound one: without an Origin nobody has to be told.
std::unique_ptr<CorsAsk> read_cors_ask(CorsMode mode, const Fields& fields);

// Of an origin's fields, those that are replaced.
FieldSet cors_replaced(CorsMode mode);

using PutField = std::function<void(std::string_view name, std::string_view value)>;
// The fields of any response. `theirs`: the origin has an Access-Control-Allow-Origin of its own.
void put_cors(CorsMode mode, const CorsAsk* ask, bool theirs, const PutField& put);
// Those of the answer to a preflight, beside these.
void put_preflight(CorsMode mode, const CorsAsk* ask, std::string_view methods,
                   const PutField& put);

}  // namespace weir::http
