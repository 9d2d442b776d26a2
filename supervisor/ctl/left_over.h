// What a service leaves behind when its master was killed, or gave its sessions more time than the
// service manager gives it: workers and old programs that still carry sessions. The unit's
// ExecStopPost ends them, in order, when the service was told to stop; after a crash they go on.
#pragma once

namespace weir::ctl {

// Every other process of our own control group: SIGTERM, which ends the sessions and tells hooks;
// SIGKILL to what is left some seconds later. Does nothing unless $SERVICE_RESULT, which systemd
// sets for ExecStopPost, says that the stop was asked for. False: it could not be done.
bool end_left_over_processes();

}  // namespace weir::ctl
