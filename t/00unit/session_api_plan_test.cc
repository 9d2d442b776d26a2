#include <doctest/doctest.h>

#include "workers/http/api_plan_session.h"

using namespace weir::http;

TEST_CASE("paths of the API port: what is asked of the origins") {
  struct Row {
    Method method;
    std::string_view path;
    std::string_view query;
    ApiKind kind;
    std::string_view array;
    std::string_view target;
  };
  const Row rows[] = {
      {Method::kGet, "/api/v1/versions", "", ApiKind::kVersions, "", ""},
      {Method::kHead, "/api/v1/versions/", "", ApiKind::kVersions, "", ""},
      {Method::kGet, "/api/v1/streams", "", ApiKind::kList, "streams",
       "/api/v1/streams/?start=0&count=1001"},
      {Method::kGet, "/api/v1/clients/", "start=5&count=7&x=%20&token=t&origin=o", ApiKind::kList,
       "clients", "/api/v1/clients/?x=%20&start=0&count=13"},
      {Method::kGet, "/api/v1/streams/vid-1", "origin=o", ApiKind::kItem, "stream",
       "/api/v1/streams/vid-1"},
      {Method::kGet, "/api/v1/vhosts/v", "a=1", ApiKind::kItem, "vhost", "/api/v1/vhosts/v?a=1"},
      {Method::kDelete, "/api/v1/clients/c1", "", ApiKind::kRemove, "client", "/api/v1/clients/c1"},
      {Method::kGet, "/api/v1", "", ApiKind::kRows, "", "/api/v1/"},
      {Method::kHead, "/api/v1/summaries", "", ApiKind::kRows, "", "/api/v1/summaries"},
      {Method::kPost, "/api/v1/versions", "", ApiKind::kVersions, "", ""},
      {Method::kDelete, "/api/v1/versions", "", ApiKind::kVersions, "", ""},
      {Method::kOther, "/api/v1/summaries", "", ApiKind::kRows, "", "/api/v1/summaries"},
      {Method::kGet, "/api/v1/summaries", "callback=a.b_c-1&x=y", ApiKind::kRows, "",
       "/api/v1/summaries?x=y"},
      {Method::kGet, "/api/v1/streams/a/b", "", ApiKind::kRows, "", "/api/v1/streams/a/b"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.path);
    const ApiPlan plan = plan_api(row.method, row.path, row.query);
    CHECK(plan.kind == row.kind);
    CHECK(plan.array == row.array);
    CHECK(plan.target == row.target);
  }
  CHECK(plan_api(Method::kGet, "/api/v1/streams", "origin=edge%201").origin == "edge 1");
}

TEST_CASE("paths of the API port: refusals") {
  struct Row {
    Method method;
    std::string_view path;
    std::string_view query;
    int status;
  };
  const Row rows[] = {
      {Method::kGet, "/", "", 404},
      {Method::kGet, "/live/a.flv", "", 404},
      {Method::kGet, "/api/v1x", "", 404},
      {Method::kGet, "/api/v1/../x", "", 404},
      {Method::kGet, "/api/v1/streams/%2e%2e", "", 404},
      {Method::kGet, "/api/v1/streams/a%2Fb", "", 404},
      {Method::kOther, "/api/v1/streams", "", 405},
      {Method::kDelete, "/api/v1/streams/", "", 405},
      {Method::kGet, "/api/v1/summaries", "callback=f%28", 400},
      {Method::kGet, "/api/v1/clients/c", "callback=f&method=DELETE", 400},
      {Method::kGet, "/api/v1/clients/c", "x=1;callback=f;method=DELETE", 400},
      {Method::kGet, "/api/v1/clients/c", "x,callback,f,method,DELETE", 400},
      {Method::kPost, "/api/v1/clients/c", "", 405},
      {Method::kGet, "/api/v1/streams", "start=1000001", 400},
      {Method::kGet, "/api/v1/streams", "count=0", 400},
      {Method::kGet, "/api/v1/streams", "count=10001", 400},
      {Method::kGet, "/api/v1/streams", "count=99999999999999999999", 400},
      {Method::kGet, "/api/v1/summaries", "origin=%zz", 400},
  };
  for (const Row& row : rows) {
    CAPTURE(row.path);
    CAPTURE(row.query);
    const ApiPlan plan = plan_api(row.method, row.path, row.query);
    CHECK(plan.kind == ApiKind::kRefused);
    CHECK(plan.status == row.status);
  }
}

TEST_CASE("tokens of the API port") {
  CHECK(carries_token("", "", ""));
  CHECK(carries_token("a b", "Bearer a b", ""));
  CHECK(carries_token("a b", "", "x=1&token=a%20b"));
  CHECK_FALSE(carries_token("a b", "", ""));
  CHECK_FALSE(carries_token("a b", "a b", ""));
  CHECK_FALSE(carries_token("a b", "Bearer a", "token=a"));
  CHECK_FALSE(carries_token("a b", "Bearer a bc", "token=%"));
}

TEST_CASE("api plan: who may kick when no token is configured") {
  const weir::NetworkList trusted = *weir::parse_networks("10.0.0.0/8");
  CHECK(may_change("", *weir::parse_ip("127.0.0.1"), trusted));
  CHECK(may_change("", *weir::parse_ip("::1"), trusted));
  CHECK(may_change("", *weir::parse_ip("10.1.2.3"), trusted));
  CHECK_FALSE(may_change("", *weir::parse_ip("203.0.113.5"), trusted));
  CHECK_FALSE(may_change("", *weir::parse_ip("203.0.113.5"), {}));
  CHECK(may_change("checked before", *weir::parse_ip("203.0.113.5"), {}));
}
