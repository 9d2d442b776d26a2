// OriginChoice: which origin takes a stream that nobody knows, by balance.policy among those that
// are up; the default backend when no other can, an ejected one rather than none. Owner: the
// Registry. What it changes is the credit of round_robin, in the origins themselves.
#pragma once

#include <cstdint>
#include <vector>

#include "common/config/config.h"
#include "common/route/balance.h"
#include "ipc/messages.h"
#include "supervisor/origins.h"

namespace weir {

// Whether the request says that this origin has failed it.
bool failed_here(const ipc::RouteRequest& request, ipc::OriginRef ref);

class OriginChoice {
 public:
  // `random` seeds tie-breaks and the random policy.
  OriginChoice(Origins& origins, std::uint64_t random) : origins_(origins), random_(random) {}

  void apply(const Config& config);
  // No slot: nobody can take it.
  ipc::OriginRef choose(const ipc::RouteRequest& request);

 private:
  ipc::OriginRef choose_ejected(const ipc::RouteRequest& request) const;

  Origins& origins_;
  std::uint64_t random_;
  route::Policy policy_ = route::Policy::kLeastStreams;
  std::vector<route::Candidate> candidates_;  // scratch of choose()
  std::vector<std::uint32_t> candidate_slots_;
};

}  // namespace weir
