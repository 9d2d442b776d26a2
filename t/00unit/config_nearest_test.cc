// What somebody may have meant who wrote a name that there isn't.
#include <doctest/doctest.h>

#include <string>

#include "common/config/config.h"
#include "common/config/nearest.h"

using namespace weir;
using config::edit_distance;
using config::nearest_name;
using config::suggest;

TEST_CASE("edit distance") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("abc", "") == 3);
  CHECK(edit_distance("listen", "listen") == 0);
  CHECK(edit_distance("lisen", "listen") == 1);
  CHECK(edit_distance("listten", "listen") == 1);
  CHECK(edit_distance("lixten", "listen") == 1);
  CHECK(edit_distance("litsen", "listen") == 1);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("ca", "abc") == 3);  // no letter is touched twice
}

TEST_CASE("the nearest name") {
  CHECK(nearest_name("lisen", {"tls_listen", "listen", "access"}) == "listen");
  CHECK(nearest_name("TLS-Listen", {"tls_listen", "listen"}) == "tls_listen");
  CHECK(nearest_name("bb", {"ab", "cb"}) == "ab");  // the first
  CHECK(nearest_name("ipp", {"ip", "rtmp"}) == "ip");
  CHECK(nearest_name("foo", {"ip", "rtmp", "weight"}).empty());
  CHECK(nearest_name("x", {"a", "b"}).empty());
  CHECK(nearest_name("", {"a"}).empty());
  CHECK(nearest_name("listen", {}).empty());
  CHECK(nearest_name(std::string(100'000, 'x'), {"listen"}).empty());
  CHECK(suggest("of", {"on", "off"}) == "; did you mean on?");
  CHECK(suggest("quux", {"on", "off"}).empty());
}

TEST_CASE("faults name what may have been meant") {
  const struct {
    const char* text;
    const char* fault;
  } cases[] = {
      {"rmtp { listen 1; }", "a.conf:1:1: unknown block \"rmtp\"; did you mean rtmp?"},
      {"orign a { ip ::1; }", "a.conf:1:1: unknown block \"orign\"; did you mean origin?"},
      {"workers_processes 2;",
       "a.conf:1:1: unknown option \"workers_processes\"; did you mean worker_processes?"},
      {"rtmp { Listen 1; }", "a.conf:1:8: unknown option \"Listen\" in rtmp; did you mean listen?"},
      {"policy hash;", "a.conf:1:1: unknown option \"policy\"; it belongs in balance"},
      {"rtmp { daemon on; }",
       "a.conf:1:8: unknown option \"daemon\" in rtmp; it belongs in the top level"},
      {"balance { policy least_stream; }",
       "a.conf:1:18: balance.policy: \"least_stream\" is none of "
       "least_streams|round_robin|random|hash; did you mean "
       "least_streams?"},
      {"origin a { ip 1.1.1.1; rtpm 1; rtmp 1; }",
       "a.conf:1:24: origin a: unknown option \"rtpm\"; did you mean rtmp?"},
      {"origin a { ip 1.1.1.1; rtmp 1; proxy_protocol v3; }",
       "a.conf:1:47: origin a.proxy_protocol: \"v3\" is none of off, v1, v2; did you mean v1?"},
      {"origin a { ip 1.1.1.1; rtmp 1; learn nginx-rtmp; }",
       "a.conf:1:38: origin a.learn: \"nginx-rtmp\" is none of auto, srs, nginx_rtmp, off; did you "
       "mean nginx_rtmp?"},
      {"aliases { prest srs; }",
       "a.conf:1:11: unknown option \"prest\" in aliases; did you mean preset?"},
      {"aliases { preset SRS; }",
       "a.conf:1:18: aliases.preset: \"SRS\" is none of nginx_rtmp, nginx_http_flv, srs; did you "
       "mean srs?"}};
  for (const auto& each : cases) {
    CAPTURE(each.text);
    const LoadOutcome outcome = load_config_text("a.conf", each.text, {});
    REQUIRE(!outcome.faults.empty());
    CHECK(to_string(outcome.faults[0]) == each.fault);
  }
  const LoadOutcome outcome = load_config_text("a.conf", "", {{"WEIR_API_TOKN", "x"}});
  REQUIRE(outcome.warnings.size() == 1);
  CHECK(outcome.warnings[0] ==
        "environment variable \"WEIR_API_TOKN\" is not known; did you mean WEIR_API_TOKEN?");
}
