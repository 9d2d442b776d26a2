// What the HTTP worker's rooms share of their process. Owner: HttpWorker; all of it outlives them.
#pragma once

#include <event2/event.h>

#include "common/config/config.h"
#include "common/route/alias.h"
#include "common/route/origin_hint.h"
#include "ipc/counters.h"
#include "ipc/route_reader.h"
#include "workers/core/hook_client.h"
#include "workers/core/http_server.h"
#include "workers/core/master_link.h"
#include "workers/core/origin_dialer.h"
#include "workers/core/origin_tls.h"
#include "workers/core/resolver.h"

namespace weir::http {

// Of connections to origins, for streams and for WebRTC signalling.
inline constexpr DialCounters kDialCounters{
    ipc::Counter::kHttpDials,         ipc::Counter::kHttpDialRetries,
    ipc::Counter::kHttpDialRefused,   ipc::Counter::kHttpDialTimeout,
    ipc::Counter::kHttpDialHandshake, ipc::Counter::kHttpDialTls,
    ipc::Counter::kHttpDialOther};

struct Process {
  event_base* base;
  const Config& config;
  const ipc::StateView& state;
  MasterLink& link;
  ipc::Counters& counters;
  HookClient& hooks;
  Resolver& resolver;
  OriginTls& tls;
  const route::HintKey& hint_key;
  Server& server;
  const route::Aliases& aliases;
};

}  // namespace weir::http
