// Pool: idle objects kept for the next one who needs such an object, a few for each P.
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <utility>

namespace treadle {

namespace detail {

// The idle objects of a Pool, as untyped pointers; see pool.cpp.
class PoolCore {
 public:
  explicit PoolCore(std::size_t max_idle);
  ~PoolCore();
  PoolCore(const PoolCore&) = delete;
  PoolCore& operator=(const PoolCore&) = delete;

  // An idle object; null when none was found.
  void* take() noexcept;
  // Keeps `object`; false when there are enough.
  bool give(void* object);
  // An idle object that any thread may take, or, with nobody using the pool any more, of all that
  // are left; null when there is none.
  void* take_shared() noexcept;
  void* take_any() noexcept;

 private:
  struct Shard;
  struct Shards;
  Shards& shards();

  const std::size_t max_idle_;
  std::atomic<Shards*> shards_{nullptr};  // made on first use; release, acquire by users
};

}  // namespace detail

// Saves making and destroying objects that are needed again and again, such as buffers.
//
//   treadle::Pool<Buffer> buffers([] { return std::make_unique<Buffer>(64 << 10); });
//   auto buffer = buffers.get();    // goes back by itself
//   buffer->clear();                // it is as its last user left it
//
// get() and put() in turn on one P cost no atomic operation. When a P has none left it takes from
// the others. Each P keeps a bounded number; what comes back beyond that is destroyed. What is kept
// is of no use but speed: nothing may depend on whether get() finds an old object or makes one.
// Goroutines and plain threads may share one. It must not be moved, and must outlive its handles;
// the idle objects end with it.
template <class T>
class Pool {
  struct GiveBack {
    Pool* pool;
    void operator()(T* object) const { pool->put(std::unique_ptr<T>(object)); }
  };

 public:
  // Owns an object and gives it back; release() keeps it out of the pool.
  using Handle = std::unique_ptr<T, GiveBack>;
  static constexpr std::size_t kMaxIdle = 64;

  // `make` makes an object when none is idle; any goroutine may call it. Up to `max_idle` idle
  // objects are kept for each P, and one more that only that P can take. Panics when it is zero or
  // above 65,536.
  explicit Pool(std::function<std::unique_ptr<T>()> make, std::size_t max_idle = kMaxIdle)
      : make_(std::move(make)), core_(max_idle) {}
  explicit Pool(std::size_t max_idle = kMaxIdle)
    requires std::default_initializable<T>
      : Pool([] { return std::make_unique<T>(); }, max_idle) {}
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() {
    while (void* object = core_.take_any()) destroy(object);
  }

  // An idle object, or a new one. Never parks, unless `make` does; any thread. What `make` throws
  // comes out.
  Handle get() {
    if (void* object = core_.take()) return Handle(static_cast<T*>(object), GiveBack{this});
    return Handle(make_().release(), GiveBack{this});
  }
  // Gives the pool an object, whoever made it; null does nothing. Never parks; any thread.
  void put(std::unique_ptr<T> object) {
    if (object && core_.give(object.get())) (void)object.release();
  }
  // Destroys the idle objects, but for one of each P. Never parks; any thread.
  void trim() {
    while (void* object = core_.take_shared()) destroy(object);
  }

 private:
  static void destroy(void* object) { delete static_cast<T*>(object); }

  std::function<std::unique_ptr<T>()> make_;
  detail::PoolCore core_;
};

}  // namespace treadle
