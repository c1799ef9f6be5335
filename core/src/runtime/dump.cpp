// Dumps. Goroutines are looked at a few at a time: held still (scan.h) while their stacks are
// collected, then let go, and printed when nothing is held any more. What may be waited for at
// length, a slow descriptor or debug information that is read, thus holds up nobody.
#include "runtime/dump.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include <treadle/dump.h>

#include "runtime/extra.h"
#include "runtime/scan.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle::rt {

namespace {

constexpr std::size_t kBatch = 8;

enum class StackState : std::uint8_t { none, walked, running, dormant, own };

// A goroutine as it was at one moment.
struct Seen {
  G* g;
  std::uint64_t id;
  GStatus status;
  WaitReason reason;
  bool detached;
  StackState stack;
  std::int64_t since;
  const void* last_entry;
  StackTrace trace;
};

const char* state_text(const Seen& s) noexcept {
  switch (s.status) {
    case GStatus::runnable: return "runnable";
    case GStatus::waiting:
    case GStatus::dormant: return wait_reason_text(s.reason);
    case GStatus::dead: return "dead";
    default: return s.detached ? "detached" : "running";
  }
}

bool waits(GStatus s) noexcept { return s == GStatus::waiting || s == GStatus::dormant; }

std::int64_t waited(const Seen& s, std::int64_t now) noexcept {
  return waits(s.status) ? std::max<std::int64_t>(now - s.since, 0) : 0;
}

// False: it has just ended.
bool look(Seen& s, GStatus status) noexcept {
  G* g = s.g;
  s.status = status;
  s.id = g->id.load(std::memory_order_relaxed);
  s.reason = g->reason.load(std::memory_order_relaxed);
  s.since = g->waiting_since.load(std::memory_order_relaxed);
  const M* m = g->m.load(std::memory_order_acquire);
  s.detached = m && (m->req.load(std::memory_order_relaxed) & kReqMask) == kReqLost;
  s.last_entry = m ? m->last_entry.load(std::memory_order_relaxed) : nullptr;
  s.stack = StackState::none;
  s.trace.frames = 0;
  return status != GStatus::idle;
}

class Dumper {
 public:
  Dumper(TextOut& out, DumpKind kind, bool stacks) noexcept
      : out_(out), kind_(kind), stacks_(stacks), now_(nanotime()), own_(own_g()) {}

  void run() noexcept {
    for_each_g([](G* g, void* self) { static_cast<Dumper*>(self)->visit(g); }, this);
    flush();
    out_.print("%zu goroutines\n", seen_);
  }

 private:
  static G* own_g() noexcept {
    M* m = getm();
    return m->foreign ? nullptr : m->curg;
  }

  void visit(G* g) noexcept {
    if (g->foreign || g->status.load(std::memory_order_acquire) == GStatus::idle) return;
    batch_[n_++].g = g;
    if (n_ == kBatch) flush();
  }

  void flush() noexcept {
    collect();
    for (std::size_t i = 0; i < n_; ++i) print(batch_[i]);
    n_ = 0;
  }

  void collect() noexcept {
    if (!stacks_) {
      for (std::size_t i = 0; i < n_; ++i)
        (void)look(batch_[i], batch_[i].g->status.load(std::memory_order_acquire));
    } else if (kind_ == DumpKind::live) {
      Entry entry;
      LockGuard hold(scan_lock);
      collect_held();
    } else {
      // Somebody may hold the lock and never let go. What a second inspector can spoil is the
      // end of the first one's hold: a goroutine may then go on under our eyes.
      const bool locked = scan_lock.try_lock();
      collect_held();
      if (locked) scan_lock.unlock();
    }
  }

  void collect_held() noexcept {
    G* gs[kBatch];
    std::size_t n = 0;
    for (std::size_t i = 0; i < n_; ++i)
      if (batch_[i].g != own_) gs[n++] = batch_[i].g;
    scan_begin({gs, n});
    std::size_t at = 0;
    for (std::size_t i = 0; i < n_; ++i) {
      Seen& s = batch_[i];
      const bool held = s.g != own_ && gs[at++] != nullptr;
      const GStatus status = s.g->status.load(std::memory_order_acquire);
      if (!look(s, status)) continue;
      if (s.g == own_) {
        s.stack = StackState::own;
        continue;
      }
      if (held) {
        walk_saved(s.g->sched.sp, s.trace);
        s.stack = StackState::walked;
      } else if (status == GStatus::dormant) {
        s.stack = StackState::dormant;
      } else if (status != GStatus::runnable) {  // whose stack, if any, is not ours to look at
        s.stack = StackState::running;
      }
    }
    scan_end({gs, n});
  }

