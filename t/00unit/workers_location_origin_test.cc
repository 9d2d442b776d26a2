// Whom a Location names.
#include <doctest/doctest.h>

#include "workers/http/location_origin.h"

namespace weir::http {
namespace {

TEST_CASE("the authority of a Location") {
  struct Row {
    std::string_view location, text, host;
    std::uint16_t port;
  };
  const Row rows[] = {
      {"http://a.b/x", "a.b", "a.b", 80},
      {"https://A.b.:8443/x?y", "A.b.:8443", "a.b", 8443},
      {"HTTPS://a.b", "a.b", "a.b", 443},
      {"//10.0.0.1:1985/x", "10.0.0.1:1985", "10.0.0.1", 1985},
      {"http://[fd00::1]:80/x", "[fd00::1]:80", "fd00::1", 80},
      {"http://[fd00::1]", "[fd00::1]", "fd00::1", 80},
      {"http://a.b\\@c.d/", "a.b", "a.b", 80},
      {"http://user@a.b/", "user@a.b", "user@a.b", 80},
      // What is no port, and no host.
      {"http://a.b:99999/", "a.b:99999", "a.b", 0},
      {"http://a.b:1x/", "a.b:1x", "a.b", 0},
      {"http://a.b:/", "a.b:", "a.b", 80},
      {"http://[/x", "[", "", 80},
      {"http:///x", "", "", 80},
      // Within the server, or of another kind.
      {"/x//y", "", "", 0},
      {"x?u=http://a.b/", "", "", 0},
      {"ftp://a.b/", "", "", 0},
      {"", "", "", 0},
  };
  for (const Row& row : rows) {
    CAPTURE(row.location);
    const Authority there = authority_of(row.location);
    CHECK(there.text == row.text);
    CHECK(there.host == row.host);
    CHECK(there.port == row.port);
  }
}

}  // namespace
}  // namespace weir::http
