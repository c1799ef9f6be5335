// SingleFlight: many callers that want the same at the same time share one call.
#pragma once

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include <treadle/context.h>
#include <treadle/mutex.h>
#include <treadle/wait_group.h>

namespace treadle {

// Calls for one key, while one of them is in progress, get its outcome instead of making their own:
// a cache that was emptied sends one query to the database, not a thousand. Nothing is kept once
// the call has ended.
//
//   treadle::SingleFlight<std::string, treadle::Result<User>> users;
//   auto user = users.call(name, [&] { return load_user(name); }).value;
//
// The first caller makes the call, in its own goroutine and so under its own current Context: where
// one caller's cancellation must not fail the others, let `make` run under a Context of its own.
// Goroutines and plain threads may share one. It must not be moved, nor destroyed during a call.
template <class K, std::copy_constructible V, class Hash = std::hash<K>,
          class Equal = std::equal_to<K>>
class SingleFlight {
 public:
  struct Outcome {
    V value;
    bool shared;  // others got this value too
  };

  SingleFlight() = default;
  SingleFlight(const SingleFlight&) = delete;
  SingleFlight& operator=(const SingleFlight&) = delete;

  // What `make()` returns: this caller's, or that of whoever is calling for `key` already. An
  // exception reaches all who share the call; they get one and the same object.
  // Parks the calling G while another one's call is in progress; on a plain thread it blocks that
  // thread. `make` must not ask for the same key: it would wait for itself.
  template <std::invocable F>
  Outcome call(const K& key, F&& make) {
    return *call(key, background(), std::forward<F>(make));
  }
  // The same, but stops waiting for another one's call when `ctx` is done: then `canceled` or
  // `timed_out`, while that call goes on for the others. A call of one's own does not end by `ctx`.
  template <std::invocable F>
  [[nodiscard]] Result<Outcome> call(const K& key, const Context& ctx, F&& make) {
    const auto [flight, leads] = board(key);
    if (leads) return lead(key, flight, std::forward<F>(make));
    if (auto landed = flight->landed.wait(ctx); !landed) return fail(landed.error());
    if (flight->error) std::rethrow_exception(flight->error);
    return Outcome{*flight->value, true};
  }

  // The next call for `key` is made anew, even while one is in progress. Parks for a moment, as
  // Mutex::lock() does.
  void forget(const K& key) {
    const std::lock_guard hold(mu_);
    flights_.erase(key);
  }

 private:
  struct Flight {
    WaitGroup landed;
    std::size_t followers = 0;  // under mu_
    // Written by the leader before it lands, read by the others after.
    std::optional<V> value;
    std::exception_ptr error;
  };
  struct Boarded {
    std::shared_ptr<Flight> flight;
    bool leads;
  };

  Boarded board(const K& key) {
    const std::lock_guard hold(mu_);
    auto [at, leads] = flights_.try_emplace(key);
    if (!leads) {
      ++at->second->followers;
      return {at->second, false};
    }
    try {
      at->second = std::make_shared<Flight>();
    } catch (...) {
      flights_.erase(at);
      throw;
    }
    at->second->landed.add(1);
    return {at->second, true};
  }

  template <class F>
  Outcome lead(const K& key, const std::shared_ptr<Flight>& flight, F&& make) {
    try {
      flight->value.emplace(std::invoke(std::forward<F>(make)));
    } catch (...) {
      flight->error = std::current_exception();
      land(key, flight);
      throw;
    }
    // Only who is in the map can be joined, so the value is ours alone when nobody has by now.
    if (land(key, flight)) return {*flight->value, true};
    return {std::move(*flight->value), false};
  }

  // Whether anybody shares the flight.
  bool land(const K& key, const std::shared_ptr<Flight>& flight) {
    bool shared;
    {
      const std::lock_guard hold(mu_);
      shared = flight->followers > 0;
      if (const auto at = flights_.find(key); at != flights_.end() && at->second == flight)
        flights_.erase(at);
    }
    flight->landed.done();
    return shared;
  }

  Mutex mu_;  // protects the map, not the calls
  std::unordered_map<K, std::shared_ptr<Flight>, Hash, Equal> flights_;
};

}  // namespace treadle
