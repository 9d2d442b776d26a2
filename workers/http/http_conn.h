// The state of one HTTP client in a worker, and of the request that it has under way. Owner:
// HttpWorker's table; referred to by handle {index, generation} across event-loop turns.
//
// A connection has at most one Exchange; pipelined requests wait in `in`. When a response turns out
// to be a live stream, both sockets go to the SpliceRelay and the exchange is freed: what is left
// is the HttpConn itself.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/proto/http/chunked.h"
#include "common/proto/http/forwarded.h"
#include "common/proto/http/head.h"
#include "ipc/messages.h"
#include "workers/core/access_logger.h"
#include "workers/core/hook_client.h"
#include "workers/core/pipe_pool.h"
#include "workers/core/side.h"
#include "workers/core/splice_relay.h"
#include "workers/core/tcp_worker.h"
#include "workers/http/rtc_signal.h"

namespace weir::http {

//   kRouting -> kConnecting -> kAwaitHead -> kBody     -> done: next request, or close
//      ^  next origin |  |                -> kCollect  -> rewritten playlist -> kAnswered
//      +--------------+--+                -> kHandOver -> SpliceRelay
//   any -> kFile -> kAnswered: a static file
//   any -> kApi -> kAnswered: a request of the API port, after kRequestBody if it may have a body
//   any -> kAnswered: a response of our own is on its way to the client
enum class Stage : std::uint8_t {
  kAsking,       // asked the operator's own server (hooks)
  kRouting,      // asked the master
  kConnecting,   // connect to the origin
  kAwaitHead,    // the request is (being) sent
  kBody,         // the response passes through user space, its end is known
  kCollect,      // a playlist is being collected, to be rewritten
  kHandOver,     // what is buffered drains, then the relay takes both sockets
  kRequestBody,  // WebRTC signalling: its body is being collected
  kApi,          // origins are being asked on the API port
  kFile,         // a file of ours is on its way to the client
  kAnswered,
};

// What becomes of a successful response.
enum class Kind : std::uint8_t { kPass, kPlaylist, kManifest, kLive };

struct Exchange {
  Stage stage = Stage::kRouting;
  Kind kind = Kind::kPass;
  Method method = Method::kGet;
  bool client_keep_alive = true;
  bool http10 = false;
  bool upgrade = false;
  bool reused = false;              // the origin's connection came from the pool
  std::uint8_t proxy_protocol = 0;  // its header names the client: the connection is this one's
  bool head_sent = false;           // the client has (part of) a response
  bool origin_keep_alive = false;
  std::uint8_t attempts = 0;
  bool pinned = false;          // a hint has named the origin
  HookClient::Ticket hook = 0;  // kAsking
  std::uint32_t route_request = 0;
  std::uint64_t api_call = 0;       // kApi: of HttpApi
  std::uint64_t rtc_call = 0;       // kApi: of RtcSignal
  std::unique_ptr<RtcRequest> rtc;  // kRequestBody
  std::uint16_t status = 0;
  std::uint64_t deadline_ms = 0;  // of the stage, 0: none
  ipc::OriginRef origin;
  Endpoint endpoint;
  std::vector<ipc::OriginRef> failed;
  std::string path;   // as the client wrote it
  std::string query;  // without what we have added
  std::string stem;   // for the URIs of a playlist: kHookStemParameter
  std::string key;
  std::string sent_host;
  std::string request;  // head for the origin
  ClientIdentity identity;
  Side upstream;
  std::vector<std::uint8_t> in;  // the origin's bytes up to the end of its head
  ResponseParser parser;
  Body body;
  std::uint64_t left = 0;  // of a body with a length
  ChunkedDecoder chunked;
  Pipe pipe;  // held only while bytes of the body wait in it
  std::size_t in_pipe = 0;
  bool copies = false;   // no pipe was to be had
  std::string head_out;  // kCollect: fields to send with the rewritten body
  std::vector<std::uint8_t> collected;
  UniqueFd file;  // kFile: `left` bytes from file_offset
  std::uint64_t file_offset = 0;
};

// What the access log will say of the request, or of the live stream that it became.
struct AccessMark {
  Method method = Method::kGet;
  bool https = false;
  bool media = true;  // what is sent now counts as the first byte
  std::uint16_t status = 0;
  std::uint64_t started_ms = 0;
  std::uint64_t first_byte_ms = 0;
  std::uint64_t request_bytes = 0;
  std::uint64_t from_before = 0;  // of the connection's bytes: what is not this request's
  std::uint64_t to_before = 0;
  std::unique_ptr<AccessTexts> texts;
};

struct HttpConn {
  SessionId id = 0;
  std::uint32_t generation = 0;
  bool used = false;
  bool api = false;               // it came on the API port
  bool behind_tls = false;        // a balancer ended the client's TLS
  bool closing = false;           // ends when its output is written
  bool discard = false;           // before it is closed, what the client still sends is thrown away
  bool lingering = false;         // that is being done
  bool client_eof = false;        // it sends no more requests
  bool between_requests = false;  // kept alive, and no byte of the next one has come
  bool in_list = false;           // in HttpWorker::busy_, which the fast timer looks at
  std::uint32_t list_index = 0;
  SpliceRelay::Id relay = SpliceRelay::kNone;
  ipc::OriginRef origin;  // of the relay
  Endpoint client;
  std::optional<std::uint64_t> address_group;  // that it is counted under
  std::uint64_t accepted_ms = 0;
  std::uint64_t last_move_ms = 0;
  std::uint64_t deadline_ms = 0;  // for the next request; 0: none
  std::uint64_t bytes_from_client = 0;
  std::uint64_t bytes_to_client = 0;
  Side side;
  std::vector<std::uint8_t> in;  // requests that are not parsed yet
  RequestParser parser;
  std::string key;  // of the relay
  AccessMark mark;
  std::unique_ptr<HookEvent> stop;  // what the operator's server is told at the end
  std::unique_ptr<Exchange> exchange;
};

}  // namespace weir::http
