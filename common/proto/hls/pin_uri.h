// What HLS and DASH rewriting share: the options, and the one place that decides what becomes of a
// URI. Pure; views must live as long as the call. Linear in the input.
//
// A URI that will come back to this proxy gets, if asked for, the client's own parameters, then
// `companion` and `pin_name=pin` at the end of its query, behind those that are there: another Weir
// may be the origin, and needs its own. Such are:
//   relative, root-relative and query-only references;
//   http(s)://authority/… and //authority/… with one of `authorities`: made root-relative.
// Left as they are: other hosts, other schemes (data:, skd://, urn:), empty and fragment-only
// references, and URIs whose host is an HLS variable (`{$name}`) that is not known. Another unknown
// variable before the query is taken for a part of a relative path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir::hls {

enum class RewriteStatus : std::uint8_t {
  kOk,
  kNotAPlaylist,  // no #EXTM3U, no MPD element: pass the body on as it is
  kTooLarge,      // input, or what would come out, is over its limit
  kBadLine,       // a line or tag is too long, malformed, or has a control byte in a URI
};
std::string_view to_string(RewriteStatus status);

struct RewriteOptions {
  // Path of the request for this playlist, as the client wrote it, without query.
  std::string_view path;
  // Names of the origin in absolute URIs: its HTTP endpoint `ip:port`, and the Host sent to it.
  // Compared without case; a missing port is 80 or 443.
  std::span<const std::string_view> authorities;
  std::string_view pin_name = "weir";
  std::string_view companion;  // `name=value` that goes before each pin; empty: none
  // The value for URIs below `/scope/` (the first directory; empty: files in the root). URL-safe
  // characters only. Empty result: no pin there. Called about once, the last answer is kept.
  std::function<std::string(std::string_view scope)> pin_for;
  // Carry the client's query parameters (`query`, without `?`) to URIs that lack one of that name;
  // not the pin, `hls_ctx` (the origin places it) and delivery directives (`_HLS_…`). At most 64
  // parameters and 16 kB; bytes that could leave quotes or markup are percent-encoded.
  bool carry_query = false;
  std::string_view query;

  std::size_t max_input = std::size_t{8} << 20;
  std::size_t max_output = std::size_t{32} << 20;
  std::size_t max_line = std::size_t{64} << 10;  // a line, or an XML tag
};

// Where a base URI points: enough to find the scope of what is relative to it.
struct UriBase {
  bool foreign = false;   // on another host: what is relative to it does not come back
  std::string first;      // first directory
  std::size_t depth = 0;  // number of directories
};

class UriPinner {
 public:
  // Markup of the text around: in XML `&` is written `&amp;`.
  enum class Markup : std::uint8_t { kPlain, kXml };
  // REQUIRES: options outlive this.
  UriPinner(const RewriteOptions& options, Markup markup);

  // Base of a document that was requested as options.path.
  UriBase document_base() const;
  // Base after a `BaseURL`.
  UriBase resolve_base(const UriBase& base, std::string_view uri) const;

  enum class Pin : std::uint8_t { kAdd, kOnlyRelocate };
  // Appends what `uri` becomes. kOnlyRelocate: absolute to root-relative, but no parameters.
  void append(std::string_view uri, const UriBase& base, Pin pin, std::string& out);

 private:
  struct Carried {
    std::string name;   // as written
    std::string param;  // `name=value`, safe inside quotes and XML
  };
  struct Target {
    bool ours = false;           // comes back to this proxy, unless its base is foreign
    bool relocated = false;      // had an authority of ours
    bool absolute_path = false;  // resolve from the root
    bool has_query = false;
    bool unknown = false;       // a variable in the path: where it leads is a guess
    std::string_view path;      // from after the authority to before the query
    std::string_view query;     // after `?`
    std::string_view fragment;  // with `#`
  };

  Target classify(std::string_view uri) const;
  static UriBase resolve(const UriBase& base, const Target& target);
  bool is_ours(std::string_view authority, std::string_view scheme) const;
  void parse_carried();
  static std::string_view scope_of(const UriBase& place);
  const std::string& pin_of(const UriBase& place);
  const std::string& suffix_of(const UriBase& base);
  void append_query(const Target& target, const std::string& pin, std::string& out);
  std::size_t find_separator(std::string_view query, std::size_t from, std::size_t& length) const;

  const RewriteOptions& options_;
  const Markup markup_;
  std::string_view separator_;
  std::vector<Carried> carried_;
  bool have_pin_ = false;
  std::string pin_scope_;
  std::string pin_;
  bool have_suffix_ = false;
  std::string suffix_scope_;
  std::string suffix_;  // query of a plain file name below suffix_scope_
  const std::string no_pin_;
};

}  // namespace weir::hls
