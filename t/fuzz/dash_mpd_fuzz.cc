// A byte of options, then a manifest: what comes out has as many tags, for the next Weir in a row,
// too.
#include <algorithm>
#include <cstdlib>

#include "common/proto/dash/mpd.h"

using namespace weir;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr std::string_view kAuthorities[] = {"o:8080", "a.example.com"};
  dash::RewriteOptions options;
  options.path = (data[0] & 1) != 0 ? "/dash/cam.mpd" : "/cam.mpd";
  options.authorities = kAuthorities;
  options.carry_query = (data[0] & 2) != 0;
  options.query = "t=\"1&v='<2";
  options.pin_for = [](std::string_view scope) { return scope.empty() ? "" : "pin"; };
  const ByteView in(data + 1, size - 1);
  std::string once, twice;
  const dash::RewriteStatus status = dash::rewrite_mpd(in, options, once);
  if (status != dash::RewriteStatus::kOk) return once.empty() ? 0 : (std::abort(), 0);
  if (std::count(once.begin(), once.end(), '<') != std::count(in.begin(), in.end(), '<'))
    std::abort();
  if (dash::rewrite_mpd(as_bytes(once), options, twice) != status) std::abort();
  if (std::count(twice.begin(), twice.end(), '<') != std::count(once.begin(), once.end(), '<'))
    std::abort();
  return 0;
}
