// `weirctl k8s-candidate`: waits until a Service's balancer (or a node) has an address that clients
// can reach, and writes it as rtc.candidate into a file that weir.conf includes. Once and done, as
// an init container; with --watch it goes on, and reloads Weir when the address has changed.
// Whatever the API server says or does not say is waited out: logged once, then every minute.
// docs/KUBERNETES.md.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "common/base/result.h"
#include "supervisor/ctl/k8s_api.h"
#include "supervisor/ctl/k8s_candidate.h"

namespace weir::ctl {

struct CandidateOptions {
  KubeObject kind = KubeObject::kService;
  std::string name;
  std::string name_space;  // empty: that of the service account
  std::string output = "/etc/weir/conf.d/candidate.conf";
  CandidatePorts ports;
  bool watch = false;
  std::uint64_t interval_ms = 2000;
  std::uint64_t timeout_ms = 0;  // 0: waits for good; not with watch
  KubeAccess access;
};

// `environment`: the value of a variable, or nullptr. An error's text is what to tell the user.
Result<CandidateOptions> parse_candidate_options(
    std::span<const char* const> words,
    const std::function<const char*(const char* name)>& environment);
const char* candidate_usage();

// `words`: those behind `k8s-candidate`. `reload`: reloads the running Weir and waits for it; an
// error says why it is not done. The exit code: 0 written, 1 not (--timeout), 2 bad usage.
int run_k8s_candidate(std::span<const char* const> words,
                      const std::function<Result<void>()>& reload);

}  // namespace weir::ctl
