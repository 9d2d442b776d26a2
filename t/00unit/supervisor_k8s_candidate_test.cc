// weirctl k8s-candidate: which addresses the objects of Kubernetes' API have, and what is written.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "supervisor/ctl/k8s_candidate.h"
#include "supervisor/ctl/k8s_candidate_command.h"

using weir::ctl::candidate_file;
using weir::ctl::is_kube_name;
using weir::ctl::KubeObject;
using weir::ctl::read_kube_addresses;
using Addresses = std::vector<std::string>;

namespace {

Addresses service(const std::string& status) {
  return read_kube_addresses(
             KubeObject::kService,
             R"({"kind":"Service","spec":{"type":"LoadBalancer"},"status":)" + status + "}")
      .addresses;
}
Addresses ingress(const std::string& list) {
  return service(R"({"loadBalancer":{"ingress":)" + list + "}}");
}

}  // namespace

TEST_CASE("k8s candidate: addresses of a Service's balancer") {
  CHECK(ingress(R"([{"ip":"203.0.113.7"}])") == Addresses{"203.0.113.7"});
  CHECK(ingress(R"([{"hostname":"a1.elb.example.com"}])") == Addresses{"a1.elb.example.com"});
  CHECK(ingress(R"([{"ip":"203.0.113.7","hostname":"h.example.com","ipMode":"VIP","ports":[]}])") ==
        Addresses{"203.0.113.7"});
  CHECK(ingress(R"([{"ip":"203.0.113.7"},{"ip":"2001:db8::7"},{"ip":"203.0.113.7"}])") ==
        Addresses{"203.0.113.7", "2001:db8::7"});
  // What can't be used is passed over.
  CHECK(ingress(R"([null,{},{"ip":null},{"ip":""},{"ip":7},{"ip":"nonsense","hostname":"h.x"}])") ==
        Addresses{"h.x"});
  CHECK(ingress(R"([{"ip":"0.0.0.0"},{"ip":"1.2.3.4:5"},{"ip":"[::1]"}])").empty());
  CHECK(ingress(R"([{"hostname":"a; } rtmp { enabled off"},{"hostname":"a b"},{"hostname":"$X"}])")
            .empty());
  CHECK(ingress(R"([{"hostname":"1.2.3"},{"hostname":["x"]},"203.0.113.7",["203.0.113.7"]])")
            .empty());
  std::string many = "[";
  for (int i = 1; i <= 40; ++i)
    many += (i > 1 ? "," : "") + ("{\"ip\":\"203.0.113." + std::to_string(i) + "\"}");
  CHECK(ingress(many + "]").size() == 16);
}

TEST_CASE("k8s candidate: not there yet is no error") {
  for (const char* status :
       {"null", "{}", "[]", "7", "\"x\"", R"({"loadBalancer":null})", R"({"loadBalancer":{}})",
        R"({"loadBalancer":[]})", R"({"loadBalancer":{"ingress":null}})",
        R"({"loadBalancer":{"ingress":[]}})", R"({"loadBalancer":{"ingress":{}}})",
        R"({"loadBalancer":{"ingress":{"ip":"203.0.113.7"}}})",
        R"({"loadBalancer":{"ingress":"203.0.113.7"}})"}) {
    CAPTURE(status);
    CHECK(service(status).empty());
  }
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += '[';
  for (const std::string& text :
       {std::string(), std::string("null"), std::string("[]"), std::string("{"),
        std::string(R"({"status":{}} x)"), std::string("{\"status\":{}\0}", 14), deep}) {
    const auto found = read_kube_addresses(KubeObject::kService, text);
    CHECK(found.addresses.empty());
    CHECK_FALSE(found.missing.empty());
  }
  const auto other =
      read_kube_addresses(KubeObject::kService, R"({"spec":{"type":"NodePort"},"status":{}})");
  CHECK(other.missing.find("of type NodePort") != std::string::npos);
}

TEST_CASE("k8s candidate: addresses of a node") {
  const auto node = [](const std::string& list) {
    return read_kube_addresses(KubeObject::kNode, R"({"status":{"addresses":)" + list + "}}");
  };
  CHECK(
      node(
          R"([{"type":"InternalIP","address":"10.0.0.5"},{"type":"ExternalIP","address":"203.0.113.5"},
             {"type":"Hostname","address":"n"},{"type":"ExternalIP","address":"2001:db8::5"}])")
          .addresses == Addresses{"203.0.113.5", "2001:db8::5"});
  CHECK(node(R"([{"type":"InternalIP","address":"10.0.0.5"}])").missing.find("no ExternalIP") !=
        std::string::npos);
  CHECK(node(R"([{"type":"ExternalIP"},{"type":"ExternalIP","address":null},7,null])")
            .addresses.empty());
  CHECK(node("null").addresses.empty());
}

