#include "repeated_head.h"

#include <atomic>
#include <bit>
#include <cstdint>

#include "byte_vectors.h"

namespace treadle::http {
namespace {

// Longer ones are not worth the memory, which an Exchange keeps.
constexpr std::size_t kMost = 1024;
// The shortest head there is: "GET / HTTP/1.0\r\n\r\n".
constexpr std::size_t kLeast = 18;
static_assert(kLeast >= sizeof(Bytes16));

// The next number. Relaxed: it has to be unique, and says nothing else.
std::atomic<std::uint64_t> next_memo{1};

// In a time that depends on the size only.
bool equal(std::string_view a, std::string_view b) noexcept {
  constexpr std::size_t kStep = sizeof(Bytes16);
  Bytes16 difference{};
  for (std::size_t i = 0; i + kStep <= a.size(); i += kStep)
    difference |= load16(a.data() + i) ^ load16(b.data() + i);
  // The last sixteen, some of them for the second time.
  const std::size_t last = a.size() - kStep;
  difference |= load16(a.data() + last) ^ load16(b.data() + last);
  return !any(difference);
}

// The same bytes at another place.
class Mover {
 public:
  Mover(std::string_view from, const char* to) noexcept : from_(from), to_(to) {}
  std::string_view operator()(std::string_view view) const noexcept {
    const std::size_t offset = address(view.data()) - address(from_.data());
    if (offset > from_.size()) return view;  // a name of our own, or nothing
    return {to_ + offset, view.size()};
  }

 private:
  static std::uintptr_t address(const char* p) noexcept { return std::bit_cast<std::uintptr_t>(p); }
  std::string_view from_;
  const char* to_;
};

void move_views(RequestHead& head, std::string_view from, const char* to) noexcept {
  const Mover moved(from, to);
  for (std::string_view* view : {&head.method, &head.target, &head.path, &head.query, &head.host})
    *view = moved(*view);
  for (HeaderField& field : head.headers) field = {moved(field.name), moved(field.value)};
}

}  // namespace

bool RepeatedHead::recall(std::string_view bytes, const ParserLimits& limits,
                          RequestHead& head) const {
  if (text_.empty() || bytes.size() < text_.size() || limits != limits_) return false;
  if (!equal(text_, bytes.substr(0, text_.size()))) return false;
  if (head.memo != head_.memo) head = head_;
  return true;
}

void RepeatedHead::note(std::string_view bytes, const ParserLimits& limits,
                        const RequestHead& head) {
  const bool again = bytes.size() == last_size_;
  last_size_ = bytes.size();
  if (!again || bytes.size() < kLeast || bytes.size() > kMost || head.body == BodyKind::chunked)
    return;
  text_.clear();  // nothing is remembered should memory run out
  head_ = head;
  head_.memo = next_memo.fetch_add(1, std::memory_order_relaxed);
  std::string text(bytes);
  move_views(head_, bytes, text.data());
  limits_ = limits;
  text_.swap(text);
}

}  // namespace treadle::http
