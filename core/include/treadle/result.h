// Errors of treadle: expected failures are values, misuse is a panic.
//
//   treadle::Result<std::size_t> n = conn.read(buf);
//   if (!n && n.error() == treadle::Errc::timed_out) ...
#pragma once

#include <expected>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>

namespace treadle {

// The value, or the std::error_code that says why there is none. System errors keep
// std::system_category(); what treadle itself decides is an Errc.
template <class T>
using Result = std::expected<T, std::error_code>;

// What treadle itself can answer where the system has no say.
enum class Errc {
  timed_out = 1,  // a deadline passed: the descriptor's, or that of the Context in force
  canceled,       // the Context in force was cancelled
  closed,         // the object was closed locally
  eof,            // the peer ended the stream before all that was asked for had come
  invalid,        // an argument's text cannot be understood (addresses, names)
  not_found,      // a name has no address
  broken,         // the other side was dropped without a value
  lagged,         // values were overwritten before this receiver took them
};

// Never parks; any thread. The category outlives every static object.
const std::error_category& treadle_category() noexcept;

inline std::error_code make_error_code(Errc e) noexcept {
  return {static_cast<int>(e), treadle_category()};
}

inline std::unexpected<std::error_code> fail(Errc e) { return std::unexpected(make_error_code(e)); }
inline std::unexpected<std::error_code> fail(std::error_code e) { return std::unexpected(e); }
// An errno value as an error. Read errno into a local right after the call that set it: it does
// not survive a park.
inline std::unexpected<std::error_code> fail_errno(int error_number) {
  return std::unexpected(std::error_code(error_number, std::system_category()));
}

// Thrown on misuse: send on a closed channel, a negative WaitGroup, unlock of an unlocked Mutex.
// It means a bug in the program. Uncaught, it ends the process as any exception does that leaves
// a goroutine.
class Panic : public std::logic_error {
 public:
  explicit Panic(const std::string& what) : std::logic_error(what) {}
};

}  // namespace treadle

template <>
struct std::is_error_code_enum<treadle::Errc> : std::true_type {};
