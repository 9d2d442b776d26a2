#include "workers/control/api_room.h"

#include <memory>
#include <utility>

#include "common/base/limits.h"
#include "common/net/tcp.h"

namespace weir::control {

struct ApiRoom::ApiExchange : http::Exchange {
  explicit ApiExchange(http::Exchange&& basics) : http::Exchange(std::move(basics)) {}

  HttpRequest request;
};

bool ApiRoom::begin(std::uint32_t index, const http::RequestHead& head, http::Exchange& basics) {
  http::Connection& conn = server_[index];
  auto exchange = std::make_unique<ApiExchange>(std::move(basics));
  HttpRequest& request = exchange->request;
  request.method = head.method;
  request.path = head.path;
  if (head.path.starts_with(kRegisterPath) && head.path.substr(kRegisterPath.size(), 1) == "/") {
    request.path = kRegisterPath;
    request.path_token = head.path.substr(kRegisterPath.size() + 1);
  }
  request.query = head.query;
  request.authorization = head.fields.get(http::HeaderId::kAuthorization);
  request.peer = conn.client;
  request.source = read_source(head, net::local_address(conn.side.fd.get()));
  conn.exchange = std::move(exchange);
  server_.collect_body(index, head, limits::kRegisterBodyBytes);
  return true;
}

void ApiRoom::on_body(std::uint32_t index, std::string&& body) {
  HttpRequest request = std::move(static_cast<ApiExchange&>(*server_[index].exchange).request);
  request.body = std::move(body);
  api_.on_request(request, server_.handle(index));
}

void ApiRoom::refuse_body(std::uint32_t index, int status, std::string_view why) {
  server_.refuse(index, {status, kJson, why, {}, true});
}

void ApiRoom::respond(http::ConnHandle client, const HttpResponse& response) {
  if (!server_.valid(client)) return;
  http::Answer answer{response.status, response.content_type, response.body};
  answer.fields = &response.headers;
  server_.answer(client.index, answer);
}

}  // namespace weir::control
