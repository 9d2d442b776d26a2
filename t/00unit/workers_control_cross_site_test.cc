// Which requests of the System API could come from a page of another site.
#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "common/base/endpoint.h"
#include "common/base/host_list.h"
#include "common/proto/http/head.h"
#include "workers/control/cross_site.h"

using namespace weir;
using namespace weir::control;

namespace {

constexpr std::string_view kFirefox =
    "User-Agent: Mozilla/5.0 (X11; rv:140.0)\r\nAccept-Language: en\r\n";

Endpoint address(std::string_view text) {
  return parse_listen(text).value();
}

struct Server {
  std::string_view local = "127.0.0.1:12025";
  std::string_view listen = "127.0.0.1:12025";
  std::string_view hosts = "";

  std::string operator()(std::string_view method, std::string_view host,
                         std::string_view fields = "") const {
    std::string text(method);
    text.append(" /x HTTP/1.1\r\n");
    if (host != "-") text.append("Host: ").append(host).append("\r\n");
    text.append(fields).append("\r\n");
    http::HeadLimits limits;
    limits.needs_host = false;
    http::RequestParser parser(limits);
    http::RequestHead head;
    REQUIRE(parser.parse(text, head) == ParseStatus::kComplete);
    const RequestSource source = read_source(head, local.empty() ? Endpoint{} : address(local));
    const OwnHosts own{{address(listen)}, parse_host_list(hosts).value()};
    const CrossSite verdict = judge_source(head.method, source, own);
    CHECK(explain(verdict, source).empty() == (verdict == CrossSite::kNone));
    return std::string(to_string(verdict));
  }
};

constexpr std::string_view kChanges[] = {"POST", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "X"};
constexpr std::string_view kReads[] = {"GET", "HEAD"};

std::string browser(std::string_view more) {
  return std::string(kFirefox).append(more).append("\r\n");
}

}  // namespace

TEST_CASE("machines on this machine: by its addresses, localhost, and private names") {
  const Server server;
  for (const std::string_view host :
       {"127.0.0.1:12025", "127.0.0.1", "127.9.9.9:1", "localhost:12025", "LOCALHOST.",
        "a.localhost", "[::1]:12025", "[::ffff:127.0.0.1]:12025", "[0:0:0:0:0:0:0:1]", "-", "",
        "weir:12025", "weir-control.ns.svc:12025", "weir-control.ns.svc.cluster.local",
        "weir.corp.internal"}) {
    CAPTURE(host);
    for (const auto method : kReads) CHECK(server(method, host) == "none");
    for (const auto method : kChanges) CHECK(server(method, host) == "none");
  }
}

TEST_CASE("names that were made to point here") {
  for (const std::string_view host :
       {"evil.example", "evil.example:12025", "127.0.0.1.evil.example", "localhost.evil.example",
        "xlocalhost.example", "weir.svc.example", "10.9.9.9", "[::2]:12025", "0.0.0.0:12025",
        "svc.", "127.0.0.1.", "a:b"}) {
    CAPTURE(host);
    const std::string_view want = host == "svc." ? "none" : "foreign_host";
    http::HeadLimits limits;
    if (!http::is_valid_host(host)) continue;  // refused with 400 before
    for (const auto method : kReads) CHECK(Server{}(method, host) == want);
    for (const auto method : kChanges) CHECK(Server{}(method, host) == want);
    // Browsers send this for a page of that name, and nothing else tells.
    CHECK(Server{}("GET", host, kFirefox) == want);
  }
  CHECK(Server{}("POST", "evil.example:12025", "Origin: http://evil.example:12025\r\n") ==
        "foreign_host");
}

TEST_CASE("service names at other addresses: machines may use any, browsers may not") {
  const Server server{"10.0.0.5:12025", "0.0.0.0:12025"};
  for (const std::string_view host : {"weir.corp.example", "weir.media:12025", "192.0.2.7:80"}) {
    CAPTURE(host);
    CHECK(server("POST", host) == "none");
    CHECK(server("GET", host, "User-Agent: Prometheus/3\r\n") == "none");
    CHECK(server("POST", host, "Accept-Language: *\r\nSec-Fetch-Mode: cors\r\n") ==
          "none");  // Node
    for (const std::string_view sign :
         {"User-Agent: Mozilla/5.0\r\n", "Accept-Language: *\r\n", "Accept-Language:\r\n",
          "Sec-Fetch-Site: same-origin\r\n", "Sec-Fetch-Site: none\r\n", "Origin: null\r\n"}) {
      CAPTURE(sign);
      for (const auto method : kReads) CHECK(server(method, host, sign) == "foreign_host");
      for (const auto method : kChanges) CHECK(server(method, host, sign) == "foreign_host");
    }
  }
  CHECK(server("GET", "10.0.0.5:12025", kFirefox) == "none");
  CHECK(Server{"10.0.0.5:12025", "192.0.2.7:12025"}("GET", "192.0.2.7", kFirefox) == "none");
  CHECK(Server{"[fd00::5]:1", "[::]:1"}("GET", "[FD00:0::5]:1", kFirefox) == "none");
  // A forwarded port comes to loopback, wherever else it listens.
  CHECK(Server{"127.0.0.1:12025", "0.0.0.0:12025"}("POST", "evil.example") == "foreign_host");
}

