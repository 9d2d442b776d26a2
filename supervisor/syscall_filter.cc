#include "supervisor/syscall_filter.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace weir {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
constexpr std::uint32_t kArchitecture = 0;  // none: the filter is not used
#endif

// Not in the headers of every system that we are built on.
constexpr std::uint32_t kProcessMadvise = 440;
constexpr std::uint32_t kMountSetattr = 442;
constexpr std::uint32_t kProcessMrelease = 448;

constexpr std::uint32_t kRefused[] = {
    // programs and other processes
    SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev,
    kProcessMadvise, kProcessMrelease, SYS_pidfd_open, SYS_pidfd_send_signal, SYS_pidfd_getfd,
    SYS_kcmp, SYS_move_pages, SYS_migrate_pages, SYS_setpriority, SYS_ioprio_set,
#if defined(__x86_64__)
    SYS_fork, SYS_vfork,
#endif
    // mounts and name spaces
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_unshare, SYS_setns, SYS_fsopen,
    SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_move_mount, SYS_open_tree, kMountSetattr,
    SYS_open_by_handle_at, SYS_fanotify_init, SYS_swapon, SYS_swapoff, SYS_quotactl, SYS_acct,
    // the kernel itself; io_uring does its calls past this filter
    SYS_bpf, SYS_perf_event_open, SYS_init_module, SYS_finit_module, SYS_delete_module,
    SYS_kexec_load, SYS_kexec_file_load, SYS_reboot, SYS_userfaultfd, SYS_io_uring_setup,
    SYS_io_uring_enter, SYS_io_uring_register, SYS_personality, SYS_remap_file_pages, SYS_syslog,
#if defined(__x86_64__)
    SYS_modify_ldt, SYS_iopl, SYS_ioperm,
#endif
    // keys, clocks, names
    SYS_keyctl, SYS_add_key, SYS_request_key, SYS_settimeofday, SYS_clock_settime,
    SYS_clock_adjtime, SYS_adjtimex, SYS_sethostname, SYS_setdomainname, SYS_vhangup};

// Their first argument is a process, or a thread: none but the caller. abort() and raise() use
// tgkill() with it.
constexpr std::uint32_t kSignals[] = {SYS_kill, SYS_tkill, SYS_tgkill, SYS_rt_sigqueueinfo,
                                      SYS_rt_tgsigqueueinfo};
// The same, and 0 stands for the caller.
constexpr std::uint32_t kSettings[] = {SYS_prlimit64,          SYS_sched_setaffinity,
                                       SYS_sched_setscheduler, SYS_sched_setparam,
                                       SYS_sched_setattr,      SYS_setpgid};
// fcntl() and ioctl() that make the kernel send signals, hold up others' opening of a file, or type
// into a terminal.
constexpr std::uint32_t kFileOrders[] = {F_SETOWN, F_SETOWN_EX, F_SETSIG, F_SETLEASE, F_NOTIFY};
constexpr std::uint32_t kDeviceOrders[] = {FIOSETOWN, SIOCSPGRP, TIOCSTI,  TIOCLINUX,
                                           TIOCSCTTY, TIOCSPGRP, TIOCCONS, TIOCVHANGUP};

// Workers get those that they need from the master.
constexpr std::uint32_t kForeignSockets[] = {AF_UNIX};

constexpr std::uint32_t kFirstX32Call = 0x40000000;  // the other numbering of x86-64
constexpr std::uint32_t kRefusal = SECCOMP_RET_ERRNO | EPERM;
constexpr std::uint32_t kUnknown = SECCOMP_RET_ERRNO | ENOSYS;

// Instructions one after the other; between the rules the accumulator holds the call's number.
class Program {
 public:
  Program() {
    load(offsetof(seccomp_data, arch));
    jump(BPF_JEQ, kArchitecture, 1, 0);
    give(kRefusal);
    load(offsetof(seccomp_data, nr));
    jump(BPF_JGE, kFirstX32Call, 0, 1);
    give(kRefusal);
  }

  void refuse(std::uint32_t call, std::uint32_t verdict = kRefusal) {
    jump(BPF_JEQ, call, 0, 1);
    give(verdict);
  }
  // The argument must be one of the values.
  void only(std::uint32_t call, unsigned argument, std::initializer_list<std::uint32_t> values) {
    begin(call, argument, values.size() + 2);
    std::size_t left = values.size();
    for (const std::uint32_t value : values) jump(BPF_JEQ, value, left--, 0);
    give(kRefusal);
    give(SECCOMP_RET_ALLOW);
  }
  // The argument must be none of them.
  template <std::size_t N>
  void none_of(std::uint32_t call, unsigned argument, const std::uint32_t (&values)[N]) {
    begin(call, argument, N + 2);
    std::size_t left = N;
    for (const std::uint32_t value : values) jump(BPF_JEQ, value, left--, 0);
    give(SECCOMP_RET_ALLOW);
    give(kRefusal);
  }
  // The argument must have the bit.
  void with_bit(std::uint32_t call, unsigned argument, std::uint32_t bit) {
    begin(call, argument, 3);
    jump(BPF_JSET, bit, 1, 0);
    give(kRefusal);
    give(SECCOMP_RET_ALLOW);
  }
  std::vector<sock_filter>& finish() {
    give(SECCOMP_RET_ALLOW);
    return code_;
  }

 private:
  // Passes over the rule if the call is another one; loads the argument. All that we judge are
  // ints to the kernel, which takes the low half (both architectures are little-endian).
  void begin(std::uint32_t call, unsigned argument, std::size_t length) {
    jump(BPF_JEQ, call, 0, length + 1);
    load(offsetof(seccomp_data, args) + argument * sizeof(std::uint64_t));
  }
  void load(std::size_t offset) {
    code_.push_back({BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<std::uint32_t>(offset)});
  }
  void jump(std::uint16_t test, std::uint32_t value, std::size_t yes, std::size_t no) {
    code_.push_back({static_cast<std::uint16_t>(BPF_JMP | BPF_K | test),
                     static_cast<std::uint8_t>(yes), static_cast<std::uint8_t>(no), value});
  }
  void give(std::uint32_t verdict) { code_.push_back({BPF_RET | BPF_K, 0, 0, verdict}); }

  std::vector<sock_filter> code_;
};

}  // namespace

Result<void> refuse_foreign_syscalls(bool to_syslog) {
  if (kArchitecture == 0) return fail("no filter of system calls for this architecture");
  const auto self = static_cast<std::uint32_t>(::getpid());
  Program program;
  for (const std::uint32_t call : kRefused) program.refuse(call);
  for (const std::uint32_t call : kSignals) program.only(call, 0, {self});
  for (const std::uint32_t call : kSettings) program.only(call, 0, {self, 0});
  if (!to_syslog) program.none_of(SYS_socket, 0, kForeignSockets);
  program.none_of(SYS_fcntl, 1, kFileOrders);
  program.none_of(SYS_ioctl, 1, kDeviceOrders);
  program.with_bit(SYS_clone, 0, CLONE_THREAD);
  // Its flags lie in memory, where a filter cannot look; the C library then uses clone().
  program.refuse(SYS_clone3, kUnknown);
  std::vector<sock_filter>& code = program.finish();
  const sock_fprog filter{static_cast<unsigned short>(code.size()), code.data()};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) != 0) {
    return fail_errno("cannot filter system calls", errno);
  }
  return {};
}

}  // namespace weir
