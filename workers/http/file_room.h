// FileRoom: GET and HEAD of regular files below http.static_files; every other request is for the
// next room of the port. Owner: HttpWorker.
#pragma once

#include <cstdint>
#include <string>

#include "workers/core/http_room.h"
#include "workers/core/http_server.h"
#include "workers/http/static_files.h"

namespace weir::http {

class FileRoom : public Room {
 public:
  FileRoom(Server& server, const std::string& directory) : server_(server), files_(directory) {}

  bool begin(std::uint32_t index, const RequestHead& head, Exchange& basics) override;
  void serve(std::uint32_t index, bool& progress) override;

 private:
  struct FileExchange;

  void redirect(std::uint32_t index, const RequestHead& head, const std::string& to);
  void send(std::uint32_t index, const RequestHead& head, StaticFile&& file);

  Server& server_;
  StaticFiles files_;
};

}  // namespace weir::http
