// Exceptions that leave a goroutine. Nothing catches at a goroutine's entry and the unwinder's
// search ends there, so std::terminate() runs on the goroutine with all its frames in place.
#include <treadle/uncaught.h>

#include <cxxabi.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <exception>
#include <typeinfo>

#include <treadle/labels.h>

#include "runtime/dump.h"
#include "runtime/extra.h"
#include "runtime/random.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle {

namespace rt {

namespace {

std::terminate_handler previous = nullptr;
std::atomic<UncaughtHook> hook{nullptr};

// The exception's type, and what it says where it is a std::exception.
void print_exception(TextOut& out, const std::exception_ptr& e) {
  int status = 0;
  const std::type_info* type = abi::__cxa_current_exception_type();
  char* name = type ? abi::__cxa_demangle(type->name(), nullptr, nullptr, &status) : nullptr;
  try {
    std::rethrow_exception(e);
  } catch (const std::exception& x) {
    out.print("%s: %s\n", name ? name : "std::exception", x.what());
  } catch (...) {
    out.print("%s\n", name ? name : "of unknown type");
  }
  std::free(name);
}

void report(const G* g, const std::exception_ptr& e, const StackTrace& trace) {
  TextOut out(STDERR_FILENO);
  if (e) {
    out.write("treadle: fatal: an exception left a goroutine: ");
    print_exception(out, e);
  } else {
    out.write("treadle: fatal: std::terminate was called in a goroutine\n");
  }
  print_origin(out, g);
  print_stack(out, trace, Symbols::pretty);
  if (random_seed())
    out.print("treadle: TREADLE_SCHED_SEED=%llu\n", static_cast<unsigned long long>(random_seed()));
}

UncaughtAction ask_hook(UncaughtHook f, const G* g, std::exception_ptr e, const StackTrace& trace) {
  UncaughtException what{std::move(e),
                         g->id.load(std::memory_order_relaxed),
                         goroutine_name(),
                         g->site.load(std::memory_order_relaxed),
                         {}};
  TextOut out(
      [](void* to, std::string_view piece) { static_cast<std::string*>(to)->append(piece); },
      &what.stack);
  print_stack(out, trace, Symbols::pretty);
  return f(what);
}

// Frames and their objects are left as they are. The exception itself is freed; outer ones that
// were being handled are lost with the frames that handled them.
[[noreturn]] void end_goroutine() {
  abi::__cxa_end_catch();
  G* g = getm()->curg;
  end_extra(g);
  M* m = enter_as(false);
  *m->eh = {};
  end_current_goroutine(m);
}

[[noreturn]] void on_terminate() {
  static thread_local bool again = false;  // terminate() in here: no second report
  G* g = getm()->foreign ? nullptr : getm()->curg;
  if (g && getm()->guard.load(std::memory_order_relaxed) == 0 && !again) {
    sched.last_words.fetch_add(1, std::memory_order_release);  // pairs with end_the_world()
    StackTrace trace;
    walk_here(trace);
    std::exception_ptr e = std::current_exception();
    if (UncaughtHook f = hook.load(std::memory_order_acquire); f && e)
      if (ask_hook(f, g, e, trace) == UncaughtAction::end_goroutine) {
        e = nullptr;
        sched.last_words.fetch_sub(1, std::memory_order_release);
        end_goroutine();
      }
    again = true;
    report(g, e, trace);
    // The program's own handler may call exit(), which must not wait for itself.
    if (previous && previous != &__gnu_cxx::__verbose_terminate_handler)
      sched.last_words.fetch_sub(1, std::memory_order_release);
  }
  // libstdc++'s own would say it all again.
  if (previous && previous != &__gnu_cxx::__verbose_terminate_handler) previous();
  if (!g && previous) previous();
  std::abort();
}

}  // namespace

void install_terminate_handler() { previous = std::set_terminate(&on_terminate); }

}  // namespace rt

void set_uncaught_exception_hook(UncaughtHook hook) noexcept {
  rt::hook.store(hook, std::memory_order_release);  // pairs with on_terminate()
}

}  // namespace treadle