TEST_CASE("control.hosts") {
  const Server server{"10.0.0.5:12025", "0.0.0.0:12025",
                      "weir.example *.lab.example https://ops.example"};
  CHECK(server("GET", "Weir.Example:80", kFirefox) == "none");
  CHECK(server("POST", "a.lab.example:80", "Origin: http://a.lab.example\r\n") == "none");
  CHECK(server("POST", "localhost") == "none");
  CHECK(server("POST", "weir.ns.svc") == "none");
  CHECK(server("POST", "other.example") == "foreign_host");  // the list is whole
  // A proxy that changes Host: the page's own site is listed.
  CHECK(server("POST", "10.0.0.5",
               browser("Origin: https://ops.example\r\nSec-Fetch-Site: same-origin")) == "none");
  CHECK(server("POST", "10.0.0.5", "Origin: http://ops.example\r\n") == "foreign_origin");
  CHECK(server("POST", "10.0.0.5", "Origin: https://weir.example\r\n") == "foreign_origin");
  const Server all{"127.0.0.1:1", "127.0.0.1:1", "*"};
  CHECK(all("POST", "any.example") == "none");
  CHECK(all("POST", "any.example", "Origin: http://evil.example\r\n") == "foreign_origin");
}

TEST_CASE("pages of other sites, and of this one") {
  const Server server;
  for (const std::string_view foreign :
       {"http://evil.example", "null", "", "http://127.0.0.1", "http://127.0.0.1:12026",
        "https://127.0.0.1:12025x", "http://localhost:12025", "file://", "http://127.0.0.1:12025/",
        "http://127.0.0.1:12025 http://evil.example"}) {
    CAPTURE(foreign);
    const std::string field = "Origin: " + std::string(foreign) + "\r\n";
    for (const auto method : kReads)
      CHECK(server(method, "127.0.0.1:12025", field) == "foreign_origin");
    for (const auto method : kChanges)
      CHECK(server(method, "127.0.0.1:12025", field) == "foreign_origin");
  }
  const std::string own = "Origin: http://127.0.0.1:12025\r\n";
  CHECK(server("POST", "127.0.0.1:12025", own) == "none");
  CHECK(server("POST", "127.0.0.1:12025", own + "Sec-Fetch-Site: same-origin\r\n") == "none");
  CHECK(server("POST", "127.0.0.1:12025", own + own) == "foreign_origin");
  CHECK(server("POST", "127.0.0.1:12025", own + "Origin: http://evil.example\r\n") ==
        "foreign_origin");
  CHECK(server("POST", "localhost", "Origin: https://localhost\r\n") == "none");  // TLS in front
  CHECK(server("POST", "-", own) == "foreign_origin");
  CHECK(server("POST", "[::1]:7", "Origin: http://[::1]:7\r\n") == "none");
}

TEST_CASE("what browsers say of the site that asks") {
  const Server server;
  for (const std::string_view site :
       {"cross-site", "same-site", "", "CROSS-SITE", "same-origin, none"}) {
    CAPTURE(site);
    const std::string field = "Sec-Fetch-Site: " + std::string(site) + "\r\n";
    const std::string link = field + "Sec-Fetch-Mode: navigate\r\n";
    for (const auto method : kReads) CHECK(server(method, "localhost", field) == "other_site");
    for (const auto method : kChanges) CHECK(server(method, "localhost", field) == "other_site");
    CHECK(server("GET", "localhost", link) == "none");  // a link; the page cannot see what it shows
    CHECK(server("POST", "localhost", link) == "other_site");  // a form
  }
  for (const std::string_view site : {"same-origin", "none"}) {
    CHECK(server("DELETE", "localhost", "Sec-Fetch-Site: " + std::string(site) + "\r\n") == "none");
  }
  CHECK(server("GET", "localhost",
               "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\n") == "other_site");
}

TEST_CASE("old browsers, which say nothing of the page: they may read") {
  const Server server;
  for (const std::string_view type :
       {"application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain",
        "application/json"}) {
    const std::string form = browser("Content-Type: " + std::string(type));
    CHECK(server("POST", "localhost:12025", form) == "silent_browser");
    CHECK(server("POST", "localhost:12025",
                 "User-Agent: curl/8\r\nContent-Type: " + std::string(type) + "\r\n") == "none");
  }
  for (const auto method : kChanges)
    CHECK(server(method, "localhost", kFirefox) == "silent_browser");
  for (const auto method : kReads) CHECK(server(method, "localhost", kFirefox) == "none");
  CHECK(server("POST", "localhost", "Accept-Language: en\r\n") == "silent_browser");
  CHECK(server("POST", "localhost", browser("Origin: http://localhost")) == "none");
}

TEST_CASE("no page reaches a local socket") {
  CHECK(Server{""}("POST", "evil.example", "Origin: http://evil.example\r\n") == "none");
}
