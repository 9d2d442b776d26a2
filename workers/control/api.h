// Api: the endpoints of the System API (docs/API.md). Reads come from shared memory; what changes
// something is a message to the master, and the HTTP answer waits for the master's.
// Owner: the control worker. Single-threaded; no sockets here.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/base/log_budget.h"
#include "common/base/network.h"
#include "common/route/alias.h"
#include "ipc/counters.h"
#include "ipc/flow_messages.h"
#include "ipc/flow_reader.h"
#include "ipc/messages.h"
#include "ipc/route_reader.h"
#include "workers/control/http_message.h"
#include "workers/control/master_commands.h"
#include "workers/core/http_connection.h"

namespace weir::control {

struct ApiSettings {
  std::string token;          // empty: none is asked for
  NetworkList register_from;  // who may register without it
  std::uint64_t page_size_max = 1000;
  bool needs_rtmp_worker = true;                // for /readyz
  std::optional<std::int64_t> certificate_end;  // Unix time: the first of the certificates ends
  route::Aliases aliases;                       // of names that are asked for
  OwnHosts hosts;
  std::string config;  // the effective one as text, without secrets
  // The state of the program that this one replaces; null: there is none.
  const ipc::StateView* before = nullptr;
};

class Api {
 public:
  struct Master {
    // Each sends a message and returns its request number, 0 when the master is out of reach.
    std::function<std::uint32_t(ipc::OriginRegister&)> send_register;
    std::function<std::uint32_t(ipc::OriginCommand&)> send_command;
    std::function<bool(ipc::FlowEnd&)> send_flow_end;  // has no answer
    MasterCommands::Send send_master_command;
  };
  using Respond = std::function<void(http::ConnHandle, const HttpResponse&)>;

  // `flows` may be null: no session is listed then.
  Api(const ipc::StateView& state, const ipc::FlowView* flows,
      const ipc::CountersView& all_counters, ipc::Counters& counters, ApiSettings settings,
      Master master, Respond respond);

  void on_request(const HttpRequest& request, http::ConnHandle token);
  void on_reply(const ipc::Reply& reply);
  void on_command_news(const ipc::CommandNews& news) { commands_.on_news(news); }
  // Answers what the master has not answered in time.
  void expire(std::uint64_t now_ms);
  // The answer to what the HTTP server refuses by itself.
  HttpResponse refuse(int status, std::string_view why);

 private:
  enum class Action : std::uint8_t { kRegister, kDrain, kUndrain, kRemove };
  struct Pending {
    http::ConnHandle token;
    Action action = Action::kRegister;
    weir::Endpoint peer;
    std::uint64_t deadline_ms = 0;
  };
  using Handler = HttpResponse (Api::*)(const HttpRequest&);

  const ipc::StateView* before() const;  // null when it has ended
  bool carries_token(const HttpRequest& request) const;
  bool needs_token(const HttpRequest& request) const;
  std::string path_for_log(const HttpRequest& request) const;
  // The answer to whom may not ask; empty: the request may be made.
  std::optional<HttpResponse> refuse_stranger(const HttpRequest& request);
  std::optional<HttpResponse> refuse_other_site(const HttpRequest& request);
  // True when the answer comes later.
  bool route(const HttpRequest& request, http::ConnHandle token, HttpResponse& response);
  bool route_origin(const HttpRequest& request, std::string_view rest, http::ConnHandle token,
                    HttpResponse& response);
  HttpResponse route_session(const HttpRequest& request, std::string_view id);
  bool register_origin(const HttpRequest& request, http::ConnHandle token, HttpResponse& response);
  bool command(const HttpRequest& request, ipc::OriginRef origin, Action action,
               http::ConnHandle token, HttpResponse& response);
  bool wait(std::uint32_t number, Pending pending, HttpResponse& response);
  void finish(const HttpRequest& request, http::ConnHandle token, const HttpResponse& response);
  void log_refused(const weir::Endpoint& peer, std::string_view why);

  HttpResponse versions(const HttpRequest& request);
  HttpResponse origins(const HttpRequest& request);
  HttpResponse streams(const HttpRequest& request);
  HttpResponse sessions(const HttpRequest& request);
  HttpResponse workers(const HttpRequest& request);
  HttpResponse summaries(const HttpRequest& request);
  HttpResponse healthz(const HttpRequest& request);
  HttpResponse readyz(const HttpRequest& request);
  HttpResponse config(const HttpRequest& request);
  HttpResponse metrics(const HttpRequest& request);

  const ipc::StateView& state_;
  const ipc::FlowView* flows_;
  const ipc::CountersView& all_counters_;
  ipc::Counters& counters_;
  ApiSettings settings_;
  Master master_;
  Respond respond_;
  LogBudget refusals_{10};
  LogBudget cross_site_{10};
  std::unordered_map<std::uint32_t, Pending> pending_;  // bounded by the open connections
  MasterCommands commands_;
};

}  // namespace weir::control
