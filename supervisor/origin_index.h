// OriginIndex: finds origins by who they say they are and by their RTMP endpoints. Owner: Origins.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace weir {

class OriginIndex {
 public:
  struct Keys {
    std::string server;                  // its id; empty: it has not registered
    std::vector<std::string> endpoints;  // RTMP, with names and with addresses
  };

  void add(std::uint32_t slot, const Keys& keys);
  // REQUIRES: the keys that it was added with.
  void remove(std::uint32_t slot, const Keys& keys);

  // Those with this server id.
  std::vector<std::uint32_t> of_server(const std::string& server) const;
  // kNoSlot: none.
  std::uint32_t of_endpoint(const std::string& endpoint) const;

 private:
  std::unordered_multimap<std::string, std::uint32_t> by_server_;
  std::unordered_multimap<std::string, std::uint32_t> by_endpoint_;
};

}  // namespace weir
