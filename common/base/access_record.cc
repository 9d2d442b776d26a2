#include "common/base/access_record.h"

#include "common/base/escape.h"

namespace weir {
namespace {

// Appends values in one of the two forms.
struct Line {
  std::string& out;
  bool json;
  bool first = true;

  void name(std::string_view text) {
    if (!first) out += json ? ',' : ' ';
    first = false;
    if (json) out += '"';
    out += text;
    out += json ? "\":" : "=";
  }
  void absent() { out += json ? "null" : "-"; }
  // A text that cannot be mistaken.
  void plain(std::string_view text) {
    if (json) out += '"';
    out += text;
    if (json) out += '"';
  }

  void put_time(std::uint64_t wall_ms, std::size_t) { plain(utc_text(wall_ms)); }
  void put_session(SessionId id, std::size_t) { plain(session_text(id)); }
  void put_client(const Endpoint& client, std::size_t) {
    if (client.empty()) return absent();
    plain(client.port == 0 ? ip_to_string(client) : to_string(client));
  }
  void put_number(std::uint64_t value, std::size_t) {
    if (value == kAbsent) return absent();
    out += std::to_string(value);
  }
  void put_text(std::string_view text, std::size_t bound) {
    if (text.empty()) return absent();
    if (!json && text != "-" && text.size() <= bound && !needs_quotes(text)) {
      out += text;
    } else {
      append_quoted(out, text, bound);
    }
  }
};

}  // namespace

void append_access_line(std::string& out, const AccessRecord& record, LogFormat format) {
  Line line{out, format == LogFormat::kJson};
  if (line.json) out += '{';
#define ACCESS_FIELD(field, kind, member, bound, doc) \
  line.name(#field);                                  \
  line.put_##kind(record.member, bound);
#include "common/base/access_fields.def"
#undef ACCESS_FIELD
  out += line.json ? "}\n" : "\n";
}

std::string_view without_secrets(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  for (const std::string_view escaped : {"%3F", "%3f", "%23"}) {
    url = url.substr(0, url.find(escaped));
  }
  const std::size_t authority = url.find("://");
  if (authority == url.npos) return url;
  const std::size_t path = url.find('/', authority + 3);
  const std::size_t at = url.substr(0, path).rfind('@');
  return at == url.npos ? url : url.substr(at + 1);
}

}  // namespace weir
