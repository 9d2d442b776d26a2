#include "workers/control/api_room.h"

#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "common/base/limits.h"
#include "common/net/tcp.h"

namespace weir::control {

namespace {

// Members of the workers' group may use the control socket, and a worker that was broken into is
// one: its user may not, unless the master has no other.
void name_caller(int fd, std::uint32_t master_uid, HttpRequest& request) {
  ucred peer{};
  socklen_t length = sizeof peer;
  request.caller = Caller::kStranger;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return;
  request.uid = peer.uid;
  if (peer.uid != ::getuid() || peer.uid == master_uid) request.caller = Caller::kOperator;
}

}  // namespace

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
  if (conn.port->local) name_caller(conn.side.fd.get(), master_uid_, request);
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
