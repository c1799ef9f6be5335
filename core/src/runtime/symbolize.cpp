#include "runtime/symbolize.h"

#include <cxxabi.h>
#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string_view>

#if TREADLE_HAVE_LIBBACKTRACE
// Its header lies where only g++ looks; the interface is stable.
extern "C" {
struct backtrace_state;
using backtrace_error_callback = void (*)(void* data, const char* message, int error);
using backtrace_full_callback = int (*)(void* data, std::uintptr_t pc, const char* file, int line,
                                        const char* function);
using backtrace_syminfo_callback = void (*)(void* data, std::uintptr_t pc, const char* name,
                                            std::uintptr_t value, std::uintptr_t size);
backtrace_state* backtrace_create_state(const char* file, int threaded,
                                        backtrace_error_callback error, void* data);
int backtrace_pcinfo(backtrace_state* state, std::uintptr_t pc, backtrace_full_callback each,
                     backtrace_error_callback error, void* data);
int backtrace_syminfo(backtrace_state* state, std::uintptr_t pc, backtrace_syminfo_callback each,
                      backtrace_error_callback error, void* data);
}
#endif

namespace treadle::rt {

namespace {

constexpr std::size_t kMaxName = 512;

// _ZN7treadle3fooEv, _ZL3barv, _ZN12_GLOBAL__N_13bazEv: what is made of plain names only. False:
// there is more to it (templates, operators).
bool unmangle_simply(std::string_view mangled, char (&into)[kMaxName]) noexcept {
  if (!mangled.starts_with("_Z")) return false;
  mangled.remove_prefix(2);
  const bool nested = mangled.starts_with("N");
  if (nested) mangled.remove_prefix(1);
  std::size_t size = 0;
  do {
    while (!mangled.empty() && (mangled[0] == 'L' || mangled[0] == 'K')) mangled.remove_prefix(1);
    std::size_t n = 0;
    while (!mangled.empty() && mangled[0] >= '0' && mangled[0] <= '9') {
      n = n * 10 + static_cast<std::size_t>(mangled[0] - '0');
      mangled.remove_prefix(1);
    }
    if (n == 0 || n > mangled.size()) return false;
    std::string_view name = mangled.substr(0, n);
    mangled.remove_prefix(n);
    if (name.starts_with("_GLOBAL__N")) name = "(anonymous namespace)";
    if (size + name.size() + 5 > kMaxName) return false;
    if (size > 0) {
      std::memcpy(into + size, "::", 2);
      size += 2;
    }
    std::memcpy(into + size, name.data(), name.size());
    size += name.size();
  } while (nested && !mangled.starts_with("E"));
  if (mangled.starts_with("I")) return false;
  std::memcpy(into + size, "()", 3);
  return true;
}

// `function` as people write it, in `into` or where it is.
const char* readable(const char* function, Symbols symbols, char (&into)[kMaxName]) noexcept {
  if (!function) return "?";
  if (symbols == Symbols::pretty && function[0] == '_') {
    int status = 0;
    if (char* name = abi::__cxa_demangle(function, nullptr, nullptr, &status)) {
      std::strncpy(into, name, kMaxName - 1);
      into[kMaxName - 1] = '\0';
      std::free(name);
      return into;
    }
  }
  return unmangle_simply(function, into) ? into : function;
}

// Where treadle's own sources lie, as the compiler was told: this file's path without its name.
// Debug information may put the directory of the build in front.
constexpr std::string_view own_sources() noexcept {
  constexpr std::string_view here = __FILE__;
  return here.substr(0, here.size() - std::string_view("runtime/symbolize.cpp").size());
}

// What stands between a user's call and the end of the stack: treadle's inside, or what the C++
// runtime does to throw.
bool is_runtime(std::string_view name, const char* file) noexcept {
  if (file && std::string_view(file).find(own_sources()) != std::string_view::npos) return true;
  for (std::string_view part :
       {"treadle::rt::", "treadle_rt_", "goroutine_entry<", "std::terminate", "__cxa_", "_Unwind_"})
    if (name.starts_with(part)) return true;
  return name.find("goroutine_entry<") < name.find('(');
}
bool is_cxx_runtime(std::string_view module) noexcept {
  return module.find("libstdc++") != module.npos || module.find("libgcc_s") != module.npos;
}

struct Printer {
  TextOut& out;
  const void* pc;
  Symbols symbols;
  bool skip_runtime;
  bool found = false;    // a name was
  bool printed = false;  // it was not skipped

  void line(const char* function, const char* file, int number) noexcept {
    char name[kMaxName];
    const char* text = readable(function, symbols, name);
    found = true;
    if (skip_runtime && is_runtime(text, file)) return;
    printed = true;
    if (file)
      out.print("    %s at %s:%d\n", text, file, number);
    else
      out.print("    %s\n", text);
  }
  void line_without_name() noexcept {
    Dl_info info{};
    const bool known = ::dladdr(pc, &info) && info.dli_fname;
    if (skip_runtime && known && is_cxx_runtime(info.dli_fname)) return;
    printed = true;
    if (known)
      out.print("    %p in %s+0x%zx\n", pc, info.dli_fname,
                static_cast<std::size_t>(static_cast<const char*>(pc) -
                                         static_cast<const char*>(info.dli_fbase)));
    else
      out.print("    %p\n", pc);
  }
};

#if TREADLE_HAVE_LIBBACKTRACE

void ignore_error(void*, const char*, int) {}

// Made once and kept; two threads may both make one, and one is then lost.
backtrace_state* shared_state() noexcept {
  static constinit std::atomic<backtrace_state*> state{nullptr};
  backtrace_state* s = state.load(std::memory_order_acquire);
  if (!s) {
    s = ::backtrace_create_state(nullptr, 1, &ignore_error, nullptr);
    state.store(s, std::memory_order_release);  // pairs with the load above
  }
  return s;
}

void look_up(Printer& printer, std::uintptr_t at) noexcept {
  backtrace_state* s = shared_state();
  if (!s) return;
  ::backtrace_pcinfo(
      s, at,
      [](void* data, std::uintptr_t, const char* file, int line, const char* function) {
        if (function) static_cast<Printer*>(data)->line(function, file, line);
        return 0;
      },
      &ignore_error, &printer);
  if (printer.found) return;
  ::backtrace_syminfo(
      s, at,
      [](void* data, std::uintptr_t, const char* name, std::uintptr_t, std::uintptr_t) {
        if (name) static_cast<Printer*>(data)->line(name, nullptr, 0);
      },
      &ignore_error, &printer);
}

#else

void look_up(Printer& printer, std::uintptr_t at) noexcept {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<void*>(at), &info) && info.dli_sname)
    printer.line(info.dli_sname, nullptr, 0);
}

#endif

}  // namespace

bool print_frame(TextOut& out, const void* pc, Symbols symbols, bool skip_runtime) noexcept {
  // One at a time: each of many that come first would read all debug information, half a second
  // of it. In a signal handler the lock may be held by what was interrupted; libbacktrace itself
  // can do without.
  static constinit std::mutex one_at_a_time;  // made before anything runs, and never destroyed
  std::unique_lock hold(one_at_a_time, std::defer_lock);
  if (symbols == Symbols::pretty)
    hold.lock();
  else
    (void)hold.try_lock();
  Printer printer{out, pc, symbols, skip_runtime};
  look_up(printer, reinterpret_cast<std::uintptr_t>(pc) - 1);
  if (!printer.found) printer.line_without_name();
  return printer.printed;
}

}  // namespace treadle::rt
