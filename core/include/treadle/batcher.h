// Batcher: collects single values and delivers them many at a time.
//
//   treadle::Batcher<Row> rows({.max_size = 500, .max_delay = 20ms},
//                              [&](std::vector<Row> batch) { db.insert(batch); });
//   rows.add(row);       // parks while the database is behind
//   rows.close();        // delivers the rest, then returns
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <source_location>
#include <utility>
#include <vector>

#include <treadle/context.h>
#include <treadle/go.h>
#include <treadle/mutex.h>
#include <treadle/result.h>

namespace treadle {

struct BatcherOptions {
  // A batch is delivered when it has so many values, 1 or more; none has more.
  std::int64_t max_size = 100;
  // ... or when its first value has waited so long. Zero: as soon as the delivery function is free.
  // Duration::max(): never by time.
  Duration max_delay = std::chrono::milliseconds(10);
  // Values added and not delivered yet, those being delivered included, before add() waits; not
  // below max_size. 0: four times max_size.
  std::int64_t max_pending = 0;
};

namespace detail {

// When to deliver how much, without the values: the values stand in the template, added in the
// order of stored() and taken in that order.
class BatcherCore {
 public:
  explicit BatcherCore(const BatcherOptions& options);
  ~BatcherCore();
  BatcherCore(const BatcherCore&) = delete;
  BatcherCore& operator=(const BatcherCore&) = delete;

  Result<void> admit(const Context* ctx);  // room for one value, waiting for it
  bool try_admit() noexcept;
  void stored() noexcept;   // the value admitted is there
  void dropped() noexcept;  // it will not come

  // For the delivering goroutine: how many values to deliver now, waiting for the time; 0: the end.
  std::size_t next();
  void delivered(std::size_t n) noexcept;
  void ended();

  Result<void> flush(const Context* ctx);
  Result<void> close(const Context* ctx);
  std::int64_t pending() const noexcept;

 private:
  struct Impl;  // core/src/batcher.cpp
  std::unique_ptr<Impl> impl_;
};

}  // namespace detail

// All functions may be called from any goroutine or plain thread, and at the same time. The
// delivery function runs in a goroutine of the Batcher's own, one batch at a time, in the order in
// which values were added. An exception that leaves it ends the process, as one that leaves a
// goroutine does. It may add() values, but when it is full that waits for ever: use try_add()
// there.
template <class T>
class Batcher {
 public:
  using Deliver = std::function<void(std::vector<T>)>;

  // Starts the delivering goroutine. Values out of range, and an empty function, panic. Never
  // parks.
  Batcher(const BatcherOptions& options, Deliver deliver,
          std::source_location site = std::source_location::current())
      : state_(std::make_shared<State>(options, std::move(deliver))) {
    go([state = state_] { state->run(); }, site);
  }
  // close()s. Parks as that does.
  ~Batcher() { close(); }
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  // Adds `v`, waiting for room while max_pending values are under way. Errors: `closed`.
  // Parks the calling G; on a plain thread it blocks that thread.
  Result<void> add(T v) { return add_until(std::move(v), nullptr); }
  // The same, unless `ctx` is done first: then `canceled` or `timed_out`. Room that is there counts
  // before the context.
  Result<void> add(T v, const Context& ctx) { return add_until(std::move(v), &ctx); }
  // Adds `v` only if there is room now. False: it is full or closed, and `v` is as it was.
  // Does not wait for room, but may park for a moment while another value is stored.
  [[nodiscard]] bool try_add(T&& v) {
    if (!state_->core.try_admit()) return false;
    state_->store(std::move(v));
    return true;
  }

  // Delivers what was added before this call, and returns when that has been done. Panics when
  // called from the delivery function.
  // Parks the calling G; on a plain thread it blocks that thread.
  void flush() { (void)state_->core.flush(nullptr); }
  // The same, but stops waiting when `ctx` is done: then `canceled` or `timed_out`.
  Result<void> flush(const Context& ctx) { return state_->core.flush(&ctx); }
  // No more values: those who wait in add() get `closed`. Delivers what is there, and returns when
  // that has been done. Idempotent; panics when called from the delivery function.
  // Parks the calling G; on a plain thread it blocks that thread.
  void close() { (void)state_->core.close(nullptr); }
  // The same, but stops waiting when `ctx` is done: then `canceled` or `timed_out`; delivery goes
  // on.
  Result<void> close(const Context& ctx) { return state_->core.close(&ctx); }

  // Values added and not delivered yet. Never parks.
  std::int64_t pending() const noexcept { return state_->core.pending(); }

 private:
  struct State {
    State(const BatcherOptions& options, Deliver f) : core(options), deliver(std::move(f)) {
      if (!deliver) throw Panic("treadle::Batcher: an empty delivery function");
    }
    void store(T v) {
      const std::lock_guard hold(mutex);
      try {
        values.push_back(std::move(v));
      } catch (...) {
        core.dropped();
        throw;
      }
      core.stored();  // under the mutex: the values' order is that of the count
    }
    void run() {
      while (const std::size_t n = core.next()) {
        std::vector<T> batch;
        batch.reserve(n);
        {
          const std::lock_guard hold(mutex);
          const auto end = values.begin() + static_cast<std::ptrdiff_t>(n);
          std::move(values.begin(), end, std::back_inserter(batch));
          values.erase(values.begin(), end);
        }
        deliver(std::move(batch));
        core.delivered(n);
      }
      deliver = nullptr;  // what it captured is gone when close() returns
      core.ended();
    }

    detail::BatcherCore core;
    Deliver deliver;
    Mutex mutex;  // protects values
    std::deque<T> values;
  };

  Result<void> add_until(T v, const Context* ctx) {
    if (auto r = state_->core.admit(ctx); !r) return r;
    state_->store(std::move(v));
    return {};
  }

  std::shared_ptr<State> state_;
};

}  // namespace treadle
