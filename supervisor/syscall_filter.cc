#include "supervisor/syscall_filter.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace weir {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
constexpr std::uint32_t kArchitecture = 0;  // none: the filter is not used
#endif

constexpr std::array<std::uint32_t, 28> kRefused = {SYS_execve,
                                                    SYS_execveat,
                                                    SYS_ptrace,
                                                    SYS_process_vm_readv,
                                                    SYS_process_vm_writev,
                                                    SYS_mount,
                                                    SYS_umount2,
                                                    SYS_pivot_root,
                                                    SYS_chroot,
                                                    SYS_unshare,
                                                    SYS_setns,
                                                    SYS_bpf,
                                                    SYS_perf_event_open,
                                                    SYS_init_module,
                                                    SYS_finit_module,
                                                    SYS_delete_module,
                                                    SYS_kexec_load,
                                                    SYS_keyctl,
                                                    SYS_add_key,
                                                    SYS_request_key,
                                                    SYS_reboot,
                                                    SYS_swapon,
                                                    SYS_swapoff,
                                                    SYS_userfaultfd,
                                                    SYS_open_by_handle_at,
                                                    SYS_personality,
                                                    SYS_acct,
                                                    SYS_quotactl};

constexpr std::uint32_t kFirstX32Call = 0x40000000;  // the other numbering of x86-64

constexpr sock_filter statement(std::uint16_t code, std::uint32_t value) {
  return {code, 0, 0, value};
}
constexpr sock_filter jump(std::uint16_t code, std::uint32_t value, std::size_t yes,
                           std::size_t no) {
  return {code, static_cast<std::uint8_t>(yes), static_cast<std::uint8_t>(no), value};
}

constexpr std::uint32_t kRefusal = SECCOMP_RET_ERRNO | EPERM;

// Load the architecture, load the number, compare with each, allow, refuse.
constexpr std::size_t kHead = 4;
constexpr std::size_t kLength = kHead + kRefused.size() + 2;

constexpr std::array<sock_filter, kLength> make_program() {
  std::array<sock_filter, kLength> program{};
  constexpr std::size_t kRefuse = kLength - 1;
  const auto to_refusal = [](std::size_t at) { return kRefuse - at - 1; };
  program[0] = statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch));
  program[1] = jump(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 0, to_refusal(1));
  program[2] = statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
  program[3] = jump(BPF_JMP | BPF_JGE | BPF_K, kFirstX32Call, to_refusal(3), 0);
  for (std::size_t i = 0; i < kRefused.size(); ++i) {
    program[kHead + i] = jump(BPF_JMP | BPF_JEQ | BPF_K, kRefused[i], to_refusal(kHead + i), 0);
  }
  program[kLength - 2] = statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  program[kRefuse] = statement(BPF_RET | BPF_K, kRefusal);
  return program;
}

}  // namespace

Result<void> refuse_foreign_syscalls() {
  if (kArchitecture == 0) return fail("no filter of system calls for this architecture");
  std::array<sock_filter, kLength> instructions = make_program();
  const sock_fprog program{kLength, instructions.data()};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0) {
    return fail_errno("cannot filter system calls", errno);
  }
  return {};
}

}  // namespace weir
