// PublicAddress: one word of rtc.candidate, an address that clients can reach us at. Plain values,
// pure; common/net/public_addresses.h turns them into endpoints.
//
//   auto | * | 203.0.113.7 | 203.0.113.7:8000 | 2001:db8::7 | [2001:db8::7]:8000 | name | name:8000
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/endpoint.h"
#include "common/base/result.h"

namespace weir {

struct PublicAddress {
  enum class Kind : std::uint8_t { kAuto, kNumeric, kName };
  Kind kind = Kind::kAuto;
  Endpoint address;        // kNumeric; port 0: that of rtc.listen
  std::string name;        // kName
  std::uint16_t port = 0;  // kName; 0 as above
  friend bool operator==(const PublicAddress&, const PublicAddress&) = default;
};

inline constexpr std::size_t kPublicAddressesMax = 16;

// Words separated by commas or white space; an empty text is `auto`. Errors name the word.
Result<std::vector<PublicAddress>> parse_public_addresses(std::string_view text);

}  // namespace weir
