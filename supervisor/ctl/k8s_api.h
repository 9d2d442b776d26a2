// KubeApi: asks Kubernetes' API server one question at a time, over TLS, with the service account
// of the pod. Blocking, for a tool; each question has a deadline of its own and a bounded answer.
// Owner: one run of weirctl. The token and the authorities are read anew for each question, since
// Kubernetes replaces them while the pod lives.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/result.h"

namespace weir::ctl {

struct KubeAccess {
  std::string host;  // a name or an address, without brackets
  std::uint16_t port = 443;
  std::string ca_file;
  std::string token_file;
  std::uint64_t timeout_ms = 10000;  // for a whole question; names are looked up beside it
};

struct KubeAnswer {
  unsigned status = 0;
  std::string body;
};

class KubeApi {
 public:
  explicit KubeApi(KubeAccess access) : access_(std::move(access)) {}
  // REQUIRES: `path` is made of names that is_kube_name takes. Any HTTP status is an answer.
  Result<KubeAnswer> get(const std::string& path) const;

 private:
  KubeAccess access_;
};

}  // namespace weir::ctl
