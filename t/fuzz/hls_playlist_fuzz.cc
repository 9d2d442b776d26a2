// A byte of options, then a playlist: what comes out has as many lines, from the next Weir in a
// row, too.
#include <algorithm>
#include <cstdlib>

#include "common/proto/hls/playlist.h"

using namespace weir;

namespace {

std::size_t longest_line(std::string_view text) {
  std::size_t longest = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    longest = std::max(longest, end);
    text.remove_prefix(end);
  }
  return longest;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr std::string_view kAuthorities[] = {"o:8080", "a.example.com"};
  hls::RewriteOptions options;
  options.path = (data[0] & 1) != 0 ? "/live/cam.m3u8" : "/cam.m3u8";
  options.authorities = kAuthorities;
  options.carry_query = (data[0] & 2) != 0;
  options.query = "t=\"1&v='2";
  options.pin_for = [](std::string_view scope) { return scope.empty() ? "" : "pin"; };
  const ByteView in(data + 1, size - 1);
  std::string once, twice;
  const hls::RewriteStatus status = hls::rewrite_playlist(in, options, once);
  if (status != hls::RewriteStatus::kOk) return once.empty() ? 0 : (std::abort(), 0);
  if (std::count(once.begin(), once.end(), '\n') != std::count(in.begin(), in.end(), '\n')) {
    std::abort();
  }
  // The pin makes lines longer, so one at the limit may be beyond it for the next Weir.
  if (longest_line(once) > options.max_line) return 0;
  if (hls::rewrite_playlist(as_bytes(once), options, twice) != status) std::abort();
  if (std::count(twice.begin(), twice.end(), '\n') != std::count(once.begin(), once.end(), '\n')) {
    std::abort();
  }
  return 0;
}
