// Header fields (RFC 9110, section 5) as views into the buffer that held the head, with constant
// time look-up of the names that this project knows. Pure. Fields live as long as that buffer stays
// where it is; clear() keeps the memory for the next head of the connection.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

namespace weir::http {

// Well-known names; fields.cc has them as text, in this order. At most 64: FieldSet is one word.
enum class HeaderId : std::uint8_t {
  kOther,
  kAccept,
  kAcceptEncoding,
  kAcceptRanges,
  kAccessControlAllowCredentials,
  kAccessControlAllowOrigin,
  kAccessControlRequestHeaders,
  kAccessControlRequestMethod,
  kAge,
  kAllow,
  kAuthorization,
  kCacheControl,
  kConnection,
  kContentEncoding,
  kContentLength,
  kContentLocation,
  kContentRange,
  kContentType,
  kCookie,
  kDate,
  kEtag,
  kExpect,
  kExpires,
  kForwarded,
  kHost,
  kIfMatch,
  kIfModifiedSince,
  kIfNoneMatch,
  kIfRange,
  kIfUnmodifiedSince,
  kKeepAlive,
  kLastModified,
  kLink,
  kLocation,
  kOrigin,
  kPragma,
  kProxyAuthenticate,
  kProxyAuthorization,
  kProxyConnection,
  kRange,
  kReferer,
  kRetryAfter,
  kSecWebsocketAccept,
  kSecWebsocketKey,
  kServer,
  kSetCookie,
  kTe,
  kTrailer,
  kTransferEncoding,
  kUpgrade,
  kUserAgent,
  kVary,
  kVia,
  kWwwAuthenticate,
  kXForwardedFor,
  kXForwardedHost,
  kXForwardedPort,
  kXForwardedProto,
  kXRealIp,
  kCount_,
};
inline constexpr std::size_t kHeaderIds = static_cast<std::size_t>(HeaderId::kCount_);
static_assert(kHeaderIds <= 64);

HeaderId header_id(std::string_view name);  // without regard to case
std::string_view header_name(HeaderId id);  // as it is written, `Content-Type`; kOther: ""

// A set of well-known names.
class FieldSet {
 public:
  constexpr FieldSet() = default;
  constexpr FieldSet(std::initializer_list<HeaderId> ids) {
    for (const HeaderId id : ids) bits_ |= bit(id);
  }
  constexpr bool has(HeaderId id) const { return (bits_ & bit(id)) != 0; }
  constexpr FieldSet operator|(FieldSet other) const {
    FieldSet both;
    both.bits_ = bits_ | other.bits_;
    return both;
  }

 private:
  static constexpr std::uint64_t bit(HeaderId id) {
    return id == HeaderId::kOther ? 0 : std::uint64_t{1} << static_cast<unsigned>(id);
  }
  std::uint64_t bits_ = 0;
};

// Fields that concern one connection only (RFC 9110, 7.6.1), and those that frame the body.
inline constexpr FieldSet kHopByHop = {HeaderId::kConnection,
                                       HeaderId::kKeepAlive,
                                       HeaderId::kProxyAuthenticate,
                                       HeaderId::kProxyAuthorization,
                                       HeaderId::kProxyConnection,
                                       HeaderId::kTe,
                                       HeaderId::kTrailer,
                                       HeaderId::kTransferEncoding,
                                       HeaderId::kUpgrade};
// What says who the client is and how it came; written anew for the origin (forwarded.h).
inline constexpr FieldSet kForwardingFields = {
    HeaderId::kForwarded,      HeaderId::kXForwardedFor,   HeaderId::kXForwardedHost,
    HeaderId::kXForwardedPort, HeaderId::kXForwardedProto, HeaderId::kXRealIp};

struct Field {
  std::string_view name;   // as received
  std::string_view value;  // without white space around it
  HeaderId id = HeaderId::kOther;
};

class Fields {
 public:
  // REQUIRES: at most 255 fields.
  void add(std::string_view name, std::string_view value);
  void clear();

  bool has(HeaderId id) const { return first_[index(id)] != 0; }
  // The first field of that name; an empty view when there is none.
  std::string_view get(HeaderId id) const {
    const std::uint8_t at = first_[index(id)];
    return at == 0 ? std::string_view{} : all_[at - 1U].value;
  }
  // For other names, without regard to case; linear.
  const Field* find(std::string_view name) const;
  std::size_t count(HeaderId id) const;
  // Whether some element of the comma-separated lists of that name is `token` (without case).
  bool has_token(HeaderId id, std::string_view token) const;

  const std::vector<Field>& all() const { return all_; }
  std::size_t size() const { return all_.size(); }
  auto begin() const { return all_.begin(); }
  auto end() const { return all_.end(); }

 private:
  static constexpr std::size_t index(HeaderId id) { return static_cast<std::size_t>(id); }
  std::vector<Field> all_;
  std::array<std::uint8_t, kHeaderIds> first_{};  // place of the first one + 1; 0: none
};

// ---- small pieces of the grammar (RFC 9110, 5.6), used all over this folder

bool is_token(std::string_view text);
// No CR, LF, NUL or other control byte but HTAB: may stand in a field value.
bool is_field_value(std::string_view text);
std::string_view trim(std::string_view text);  // SP and HTAB on both ends
// Takes the next element of a comma-separated list from the front of `list` (commas within quoted
// strings don't separate); empty elements are skipped. False at the end.
bool next_element(std::string_view& list, std::string_view& element);

}  // namespace weir::http
