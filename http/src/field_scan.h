// Finds the end of a section of field lines, and refuses what llhttp lets pass in one.
#pragma once

#include <cstddef>
#include <string_view>

#include "parser.h"

namespace treadle::http {

// Scans field lines up to the empty line that ends them, each byte once however they come in
// pieces: it remembers how far it got. Used for heads, behind the request line, and for trailers.
//
// Whatever the pieces, the verdict is that of the shortest prefix that deserves one: size and
// number of fields first, then each line as it becomes complete. Therefore a peer cannot have one
// request judged in two ways by choosing its packets.
class FieldScan {
 public:
  struct Result {
    ParseStatus status = ParseStatus::need_more;
    std::size_t size = 0;  // for complete: of the section, its empty line included
    ParseError error;
  };

  void reset() noexcept { *this = FieldScan{}; }

  // `bytes` begins at the first field line on every call. More than `max_bytes` or `max_fields` is
  // a 431.
  Result scan(std::string_view bytes, std::size_t max_bytes, std::size_t max_fields) noexcept;

  std::size_t fields() const noexcept { return fields_; }

 private:
  std::size_t line_ = 0;      // where the line begins whose end is being looked for
  std::size_t searched_ = 0;  // no LF from line_ to here
  std::size_t fields_ = 0;
};

}  // namespace treadle::http