  void print(Seen& s) noexcept {
    if (s.status == GStatus::idle) return;
    ++seen_;
    char marks[PublishedText::kSize + 1];
    extra_text(s.g, marks);
    out_.print("goroutine %llu [%s, %lld ms]%s:\n", static_cast<unsigned long long>(s.id),
               state_text(s), static_cast<long long>(waited(s, now_) / 1'000'000), marks);
    print_its_stack(s);
    const std::source_location site = s.g->site.load(std::memory_order_relaxed);
    out_.print("    created at %s:%u in %s", site.file_name(), static_cast<unsigned>(site.line()),
               site.function_name());
    if (const std::uint64_t parent = s.g->parent.load(std::memory_order_relaxed))
      out_.print(" by goroutine %llu", static_cast<unsigned long long>(parent));
    out_.write("\n");
    if (stacks_) out_.write("\n");
  }

  void print_its_stack(Seen& s) noexcept {
    switch (s.stack) {
      case StackState::none:
        if (stacks_ && s.status == GStatus::runnable)
          out_.write(s.g->was_dormant.load(std::memory_order_relaxed) ? "    about to go on\n"
                                                                      : "    not begun yet\n");
        return;
      case StackState::dormant: out_.write("    dormant: without a stack until then\n"); return;
      case StackState::own: walk_here(s.trace); break;
      case StackState::walked: break;
      case StackState::running:
        if (kind_ == DumpKind::dying && interrupt_for_stack(s.g, s.trace)) break;
        if (s.last_entry) {
          out_.write("    running; it last called treadle from:\n");
          print_frame(out_, s.last_entry, Symbols::pretty, false);
        } else {
          out_.write("    running; it has not called treadle since it went on\n");
        }
        return;
    }
    print_stack(out_, s.trace, Symbols::pretty);
  }

  TextOut& out_;
  const DumpKind kind_;
  const bool stacks_;
  const std::int64_t now_;
  G* const own_;
  std::size_t n_ = 0;
  std::size_t seen_ = 0;
  Seen batch_[kBatch];
};

}  // namespace

void dump_all(TextOut& out, DumpKind kind, bool stacks) noexcept {
  Dumper(out, kind, stacks).run();
}

void print_origin(TextOut& out, const G* g) {
  const std::source_location site = g->site.load(std::memory_order_relaxed);
  char marks[PublishedText::kSize + 1];
  extra_text(g, marks);
  out.print("goroutine %llu%s, created at %s:%u in %s",
            static_cast<unsigned long long>(g->id.load()), marks, site.file_name(),
            static_cast<unsigned>(site.line()), site.function_name());
  if (const std::uint64_t parent = g->parent.load(std::memory_order_relaxed))
    out.print(" by goroutine %llu", static_cast<unsigned long long>(parent));
  out.write("\n");
}

}  // namespace treadle::rt

namespace treadle {

void dump_goroutines(int fd, DumpOptions options) {
  rt::TextOut out(fd);
  rt::dump_all(out, rt::DumpKind::live, options.stacks);
}

void dump_goroutines(const std::function<void(std::string_view)>& out, DumpOptions options) {
  // Collected first: `out` may throw, which must not pass through the walk.
  out(goroutine_dump(options));
}

std::string goroutine_dump(DumpOptions options) {
  std::string text;
  rt::TextOut out(
      [](void* to, std::string_view piece) { static_cast<std::string*>(to)->append(piece); },
      &text);
  rt::dump_all(out, rt::DumpKind::live, options.stacks);
  return text;
}

std::vector<GoroutineInfo> goroutines() {
  std::vector<GoroutineInfo> all;
  rt::for_each_g(
      [](rt::G* g, void* arg) {
        const rt::GStatus status = g->status.load(std::memory_order_acquire);
        if (g->foreign || status == rt::GStatus::idle || status == rt::GStatus::dead) return;
        rt::Seen s;
        s.g = g;
        rt::look(s, status);
        char marks[rt::PublishedText::kSize + 1];
        rt::extra_text(g, marks);
        const bool waits = rt::waits(status);
        static_cast<std::vector<GoroutineInfo>*>(arg)->push_back(
            {.id = s.id,
             .parent = g->parent.load(std::memory_order_relaxed),
             .state = waits ? "waiting" : rt::state_text(s),
             .waits_for = waits ? rt::wait_reason_text(s.reason) : "",
             .waited = Duration(rt::waited(s, rt::nanotime())),
             .created = g->site.load(std::memory_order_relaxed),
             .marks = marks[0] == ' ' ? marks + 1 : marks});
      },
      &all);
  return all;
}

}  // namespace treadle
