// What a goroutine has only when it asks for it: a name, labels, goroutine-local values.
//
// A G has one pointer for all of it. The GExtra is made on first use and then stays with the G for
// good, as Gs do, so that a dump may look at it at any time. Its contents belong to the goroutine
// (before it has started: to whoever starts it), and are gone when it ends. A dump reads only
// `text`, a copy in a form that it may read without a lock, from a signal handler too.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <treadle/go.h>
#include <treadle/goroutine_local.h>

#include "runtime/g.h"
#include "runtime/m.h"

namespace treadle::rt {

// A short text with one writer at a time and readers that take no lock.
//   writer: version odd (relaxed), release fence, words, version even (release)
//   reader: version (acquire), words, acquire fence, version again: differs or odd means torn
class PublishedText {
 public:
  static constexpr std::size_t kWords = 24;
  static constexpr std::size_t kSize = kWords * 8;

  void set(std::string_view text) noexcept;
  // The text's beginning, ended by a zero; empty when a writer is at it and does not end soon.
  void get(char (&into)[kSize + 1]) const noexcept;
  // Where debuggers find it.
  static constexpr std::size_t words_offset() noexcept { return offsetof(PublishedText, words_); }

 private:
  std::atomic<std::uint32_t> version_{0};
  std::atomic<std::uint64_t> words_[kWords]{};
};

struct GExtra {
  PublishedText text;  // ` "name" {key=value}`, for dumps; any thread
  // The rest is the goroutine's own.
  std::string name;
  std::shared_ptr<const Labels> labels;       // sorted by key, each key once; null: none
  std::vector<detail::LocalNode*> locals;     // by the slot's index
  detail::LocalNode* newest_local = nullptr;  // all of them, newest first
};

// The G's extra, made when there is none; null when there is no memory. Owner of the G only.
GExtra* make_extra(G* g) noexcept;
// Its labels pass to the G it starts, unless that has its own already. Inside the guard.
void inherit_extra(G* parent, G* child) noexcept;

void end_extra_slow(GExtra* x) noexcept;
// The goroutine ends: destroys its values, forgets the rest. Outside the guard: user code runs.
inline void end_extra(G* g) noexcept {
  if (GExtra* x = g->extra.load(std::memory_order_relaxed)) [[unlikely]]
    end_extra_slow(x);
}

// Goroutines started while it lives inherit no labels: the one on this M only happens to run timers
// or to poll. Inside the guard.
class HiddenLabels {
 public:
  explicit HiddenLabels(const M* m) noexcept
      : host_(m->curg),
        extra_(host_ ? host_->extra.exchange(nullptr, std::memory_order_relaxed) : nullptr) {}
  ~HiddenLabels() {
    if (extra_) host_->extra.store(extra_, std::memory_order_release);  // pairs with dumps
  }
  HiddenLabels(const HiddenLabels&) = delete;
  HiddenLabels& operator=(const HiddenLabels&) = delete;

 private:
  G* const host_;
  GExtra* const extra_;
};

// Panics on one out of range; 0 is the default.
void check_stack_size(std::size_t size);
void set_goroutine_options(G* g, GoOptions&& options);

// Makes a G what a dump prints after the state; `into` is always ended by a zero.
void extra_text(const G* g, char (&into)[PublishedText::kSize + 1]) noexcept;

}  // namespace treadle::rt
