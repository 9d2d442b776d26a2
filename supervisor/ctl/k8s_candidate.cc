#include "supervisor/ctl/k8s_candidate.h"

#include <algorithm>

#include "common/base/endpoint.h"
#include "common/base/host_name.h"
#include "common/base/public_address.h"
#include "supervisor/ctl/ctl_json.h"

namespace weir::ctl {
namespace {

bool is_usable_ip(std::string_view text) {
  if (text.empty() || text.front() == '[') return false;
  const auto ip = parse_ip(text);
  return ip.has_value() && ip->is_host();
}

void add(std::vector<std::string>& out, std::string_view address) {
  if (out.size() >= kPublicAddressesMax) return;
  if (std::find(out.begin(), out.end(), address) == out.end()) out.emplace_back(address);
}

// A balancer names its entries by address or by name; the address is the shorter way.
void add_ingress(std::vector<std::string>& out, const cJSON* entry) {
  const std::string ip = text_at(entry, "ip");
  const std::string name = text_at(entry, "hostname");
  if (is_usable_ip(ip)) {
    add(out, ip);
  } else if (is_host_name(name) || is_usable_ip(name)) {
    add(out, name);
  }
}

void add_node_address(std::vector<std::string>& out, const cJSON* entry) {
  const std::string address = text_at(entry, "address");
  if (text_at(entry, "type") == "ExternalIP" && is_usable_ip(address)) add(out, address);
}

// The list, and how it is called in the log.
const cJSON* find_list(KubeObject kind, const cJSON* root, KubeAddresses& out) {
  const cJSON* status = member(root, "status");
  if (kind == KubeObject::kNode) {
    out.missing = ".status.addresses has no ExternalIP";
    return member(status, "addresses");
  }
  out.missing = ".status.loadBalancer.ingress has no address yet";
  if (const std::string type = text_at(member(root, "spec"), "type");
      !type.empty() && type != "LoadBalancer") {
    out.missing = "the Service is of type " + type.substr(0, 32) +
                  ", not LoadBalancer: it will get no address";
  }
  return member(member(status, "loadBalancer"), "ingress");
}

std::string with_port(const std::string& address, std::uint16_t port) {
  if (port == 0) return address;
  const bool v6 = address.find(':') != std::string::npos;
  return (v6 ? "[" + address + "]" : address) + ":" + std::to_string(port);
}

// The value of an option: one word, in quotes when it has several addresses.
std::string join(const std::vector<std::string>& addresses, std::uint16_t port) {
  std::string out;
  for (const std::string& address : addresses) {
    out += (out.empty() ? "" : " ") + with_port(address, port);
  }
  return addresses.size() == 1 ? out : "\"" + out + "\"";
}

}  // namespace

KubeAddresses read_kube_addresses(KubeObject kind, std::string_view json) {
  KubeAddresses out;
  // The end is given, and nothing but white space may follow: half an answer is none.
  const std::string text(json);
  const JsonPtr root(::cJSON_ParseWithLengthOpts(text.c_str(), text.size() + 1, nullptr, 1));
  if (::cJSON_IsObject(root.get()) == 0) {
    out.missing = "the answer is no JSON object";
    return out;
  }
  const cJSON* list = find_list(kind, root.get(), out);
  if (::cJSON_IsArray(list) == 0) return out;
  for (const cJSON* entry = list->child; entry != nullptr; entry = entry->next) {
    if (kind == KubeObject::kNode) {
      add_node_address(out.addresses, entry);
    } else {
      add_ingress(out.addresses, entry);
    }
  }
  if (!out.addresses.empty()) out.missing.clear();
  return out;
}

std::string candidate_file(const std::vector<std::string>& addresses, CandidatePorts ports,
                           std::string_view source) {
  std::string out = "# Written by weirctl k8s-candidate, from " + std::string(source) + ".\n";
  out += "rtc { candidate " + join(addresses, ports.media) + ";";
  if (ports.tcp != 0) out += " tcp_candidate " + join(addresses, ports.tcp) + ";";
  return out + " }\n";
}

bool is_kube_name(std::string_view text) {
  const auto is_alnum = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (text.empty() || text.size() > kHostNameBytes) return false;
  if (!is_alnum(text.front()) || !is_alnum(text.back())) return false;
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return is_alnum(c) || c == '-' || c == '.'; }) &&
         text.find("..") == std::string_view::npos;
}

}  // namespace weir::ctl
