// What an address of WebRTC signalling names, for `weir -k` (ipc/worker_entry.h).
#include "common/proto/http/head.h"
#include "ipc/worker_entry.h"
#include "workers/http/rtc_plan_session.h"

namespace weir::ipc {
namespace {

SignalledStream stream_of(const http::RtcPlan& plan) {
  SignalledStream out;
  out.key = plan.key;
  out.publisher = plan.publisher;
  out.error = plan.error;
  if (out.error.empty() && out.key.empty()) out.error = "its stream is named in the request's body";
  return out;
}

}  // namespace

SignalledStream read_signalling(std::string_view host, std::string_view path,
                                std::string_view query) {
  std::string request = "POST ";
  request.append(path).append(query.empty() ? "" : "?").append(query);
  request.append(" HTTP/1.1\r\nHost: ").append(host);
  request.append("\r\nContent-Type: application/sdp\r\nContent-Length: 0\r\n\r\n");
  http::RequestParser parser;
  http::RequestHead head;
  if (parser.parse(request, head) != ParseStatus::kComplete)
    return {{}, false, "it is no sound URL"};
  return stream_of(http::plan_rtc(head, {}));
}

SignalledStream read_stream_url(std::string_view url) {
  http::RtcPlan plan;
  http::plan_stream_url(plan, url);
  return stream_of(plan);
}

}  // namespace weir::ipc
