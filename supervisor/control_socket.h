// ControlSocket: the Unix socket that weirctl speaks to (docs/API.md, "The control socket"). The
// master opens it once and keeps it over reloads; control workers inherit it and answer there. Who
// may open it, by its mode, may do everything. Owner: the master.
#pragma once

#include <string>

#include "common/base/fd.h"
#include "common/config/config.h"
#include "supervisor/worker_process.h"

namespace weir {

class ControlSocket {
 public:
  // That of the master which this one replaces (may be invalid), else a new one. One that cannot be
  // had is no reason not to serve: it is logged.
  void open(const Config& config, UniqueFd inherited, const WorkerUser& workers);
  int fd() const { return fd_.get(); }  // -1: none
  // Another master answers there from now on. If it dies, no copy of ours must make a third one
  // believe that the address is taken.
  void hand_over() { fd_.reset(); }
  // The instance ends: nobody will answer there.
  void remove();

 private:
  std::string path_;
  UniqueFd fd_;
};

}  // namespace weir
