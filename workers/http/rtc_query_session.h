// The query of a signalling request, read in such a way that the origin cannot read it otherwise:
// what the operator's server was asked about is what happens. Origins differ: SRS parts a query at
// `=`, `,`, `&` and `;` alike, takes names and values in turn without unescaping, and of two values
// the last; others take the first, unescape names, or take them in any case. So the parameters that
// say something to Weir are taken out and written anew (rtc_plan_session.h), and what would still
// be read as one of them is refused. All others stay as they were written, since tokens are often
// signed. Pure. Owner: the caller. Errors: `error` says what is wrong, for a 400.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace weir::http {

struct RtcQuery {
  std::string_view error;  // empty: it is sound
  std::string app;         // as a path: an escaped slash is one
  std::string stream;
  std::string vhost;   // as written, of vhost= or domain=
  std::string action;  // SRS's: `publish`, `play`
  std::string eip;     // unescaped; of eip=, or of candidate=, as SRS has it
  std::string rest;    // everything else, as it was written
};

// `query` without `?`. In an address's own query (kStreamUrl) only vhost and eip mean something.
enum class QueryOf : unsigned char { kRequest, kStreamUrl };
RtcQuery read_rtc_query(std::string_view query, QueryOf of);

// Whether a parameter of this name is there more than once.
bool is_named_twice(std::string_view query, std::string_view name);
// The last parameter of this name: what Weir has appended to an address stands behind what another
// Weir, which is the origin of this one, has. Its raw value; and the query without it.
std::optional<std::string_view> last_param(std::string_view query, std::string_view name);
std::string without_last_param(std::string_view query, std::string_view name);

}  // namespace weir::http
