// Which addresses clients reach us at, as an object of Kubernetes' API tells: a Service's
// `.status.loadBalancer.ingress[].{ip,hostname}`, or a Node's `.status.addresses[]` of type
// ExternalIP. Pure; supervisor/ctl/k8s_candidate_command.h polls and writes.
//
// The text is from outside: whatever is missing, null, empty or of another type than it should be
// means that nothing is known yet, never an error. What is neither an address that a host can have
// nor a host name is passed over, so that nothing else gets into the configuration.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::ctl {

// An object of the API is bounded by etcd (1.5 MiB).
inline constexpr std::size_t kObjectBytesMax = 2 * 1024 * 1024;

enum class KubeObject : std::uint8_t { kService, kNode };

struct KubeAddresses {
  std::vector<std::string> addresses;  // at most kPublicAddressesMax; numeric ones and host names
  std::string missing;                 // without addresses: what is not there yet, for the log
};
KubeAddresses read_kube_addresses(KubeObject kind, std::string_view json);

// Ports that clients send to; 0: those of rtc.listen and rtc.tcp_listen, which are not written.
struct CandidatePorts {
  std::uint16_t media = 0;
  std::uint16_t tcp = 0;
};
// The file for the configuration. `source` says whose addresses they are, for who reads it.
// REQUIRES: addresses are those of read_kube_addresses, and there is one.
std::string candidate_file(const std::vector<std::string>& addresses, CandidatePorts ports,
                           std::string_view source);

// Names of objects and namespaces (RFC 1123): what may stand in a path of the API.
bool is_kube_name(std::string_view text);

}  // namespace weir::ctl
