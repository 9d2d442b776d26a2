// The decisions of the WebRTC worker as pure functions and tables of fixed size: what a STUN
// message is for, when a client's media moves to another address, who gets an answer of the STUN
// server. No I/O, no clock, no allocation after construction. docs/UDP.md, "Addresses of a client".
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/endpoint.h"
#include "common/base/hash.h"
#include "common/proto/rtc/stun.h"

namespace weir::rtc {

// What a client's STUN message is for.
enum class StunUse : std::uint8_t {
  kMalformed,
  kCheck,  // a request of ICE: it has a USERNAME, and must be proven before it is believed
  kPlain,  // a binding request without credentials: for a STUN server
  kOther,  // responses and indications: passed on if the address is known
};
StunUse classify_stun(ByteView packet, StunMessage& out);

// A number for one way of packets: the client's address and the local one. 0 never comes out.
std::uint32_t path_tag(HashSeed seed, const Endpoint& client, const Endpoint& local);

// Recent requests and the ways that they came by. Tells where their answers go (ICE checks several
// ways at once), and that a request is a replay: the same transaction from elsewhere. Old entries
// give way to new ones; a false "new" leaves what STUN alone has, a false answer is not possible
// but for colliding 64-bit keyed hashes.
class TransactionTable {
 public:
  explicit TransactionTable(HashSeed seed);

  enum class Seen : std::uint8_t { kNew, kAgain, kElsewhere };
  // Where a request came from, and the socket that it came by.
  struct From {
    Endpoint client;
    Endpoint local;
    std::uint16_t socket = 0;
    bool tcp = false;
  };
  Seen note(const StunTransaction& transaction, std::uint32_t tag, const From& from);
  // Null: unknown. Lives until the next note().
  const From* from_of(const StunTransaction& transaction) const;

 private:
  struct Entry {
    std::uint64_t id = 0;
    std::uint32_t tag = 0;
    From from;
  };
  std::uint64_t id_of(const StunTransaction& transaction) const;

  HashSeed seed_;
  std::vector<Entry> entries_;
};

// Whether a proven request is the second one of its session from its way within a while. ICE agents
// check spare ways once in a while and the one that they use again and again.
class ProofMemory {
 public:
  ProofMemory();
  // `slot` and `generation` are those of the session.
  bool repeated(std::uint32_t slot, std::uint32_t generation, std::uint32_t tag,
                std::uint64_t now_ms);

 private:
  struct Entry {
    std::uint32_t slot = 0, generation = 0, tag = 0;
    std::uint64_t at_ms = 0;
  };
  std::vector<Entry> entries_;
};

// What a proven request of a session that is not here gives the right to.
struct ClaimQuestion {
  bool fresh = false;         // its transaction is a new one
  bool has_client = false;    // the session table has an address of the client
  bool same_client = false;   // that one
  bool owned = false;         // a worker serves the session
  bool by_tcp = false;        // the request has come over TCP
  bool recorded_tcp = false;  // so does the media
  bool young = false;         // signalled a moment ago: ICE tries all ways
};
enum class Claim : std::uint8_t {
  kNone,
  kOwner,   // the session comes here, the media stays where it goes
  kClient,  // the media as well
};
Claim decide_claim(const ClaimQuestion& question);
inline constexpr std::uint64_t kYoungMs = 10000;

// Sessions that are claimed for a spare way go to and fro when the client uses its ways in turn:
// not more often than this allows.
class ClaimPace {
 public:
  ClaimPace();
  bool take(std::uint32_t slot, std::uint32_t generation, std::uint64_t now_ms);

 private:
  struct Entry {
    std::uint32_t generation = 0;
    std::uint64_t at_ms = 0;
  };
  std::vector<Entry> entries_;
};

// What is known when a proven request has come by a way that is not the one of the media.
struct MoveQuestion {
  bool has_client = false;     // there is a way of the media already
  bool same_host = false;      // it has the same IP address: a NAT has given another port
  bool use_candidate = false;  // the client nominates this way (RFC 8445, 8.1.1)
  bool repeated = false;       // ProofMemory
  bool followed = false;       // more than requests has come by this way
  bool media_seen = false;     // more than STUN has come from the client, by whatever way
  std::uint64_t quiet_ms = 0;  // since the last packet of the present way
};
// Neither a captured request that is sent again from elsewhere nor a check of a spare way may draw
// the media away: the client must mean it, and be silent where it was. A client behind a NAT that
// gave it another port is the likely one, so it waits for less.
inline constexpr std::uint64_t kQuietMs = 1000;
inline constexpr std::uint64_t kQuietSameHostMs = 300;
bool may_move(const MoveQuestion& question);

// Who gets an answer of the STUN server: never more bytes to an address than came from it, a few
// answers a second and address, so many in all. An address that asks again, as STUN does, has saved
// enough for an answer that is longer than one request.
class StunBudget {
 public:
  StunBudget();
  bool take(std::uint32_t tag, std::size_t request_bytes, std::size_t answer_bytes,
            std::uint64_t now_ms);

 private:
  struct Entry {
    std::uint32_t tag = 0;
    std::uint32_t answers = 0;  // in this second
    std::uint64_t credit = 0;
    std::uint64_t second = 0;
  };
  std::vector<Entry> entries_;
  std::uint64_t second_ = 0;
  std::uint32_t answers_ = 0;  // in this second, in all
};

}  // namespace weir::rtc
