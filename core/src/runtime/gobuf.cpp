#include "runtime/gobuf.h"

#include <cstring>

namespace treadle::rt {

#if defined(__x86_64__)

// The CFI lets any unwinder walk from inside a switch to whoever called it. `.cfi_undefined rip`
// at the entry says that nothing called it: an exception's search ends there, and std::terminate
// runs with the whole stack still in place.
asm(R"(
.text
.p2align 4
.globl treadle_rt_switch
.type treadle_rt_switch, @function
treadle_rt_switch:
  .cfi_startproc
  pushq %rbp
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %rbp, 0
  pushq %rbx
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %rbx, 0
  pushq %r12
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %r12, 0
  pushq %r13
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %r13, 0
  pushq %r14
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %r14, 0
  pushq %r15
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %r15, 0
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  .cfi_adjust_cfa_offset -8
  .cfi_restore %r15
  popq %r14
  .cfi_adjust_cfa_offset -8
  .cfi_restore %r14
  popq %r13
  .cfi_adjust_cfa_offset -8
  .cfi_restore %r13
  popq %r12
  .cfi_adjust_cfa_offset -8
  .cfi_restore %r12
  popq %rbx
  .cfi_adjust_cfa_offset -8
  .cfi_restore %rbx
  popq %rbp
  .cfi_adjust_cfa_offset -8
  .cfi_restore %rbp
  ret
  .cfi_endproc
.size treadle_rt_switch, .-treadle_rt_switch

.p2align 4
.globl treadle_rt_entry
.type treadle_rt_entry, @function
treadle_rt_entry:
  .cfi_startproc
  .cfi_undefined %rip
  xorl %ebp, %ebp
  call treadle_rt_goroutine_main
  ud2
  .cfi_endproc
.size treadle_rt_entry, .-treadle_rt_entry

.p2align 4
.globl treadle_rt_walk_from
.type treadle_rt_walk_from, @function
treadle_rt_walk_from:
  .cfi_startproc
  pushq %rbx
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %rbx, 0
  movq %rdi, %rbx
  movq %rdx, %rdi
  .cfi_remember_state
  .cfi_def_cfa %rbx, 56
  .cfi_offset %rip, -8
  .cfi_offset %rbp, -16
  .cfi_offset %rbx, -24
  .cfi_offset %r12, -32
  .cfi_offset %r13, -40
  .cfi_offset %r14, -48
  .cfi_offset %r15, -56
  call *%rsi
  .cfi_restore_state
  popq %rbx
  .cfi_adjust_cfa_offset -8
  .cfi_restore %rbx
  ret
  .cfi_endproc
.size treadle_rt_walk_from, .-treadle_rt_walk_from
)");

void* gobuf_prepare(std::byte* top) noexcept {
  // Six registers, then the address that `ret` takes. At the entry the stack pointer is `top`,
  // aligned to 16, as the ABI wants it before the call there.
  std::byte* sp = top - 8 * 7;
  std::memset(sp, 0, 8 * 6);
  void (*entry)() = &treadle_rt_entry;
  std::memcpy(sp + 8 * 6, &entry, sizeof entry);
  return sp;
}

const void* gobuf_return_address(const void* sp) noexcept {
  const void* address;
  std::memcpy(&address, static_cast<const std::byte*>(sp) + 8 * 6, sizeof address);
  return address;
}

#else
#error "treadle: the stack switch is written for x86-64 only so far"
#endif

}  // namespace treadle::rt
