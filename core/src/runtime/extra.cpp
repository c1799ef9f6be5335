#include "runtime/extra.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>

#include <treadle/labels.h>
#include <treadle/result.h>

#include "runtime/note.h"
#include "runtime/sched.h"
#include "runtime/syscall.h"

namespace treadle::rt {

namespace {

// A value whose destructor makes others of its kind without end must not keep the goroutine.
constexpr int kMostLateLocals = 10'000;

void append_clean(std::string& to, std::string_view from) {
  for (char c : from) {
    const auto byte = static_cast<unsigned char>(c);
    to += byte < 0x20 || byte == 0x7F ? '?' : c;
  }
}

void publish(GExtra* x) {
  std::string text;
  if (!x->name.empty()) {
    text += " \"";
    append_clean(text, x->name);
    text += '"';
  }
  if (x->labels) {
    const char* before = " {";
    for (const auto& [key, value] : *x->labels) {
      text += before;
      append_clean(text, key);
      text += '=';
      append_clean(text, value);
      before = ", ";
    }
    text += '}';
  }
  if (text.size() > PublishedText::kSize) text.replace(PublishedText::kSize - 3, text.npos, "...");
  x->text.set(text);
}

GExtra* need_extra(G* g) {
  GExtra* x = make_extra(g);
  if (!x) throw std::bad_alloc();
  return x;
}

// The labels of `base` with `added`, in one sorted set; null when it is empty.
std::shared_ptr<const Labels> merge(const Labels* base, Labels&& added) {
  Labels all;
  if (base) all = *base;
  for (auto& [key, value] : added) {
    auto at = std::lower_bound(all.begin(), all.end(), key,
                               [](const auto& l, const std::string& k) { return l.first < k; });
    if (at != all.end() && at->first == key)
      at->second = std::move(value);
    else
      all.emplace(at, std::move(key), std::move(value));
  }
  if (all.empty()) return nullptr;
  return std::make_shared<const Labels>(std::move(all));
}

}  // namespace

void PublishedText::set(std::string_view text) noexcept {
  const std::uint32_t v = version_.load(std::memory_order_relaxed);
  version_.store(v + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);  // pairs with the reader's acquire fence
  for (std::size_t i = 0; i < kWords; ++i) {
    std::uint64_t word = 0;
    if (i * 8 < text.size())
      std::memcpy(&word, &text[i * 8], std::min<std::size_t>(8, text.size() - i * 8));
    words_[i].store(word, std::memory_order_relaxed);
  }
  version_.store(v + 2, std::memory_order_release);  // pairs with the reader's first load
}

void PublishedText::get(char (&into)[kSize + 1]) const noexcept {
  for (int tries = 0; tries < 100; ++tries) {
    const std::uint32_t v = version_.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < kWords; ++i) {
      const std::uint64_t word = words_[i].load(std::memory_order_relaxed);
      std::memcpy(&into[i * 8], &word, 8);
    }
    into[kSize] = '\0';
    std::atomic_thread_fence(std::memory_order_acquire);  // pairs with the writer's release fence
    if (v % 2 == 0 && version_.load(std::memory_order_relaxed) == v) return;
    cpu_relax();
  }
  into[0] = '\0';
}

GExtra* make_extra(G* g) noexcept {
  GExtra* x = g->extra.load(std::memory_order_relaxed);
  if (!x) {
    x = new (std::nothrow) GExtra;
    g->extra.store(x, std::memory_order_release);  // pairs with extra_text()
  }
  return x;
}

void inherit_extra(G* parent, G* child) noexcept {
  child->parent.store(parent ? parent->id.load(std::memory_order_relaxed) : 0,
                      std::memory_order_relaxed);
  GExtra* from = parent ? parent->extra.load(std::memory_order_relaxed) : nullptr;
  if (!from || !from->labels) return;
  GExtra* to = make_extra(child);
  if (!to || to->labels) return;
  to->labels = from->labels;
  if (to->name.empty() && from->name.empty()) {
    char text[PublishedText::kSize + 1];
    from->text.get(text);
    to->text.set(text);
    return;
  }
  try {
    publish(to);
  } catch (const std::bad_alloc&) {
    // The labels are there; only dumps do not show them.
  }
}

void end_extra_slow(GExtra* x) noexcept {
  for (int n = 0; x->newest_local && n < kMostLateLocals; ++n) {
    detail::LocalNode* node = x->newest_local;
    x->newest_local = node->older;
    if (x->locals[node->index] == node) x->locals[node->index] = nullptr;
    node->destroy(node);
  }
  x->newest_local = nullptr;
  x->locals.clear();
  if (!x->name.empty() || x->labels) {
    x->name.clear();
    x->labels.reset();
    x->text.set({});
  }
}

void check_stack_size(std::size_t size) {
  if (size != 0 && (size < kMinStack || size > kMaxStack))
    throw Panic(fmt::format(
        "treadle: a goroutine's stack_size = {}: must be {} to {}, or 0 for the default", size,
        kMinStack, kMaxStack));
}

void set_goroutine_options(G* g, GoOptions&& options) {
  if (options.name.empty() && options.labels.empty()) return;
  GExtra* x = need_extra(g);
  x->name = std::move(options.name);
  if (!options.labels.empty()) {
    G* parent = getm()->curg;
    GExtra* from = parent ? parent->extra.load(std::memory_order_relaxed) : nullptr;
    x->labels = merge(from ? from->labels.get() : nullptr, std::move(options.labels));
  }
  publish(x);
}

void extra_text(const G* g, char (&into)[PublishedText::kSize + 1]) noexcept {
  const GExtra* x = g->extra.load(std::memory_order_acquire);  // pairs with make_extra()
  if (x)
    x->text.get(into);
  else
    into[0] = '\0';
}

}  // namespace treadle::rt

namespace treadle {

namespace {

// The G that the calling code runs on, which stands for the thread when that is a plain one.
rt::G* current_g() noexcept {
  rt::Entry entry;  // makes a plain thread's, the first time
  return entry.m()->curg;
}

rt::GExtra* current_extra() noexcept {
  rt::G* g = rt::getm()->curg;
  return g ? g->extra.load(std::memory_order_relaxed) : nullptr;
}

}  // namespace

void set_goroutine_name(std::string_view name) {
  if (name.empty() && !current_extra()) return;
  rt::GExtra* x = rt::need_extra(current_g());
  x->name = name;
  rt::publish(x);
}

std::string goroutine_name() {
  const rt::GExtra* x = current_extra();
  return x ? x->name : std::string();
}

Labels goroutine_labels() {
  const rt::GExtra* x = current_extra();
  return x && x->labels ? *x->labels : Labels();
}

std::string goroutine_label(std::string_view key) {
  if (const rt::GExtra* x = current_extra(); x && x->labels)
    for (const auto& [k, value] : *x->labels)
      if (k == key) return value;
  return {};
}

void set_goroutine_labels(Labels labels) {
  if (labels.empty() && !current_extra()) return;
  rt::GExtra* x = rt::need_extra(current_g());
  x->labels = rt::merge(nullptr, std::move(labels));
  rt::publish(x);
}

LabelScope::LabelScope(Labels labels) {
  rt::GExtra* x = rt::need_extra(current_g());
  previous_ = x->labels;
  x->labels = rt::merge(previous_.get(), std::move(labels));
  rt::publish(x);
}

LabelScope::~LabelScope() {
  rt::GExtra* x = current_extra();
  x->labels = std::move(previous_);
  try {
    rt::publish(x);
  } catch (const std::bad_alloc&) {
    // Only dumps show them a while longer.
  }
}

}  // namespace treadle
