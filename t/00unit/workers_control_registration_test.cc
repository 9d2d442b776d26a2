// Registration bodies: which are accepted as what, and which field a refusal names.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "workers/control/registration.h"

using weir::control::parse_registration;
using weir::ipc::EndpointKind;

namespace {

// A good body with `member` added; a member of the same name in the base is left out.
std::string body_with(const std::string& name, const std::string& member) {
  const std::vector<std::pair<std::string, std::string>> base = {
      {"ip", R"("ip":"10.1.2.3")"},
      {"server", R"("server":"vid-1")"},
      {"service", R"("service":"svc-1")"},
      {"pid", R"("pid":"77")"},
      {"rtmp", R"("rtmp":["1935"])"}};
  std::string out = "{";
  for (const auto& [key, text] : base) {
    if (key != name) out += text + ",";
  }
  return member.empty() ? out.substr(0, out.size() - 1) + "}" : out + member + "}";
}

std::string endpoint(const weir::ipc::OriginRegister& message, EndpointKind kind, std::size_t i) {
  return to_string(message.endpoints[static_cast<std::size_t>(kind)][i]);
}
std::size_t count(const weir::ipc::OriginRegister& message, EndpointKind kind) {
  return message.endpoint_count[static_cast<std::size_t>(kind)];
}

}  // namespace

TEST_CASE("registration: what SRS sends") {
  const auto message = parse_registration(
      R"({"device_id":"dev","ip":"192.168.1.9","server":"vid-0","service":"s","pid":"41",)"
      R"("rtmp":["1935","rtmp://:1936"],"http":["8080"],"api":["http://192.168.1.10:1985"],)"
      R"("srt":["udp://0.0.0.0:10080"],"rtc":["udp://:8000"],)"
      R"("summaries":{"deep":[1,2,{"x":null}]}})");
  REQUIRE(message.has_value());
  CHECK(std::string(message->server) == "vid-0");
  CHECK(std::string(message->service) == "s");
  CHECK(std::string(message->pid) == "41");
  CHECK(std::string(message->device_id) == "dev");
  CHECK(ip_to_string(message->ip) == "192.168.1.9");
  REQUIRE(count(*message, EndpointKind::kRtmp) == 2);
  CHECK(endpoint(*message, EndpointKind::kRtmp, 0) == "192.168.1.9:1935");
  CHECK(endpoint(*message, EndpointKind::kRtmp, 1) == "192.168.1.9:1936");
  CHECK(endpoint(*message, EndpointKind::kHttp, 0) == "192.168.1.9:8080");
  CHECK(endpoint(*message, EndpointKind::kApi, 0) == "192.168.1.10:1985");
  CHECK(endpoint(*message, EndpointKind::kSrt, 0) == "192.168.1.9:10080");
  CHECK(endpoint(*message, EndpointKind::kRtc, 0) == "192.168.1.9:8000");
}

