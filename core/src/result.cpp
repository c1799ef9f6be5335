// The error category of treadle.
#include <treadle/result.h>

namespace treadle {
namespace {

class Category final : public std::error_category {
 public:
  constexpr Category() noexcept = default;

  const char* name() const noexcept override { return "treadle"; }

  std::string message(int value) const override {
    switch (static_cast<Errc>(value)) {
      case Errc::timed_out: return "timed out";
      case Errc::canceled: return "canceled";
      case Errc::closed: return "closed";
      case Errc::eof: return "unexpected end of the stream";
      case Errc::invalid: return "invalid argument";
      case Errc::not_found: return "not found";
      case Errc::broken: return "dropped without a value";
      case Errc::lagged: return "values missed";
    }
    return "unknown error " + std::to_string(value);
  }

  // What has a portable name compares equal to it, so that `error == std::errc::timed_out` holds
  // for our own deadline and for the system's ETIMEDOUT alike. The last four have none.
  std::error_condition default_error_condition(int value) const noexcept override {
    switch (static_cast<Errc>(value)) {
      case Errc::timed_out: return std::errc::timed_out;
      case Errc::canceled: return std::errc::operation_canceled;
      case Errc::closed: return std::errc::bad_file_descriptor;
      case Errc::invalid: return std::errc::invalid_argument;
      case Errc::eof:
      case Errc::not_found:
      case Errc::broken:
      case Errc::lagged: break;
    }
    return {value, *this};
  }
};

// Never destroyed: an error may be compared or printed by the last static destructor.
union Immortal {
  constexpr Immortal() noexcept : category() {}
  ~Immortal() {}
  Category category;
};
constinit Immortal immortal;

}  // namespace

const std::error_category& treadle_category() noexcept { return immortal.category; }

}  // namespace treadle