TEST_CASE("k8s candidate: the file is configuration that counts") {
  const auto value = [](const Addresses& addresses, weir::ctl::CandidatePorts ports) {
    const std::string text = candidate_file(addresses, ports, "Service media/weir-udp");
    return text.substr(text.find('\n') + 1);
  };
  CHECK(value({"203.0.113.7"}, {}) == "rtc { candidate 203.0.113.7; }\n");
  CHECK(value({"h.example.com"}, {40000, 0}) == "rtc { candidate h.example.com:40000; }\n");
  CHECK(value({"2001:db8::7"}, {40000, 443}) ==
        "rtc { candidate [2001:db8::7]:40000; tcp_candidate [2001:db8::7]:443; }\n");
  CHECK(value({"203.0.113.7", "2001:db8::7"}, {}) ==
        "rtc { candidate \"203.0.113.7 2001:db8::7\"; }\n");
}

TEST_CASE("k8s candidate: names that may stand in a path") {
  for (const char* good :
       {"weir", "weir-udp", "weir-0", "ip-10-0-0-1.eu-west-1.compute.internal", "a"}) {
    CHECK(is_kube_name(good));
  }
  for (const char* bad :
       {"", "-a", "a-", "A", "a/b", "..", "a..b", "a b", "a%2fb", "a?x", "$(POD_NAME)", "a\n"}) {
    CHECK_FALSE(is_kube_name(bad));
  }
  CHECK_FALSE(is_kube_name(std::string(254, 'a')));
}

TEST_CASE("k8s candidate: options") {
  const auto parse = [](std::vector<const char*> words, const char* host = "10.96.0.1") {
    return weir::ctl::parse_candidate_options(words, [&](const char* name) -> const char* {
      return std::string(name) == "KUBERNETES_SERVICE_HOST"   ? host
             : std::string(name) == "KUBERNETES_SERVICE_PORT" ? "6443"
                                                              : nullptr;
    });
  };
  const auto usual = parse({"--service", "weir-udp"});
  REQUIRE(usual.has_value());
  CHECK(usual->access.host == "10.96.0.1");
  CHECK(usual->access.port == 6443);
  CHECK(usual->access.token_file == "/var/run/secrets/kubernetes.io/serviceaccount/token");
  CHECK(usual->output == "/etc/weir/conf.d/candidate.conf");
  CHECK_FALSE(usual->watch);

  const auto all = parse({"--node=n1", "--namespace", "m", "--api", "https://[fd00::1]:8443/",
                          "--watch", "--port", "40000", "--tcp-port=443", "--interval", "1m",
                          "--timeout", "0", "--ca", "a", "--token", "b", "--output", "c"});
  REQUIRE(all.has_value());
  CHECK(all->kind == KubeObject::kNode);
  CHECK(all->access.host == "fd00::1");
  CHECK(all->access.port == 8443);
  CHECK(all->watch);
  CHECK(all->interval_ms == 60000);
  CHECK(all->ports.media == 40000);
  CHECK(parse({"--service", "a", "--api", "kubernetes.default.svc"})->access.port == 6443);
  CHECK(parse({"--service", "a", "--api", "fd00::1"})->access.host == "fd00::1");

  for (const std::vector<const char*>& words :
       std::vector<std::vector<const char*>>{{},
                                             {"--service"},
                                             {"--service", ""},
                                             {"--service", "a/b"},
                                             {"--service", "a", "x"},
                                             {"--service", "a", "--port", "0"},
                                             {"--service", "a", "--port", "70000"},
                                             {"--service", "a", "--interval", "0"},
                                             {"--service", "a", "--interval", "soon"},
                                             {"--service", "a", "--api", "a:b:"},
                                             {"--service", "a", "--api", ""},
                                             {"--service", "a", "--api", "[::1"},
                                             {"--service", "a", "--output", ""},
                                             {"--service", "a", "--namespace", ".."},
                                             {"--service", "a", "--wach"}}) {
    CHECK_FALSE(parse(words).has_value());
  }
  CHECK_FALSE(parse({"--service", "a"}, nullptr).has_value());
}