TEST_CASE("registration: accepted forms") {
  SUBCASE("numbers where texts are meant") {
    const auto message = parse_registration(
        R"({"ip":"10.0.0.1","server":5,"service":6,"pid":1234,"rtmp":[1935],"device_id":7})");
    REQUIRE(message.has_value());
    CHECK(std::string(message->pid) == "1234");
    CHECK(std::string(message->server) == "5");
    CHECK(std::string(message->device_id) == "7");
    CHECK(endpoint(*message, EndpointKind::kRtmp, 0) == "10.0.0.1:1935");
  }
  SUBCASE("IPv6") {
    const auto message = parse_registration(
        R"({"ip":"fd00::1","server":"a","service":"b","pid":"1","rtmp":["1935","[fd00::2]:1936"]})");
    REQUIRE(message.has_value());
    CHECK(endpoint(*message, EndpointKind::kRtmp, 0) == "[fd00::1]:1935");
    CHECK(endpoint(*message, EndpointKind::kRtmp, 1) == "[fd00::2]:1936");
  }
  SUBCASE("host names") {
    const auto message =
        parse_registration(R"({"ip":"media-1.svc","server":"a","service":"b","pid":"1",)"
                           R"("rtmp":["1935","rtmp://other.test:1936"],"http":["10.0.0.1:80"]})");
    REQUIRE(message.has_value());
    CHECK(message->hosts.count() == 2);
    CHECK(to_string(message->endpoints[0][0], message->hosts) == "media-1.svc:1935");
    CHECK(to_string(message->endpoints[0][1], message->hosts) == "other.test:1936");
    CHECK(endpoint(*message, EndpointKind::kHttp, 0) == "10.0.0.1:80");
  }
  const std::vector<std::string> accepted = {
      body_with("", ""),
      body_with("", R"("http":null,"srt":[],"device_id":"")"),
      body_with("server", R"("server":"Gr\u00f6\u00dfe")"),
      body_with("server", "\"server\":\"" + std::string(63, 'x') + "\""),
      body_with("rtmp", R"("rtmp":["1","2","3","4"])"),
      " \r\n" + body_with("", "") + "\n",
      body_with("", "\"unknown\":" + std::string(500, '[') + std::string(500, ']')),
      body_with("", R"("unknown":"\u0000")")};
  for (const std::string& body : accepted) {
    CAPTURE(body);
    CHECK(parse_registration(body).has_value());
  }
}

TEST_CASE("registration: a refusal names the field") {
  struct Row {
    std::string body;
    std::string field;
  };
  const std::vector<Row> rows = {
      {"", "body"},
      {"{", "body"},
      {"[]", "body"},
      {"7", "body"},
      {"{} x", "body"},
      {"null", "body"},
      {std::string("{\"ip\":\"1.2.3.4\0\"}", 18), "body"},
      {std::string(64 * 1024 + 1, ' '), "body"},
      {std::string(5000, '['), "body"},
      {"{}", "ip"},
      {body_with("ip", ""), "ip"},
      {body_with("server", ""), "server"},
      {body_with("service", ""), "service"},
      {body_with("pid", ""), "pid"},
      {body_with("rtmp", ""), "rtmp"},
      {body_with("ip", R"("ip":null)"), "ip"},
      {body_with("ip", R"("ip":"")"), "ip"},
      {body_with("ip", R"("ip":"example com")"), "ip"},
      {body_with("ip", R"("ip":"1.2.3.256")"), "ip"},
      {body_with("ip", R"("ip":"-a.example")"), "ip"},
      {body_with("ip", "\"ip\":\"" + std::string(64, 'x') + "\""), "ip"},
      {body_with("rtmp", R"("rtmp":["a:1","b:1","c:1","d:1"],"http":["e:1"])"), "http[0]"},
      {body_with("rtmp", R"("rtmp":["rtmp://a_b.example/live"])"), "rtmp[0]"},
      {body_with("ip", R"("ip":"0.0.0.0")"), "ip"},
      {body_with("ip", R"("ip":"::")"), "ip"},
      {body_with("ip", R"("ip":"224.0.0.1")"), "ip"},
      {body_with("ip", R"("ip":"1.2.3.4:80")"), "ip"},
      {body_with("ip", R"("ip":["1.2.3.4"])"), "ip"},
      {body_with("server", R"("server":"")"), "server"},
      {body_with("server", R"("server":{})"), "server"},
      {body_with("server", R"("server":true)"), "server"},
      {body_with("server", "\"server\":\"" + std::string(64, 'x') + "\""), "server"},
      {body_with("server", R"("server":"a\u0000b")"), "server"},
      {body_with("server", R"("server":"a\nb")"), "server"},
      {body_with("server", R"("server":"a\u007fb")"), "server"},
      {body_with("server", "\"server\":\"a\xff\""), "server"},
      {body_with("server", "\"server\":\"a\xed\xa0\x80\""), "server"},
      {body_with("", R"("server":"again")"), "server"},
      {body_with("pid", R"("pid":1.5)"), "pid"},
      {body_with("pid", R"("pid":1e300)"), "pid"},
      {body_with("", R"("device_id":[1])"), "device_id"},
      {body_with("", "\"device_id\":\"" + std::string(64, 'x') + "\""), "device_id"},
      {body_with("rtmp", R"("rtmp":"1935")"), "rtmp"},
      {body_with("rtmp", R"("rtmp":1935)"), "rtmp"},
      {body_with("rtmp", R"("rtmp":[])"), "rtmp"},
      {body_with("rtmp", R"("rtmp":null)"), "rtmp"},
      {body_with("rtmp", R"("rtmp":[""])"), "rtmp[0]"},
      {body_with("rtmp", R"("rtmp":[null])"), "rtmp[0]"},
      {body_with("rtmp", R"("rtmp":["0"])"), "rtmp[0]"},
      {body_with("rtmp", R"("rtmp":["65536"])"), "rtmp[0]"},
      {body_with("rtmp", R"("rtmp":[-1])"), "rtmp[0]"},
      {body_with("rtmp", R"("rtmp":["1935","gopher://:1"])"), "rtmp[1]"},
      {body_with("rtmp", R"("rtmp":["fd00::1:1935"])"), "rtmp[0]"},
      {body_with("rtmp", R"("rtmp":["255.255.255.255:1935"])"), "rtmp[0]"},
      {body_with("rtmp", R"("rtmp":["1","2","3","4","5"])"), "rtmp"},
      {body_with("", R"("http":{})"), "http"},
      {body_with("", R"("api":[[]])"), "api[0]"},
      {body_with("", R"("srt":["x"])"), "srt[0]"},
      {body_with("", R"("rtc":["1","2","3","4","5"])"), "rtc"}};
  for (const Row& row : rows) {
    CAPTURE(row.body.substr(0, 200));
    const auto message = parse_registration(row.body);
    REQUIRE_FALSE(message.has_value());
    CHECK(message.error().field == row.field);
    CHECK_FALSE(message.error().text.empty());
  }
}
