// NameRecord: what is known of one host name: its addresses of both families, until when they
// count, and when to ask again. Pure: answers and a clock reading in, decisions out.
//
//   - An answer counts for its TTL, within bounds. The old addresses serve while the next answer
//     is on its way, and go on (for `stale_ms`) when none comes (RFC 8767).
//   - A name that is said not to be there is asked for again soon, and keeps what it had meanwhile:
//     name servers that have just been restarted say so of names that are there.
//   - The order of the addresses stays while the set does, whatever order each answer has.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/endpoint.h"

namespace weir {

enum class NameFault : std::uint8_t {
  kNone,
  kNotFound,  // NXDOMAIN
  kNoData,    // the name is there, without addresses of this family
  kServer,    // SERVFAIL, REFUSED, nonsense, no connection
  kTimeout,
};
std::string_view to_string(NameFault fault);

struct NameSettings {
  std::uint64_t ttl_min_ms = 0;
  std::uint64_t ttl_max_ms = 0;
  std::uint64_t stale_ms = 0;  // how long the last answer counts beyond its TTL
};

class NameRecord {
 public:
  static constexpr std::size_t kFamilies = 2;  // IPv4, IPv6

  NameRecord(const NameSettings& settings, std::uint64_t now_ms);

  // Answers of one family (an index below kFamilies). True: the addresses have changed, or it has
  // become known that there are none.
  bool answered(std::size_t family, std::vector<Endpoint> addresses, std::uint64_t ttl_ms,
                std::uint64_t now_ms);
  bool failed(std::size_t family, NameFault fault, std::uint64_t now_ms);
  // Drops what has been stale for too long. True: as above.
  bool expire(std::uint64_t now_ms);

  // When this family is to be asked for next; the caller asks once until it is told the outcome.
  std::uint64_t due_ms(std::size_t family) const { return families_[family].due_ms; }
  void ask_now(std::size_t family, std::uint64_t now_ms) { families_[family].due_ms = now_ms; }
  // When expire() has something to do; 0: never.
  std::uint64_t expires_ms() const;

  // What counts of one family. Fault kNone with no address: nobody has said yet.
  const std::vector<Endpoint>& addresses(std::size_t family) const {
    return families_[family].addresses;
  }
  NameFault fault(std::size_t family) const { return families_[family].fault; }

  // IPv4 first. Port 0. Empty: see fault().
  const std::vector<Endpoint>& addresses() const { return addresses_; }
  // Why there is no answer that counts, of neither family; kNone while nobody has said.
  NameFault fault() const;
  // Nobody can be asked with success: the server says that there is no such name or address.
  bool absent() const;

 private:
  struct Family {
    std::vector<Endpoint> addresses;
    std::uint64_t good_until_ms = 0;  // of addresses: TTL
    std::uint64_t due_ms = 0;
    std::uint64_t retry_ms = 0;
    NameFault fault = NameFault::kNone;
    bool said = false;  // there was an answer, or none came
  };

  bool merge();
  bool other_is_fresh(std::size_t family, std::uint64_t now_ms) const;

  NameSettings settings_;
  std::array<Family, kFamilies> families_;
  std::vector<Endpoint> addresses_;
  bool known_absent_ = false;  // as merge() has told last
};

}  // namespace weir
