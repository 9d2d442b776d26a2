// A request for a stream, a playlist or a file of the origins', and the live stream that it may
// have become. Owner: the connection; StreamRoom and StreamDial work on it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/endpoint.h"
#include "common/proto/http/chunked.h"
#include "common/proto/http/head.h"
#include "common/route/stream_key.h"
#include "ipc/messages.h"
#include "workers/core/hook_client.h"
#include "workers/core/http_connection.h"
#include "workers/core/origin_dialer.h"
#include "workers/core/pipe_pool.h"
#include "workers/core/side.h"
#include "workers/core/splice_relay.h"
#include "workers/http/stream_kind.h"

namespace weir::http {

//   [kAsking] -> kDialing -> kAwaitHead -> kBody     -> answered
//       |           ^  next    | ^      -> kCollect  -> rewritten playlist -> answered
//       |           +-- origin + |      -> kHandOver -> SpliceRelay
//       +---> kSearching -> kFound  nobody knew the stream: on as from kAwaitHead
enum class StreamStage : std::uint8_t {
  kAsking,     // asked the operator's own server (hooks)
  kSearching,  // OriginSearch has it, and the deadline
  kFound,      // and has found it: the answer from its first byte is in `in`
  kDialing,    // OriginDialer has it, and the deadline
  kAwaitHead,  // the request is (being) sent
  kBody,       // the response passes through user space or a pipe, its end is known
  kCollect,    // a playlist is being collected, to be rewritten
  kHandOver,   // what is buffered drains, then the relay takes both sockets
};

// What OriginSearch counts of an exchange.
enum class SearchPart : std::uint8_t {
  kNone,
  kLeads,    // its own request is what the origins are asked
  kFollows,  // waits for the verdict about another request for the same
  kWaits,    // nobody has the stream, and it waits at an origin for a publisher
};

struct StreamExchange : Exchange {
  explicit StreamExchange(Exchange&& basics) : Exchange(std::move(basics)) {}

  StreamStage stage = StreamStage::kDialing;
  StreamKind kind = StreamKind::kPass;
  bool upgrade = false;
  bool proxied = false;  // the origin's connection names this client: it is for no other
  bool origin_keep_alive = false;
  bool pinned = false;    // a hint has named the origin
  bool searched = false;  // once for each request
  SearchPart search = SearchPart::kNone;
  HookClient::Ticket hook = 0;      // kAsking
  OriginDialer::Ticket dial = 0;    // until the origin has answered
  std::unique_ptr<HookEvent> stop;  // what the operator's server is told at the end
  ipc::OriginRef origin;
  Endpoint endpoint;
  std::string path;   // as it goes to the origin
  std::string query;  // without what we have added
  std::string stem;   // for the URIs of a playlist: kHookStemParameter
  std::string sent_host;
  bool aliased = false;  // a rule of the operator's has named the stream
  // Streams that the operator's server is still to be asked about, the last one first.
  std::vector<route::StreamKey> to_judge;
  std::string request;  // head for the origin
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
};

// What is left of it when the relay has both sockets.
struct LiveExchange : Exchange {
  explicit LiveExchange(Exchange&& basics) : Exchange(std::move(basics)) {}

  SpliceRelay::Id relay = SpliceRelay::kNone;
  ipc::OriginRef origin;
  std::unique_ptr<HookEvent> stop;
};

}  // namespace weir::http
