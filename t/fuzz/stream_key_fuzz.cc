// Three texts, separated by NUL, as an RTMP address, an HTTP address and names: a key that came out
// is sound.
#include <cstdlib>

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "common/route/rtmp_address.h"
#include "common/route/stream_key.h"

using namespace weir;

static void check(const route::StreamKey& key) {
  if (key.ok() == key.text.empty() || key.text.size() > limits::kStreamKeyBytes) std::abort();
  if (!key.ok()) return;
  if (key.vhost().empty() || key.app().empty() || key.stream().empty()) std::abort();
  if (key.stream().find('/') != std::string_view::npos) std::abort();
  for (const char c : key.text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) std::abort();
  }
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text = as_text({data, size});
  std::string_view part[3];
  for (std::string_view& p : part) {
    p = text.substr(0, text.find('\0'));
    text.remove_prefix(std::min(p.size() + 1, text.size()));
  }
  check(route::from_rtmp(part[0], part[1], part[2]));
  check(route::from_http_path(part[0], part[1], part[2]));
  check(route::from_names(part[0], part[1], part[2]));
  // What is sent on for an RTMP address names the same stream, and is plain already. (Without an
  // app it is the path of tcUrl, where SRS must find folders of the name, too.)
  const route::RtmpAddress sent = route::rtmp_address(part[0], part[1], part[2]);
  const std::string_view app = std::string_view(sent.app).substr(0, sent.app.find('?'));
  if (sent.key.ok() && app.find_first_not_of('/') != std::string_view::npos) {
    const auto again = route::rtmp_address(sent.tc_url, sent.app, sent.stream);
    if (again.key.text != sent.key.text || again.stream != sent.stream) std::abort();
  }
  return 0;
}
