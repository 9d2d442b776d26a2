// What a request for a stream, a playlist or a segment asks for: its stream key, and path and query
// in the one form that goes to the origin. Both are made of the same reading, so what the
// operator's server was asked about is what the origin finds: where another server could read the
// target otherwise (query_reading.h) it is refused. Pure; copies, so it outlives the request.
//
//   path    empty and `.` segments go; an escape is decoded if its byte may stand in a path as it
//           is; `..`, escaped slashes and control bytes are refused
//   query   vhost= and domain= (and app=, stream= where they name the stream) stand in front, once;
//           all else stays as it was written, since tokens are often signed
//   key     Host, vhost= or domain=, and the path; of a path without extension also app= and
//           stream= when both are there (nginx-http-flv-module: `/live?app=A&stream=S`)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/route/stream_key.h"

namespace weir::route {

struct HttpTarget {
  std::string_view error;  // empty: it may go on; else the answer is 400
  StreamKey key;           // may be an error of its own: the path names no stream
  std::string path;
  std::string query;
  bool by_query = false;  // app= and stream= have named the stream

  // `path?query`
  std::string text() const { return query.empty() ? path : path + "?" + query; }
};

// `path` and `query` as in http::RequestHead, the query without hints.
HttpTarget read_http_target(std::string_view host, std::string_view path, std::string_view query);

// Host as it goes on: in lower case and without a dot at the end, as the key has it.
std::string canonical_host(std::string_view host);

}  // namespace weir::route
