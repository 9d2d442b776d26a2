// Writes the head of a request or response. Pure. Appends to the caller's string. Nothing that a
// peer sent can begin a new field or end the head: names must be tokens, values must be free of
// control bytes, targets of white space; whatever isn't makes finish() take back the whole head.
//
//   HeadWriter writer(out);
//   writer.request("GET", target).field(HeaderId::kHost, host).copy_end_to_end(in.fields, skip);
//   writer.body(in.body);
//   if (!writer.finish()) …  // 400 or 502: `out` is as it was
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/proto/http/fields.h"
#include "common/proto/http/head.h"

namespace weir::http {

class HeadWriter {
 public:
  // REQUIRES: `out` outlives this, and nobody else appends to it before finish().
  explicit HeadWriter(std::string& out) : out_(out), start_(out.size()) {
    out_.reserve(start_ + kUsualBytes);
  }

  HeadWriter& request(std::string_view method, std::string_view target);
  // Without a reason the standard one is written.
  HeadWriter& response(unsigned status, std::string_view reason = {});

  HeadWriter& field(HeaderId id, std::string_view value);
  HeadWriter& field(std::string_view name, std::string_view value);
  HeadWriter& field(HeaderId id, std::uint64_t number);
  // All fields but those of one connection (kHopByHop and what Connection names), Content-Length,
  // and `skip`. Framing is written by body() alone, so that it can't be talked away by Connection.
  HeadWriter& copy_end_to_end(const Fields& fields, FieldSet skip = {});
  // Content-Length or Transfer-Encoding; nothing for the other kinds.
  HeadWriter& body(const Body& body);

  // Writes the empty line. False: something was refused, and `out` is what it was before.
  bool finish();

 private:
  static constexpr std::size_t kUsualBytes = 512;  // most heads fit, so they grow once
  void put(std::string_view name, std::string_view value);

  std::string& out_;
  std::size_t start_;
  bool ok_ = true;
};

std::string_view reason_phrase(unsigned status);  // `Not Found`; "Status" for unknown ones

}  // namespace weir::http
