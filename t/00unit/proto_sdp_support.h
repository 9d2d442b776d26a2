// What must hold of any text that sdp.h accepts; ends the process otherwise. For fuzz targets.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/proto/sdp/sdp.h"

namespace weir::sdp::test {

// The lines but candidates and blank ones, without their ends.
inline std::vector<std::string> other_lines(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty() && !line.starts_with("a=candidate:")) out.emplace_back(line);
  }
  return out;
}

inline void check_rewrite(SdpStatus (*parse)(std::string_view, Description&),
                          SdpStatus (*rewrite)(std::string_view, const PublicCandidates&,
                                               std::string&),
                          std::string_view text) {
  const Endpoint address = [] {
    Endpoint endpoint = *parse_ip("203.0.113.5");
    endpoint.port = 8000;
    return endpoint;
  }();
  const PublicCandidates candidates{{&address, 1}, {&address, 1}};
  Description before;
  std::string out;
  const SdpStatus status = parse(text, before);
  if (rewrite(text, candidates, out) != status) std::abort();
  if (status != SdpStatus::kOk && !out.empty()) std::abort();
  if (status != SdpStatus::kOk) return;
  if (other_lines(out) != other_lines(text)) std::abort();
  for (const Media& media : before.media) {
    if (media.candidates.size() > limits::kSdpCandidates) std::abort();
  }
  for (const IceSession& session : ice_sessions(before)) {
    if (session.ufrag.empty() || session.password.size() > limits::kIcePasswordMax) std::abort();
  }
  Description after;
  // What is added may pass the limits; else it parses and holds our candidates only.
  if (parse(out, after) != SdpStatus::kOk) return;
  for (const Media& media : after.media) {
    for (const Candidate& candidate : media.candidates) {
      if (candidate.endpoint != address) std::abort();
    }
  }
  std::string again;
  if (rewrite(out, candidates, again) != SdpStatus::kOk || again != out) std::abort();
}

}  // namespace weir::sdp::test
