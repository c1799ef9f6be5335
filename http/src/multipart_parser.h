// The parser of multipart bodies (RFC 2046 5.1): a pure function over bytes, which come in pieces
// of any size. No I/O, no clock; it keeps at most one part's head.
//
// Grammar, with what is refused besides what RFC 2046 forbids, and why:
//
//   body      = [preamble CRLF] "--" boundary (delimiter tail | close) ...
//   delimiter = CRLF "--" boundary *(SP / HTAB) CRLF
//   close     = CRLF "--" boundary "--" *(SP / HTAB) [CRLF epilogue]
//
// - A line that begins as a delimiter and goes on otherwise. RFC 2046 calls it a delimiter, some
//   parsers take it as data: whoever filters what we are sent would see other parts than we do.
// - Bare LF as a line's end, in heads and delimiter lines. Go takes it where the first line has it;
//   no browser and no library that we know sends it, and parsers differ about it.
// - Folded lines, names that are no tokens and control characters in a head.
// - Preambles and epilogues of more than kMaxPadding bytes: nobody needs either.
//
// A part that is multipart itself is data. Its delimiters are no concern of ours unless its
// boundary begins with the outer one, which RFC 2046 forbids.
//
// Work is linear in the input whatever it holds. CR stands in a delimiter only as its first byte,
// so a match that fails can begin anew at the failing byte and nowhere before it. What was held
// back of a match that fails in a later piece is the delimiter's own text, so nothing of the input
// is kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <treadle/http/header.h>

namespace treadle::http {

// RFC 2046 5.1.1: 1 to 70 of its characters, the last one no space.
bool is_multipart_boundary(std::string_view text) noexcept;

struct MultipartLimits {
  std::size_t part_head = 8 * 1024;  // bytes, its line ends included
  std::size_t fields = 32;           // of one part's head
};

enum class MultipartError : std::uint8_t {
  none,
  bad_delimiter,   // a line begins as a delimiter and is none
  bad_head,        // a part's head breaks the format
  head_too_large,  // beyond MultipartLimits
  padding,         // too much before the first delimiter or behind the last
  ended_early,     // the input ended before the closing delimiter
};

// Gives parts one after another:
//
//   MultipartParser p(boundary, limits);
//   for each piece, until it is empty:
//     MultipartParser::Step s = p.next(piece);
//     piece.remove_prefix(s.consumed);
//   at the end of the input:
//     p.finish()
//
// Steps come as part, any number of data, part_end, part... and none in between; an error sticks.
class MultipartParser {
 public:
  static constexpr std::size_t kMaxPadding = 1024;

  enum class Event : std::uint8_t {
    none,      // nothing to tell
    part,      // a part begins: headers()
    data,      // some bytes of it, at least one
    part_end,  // it is complete
    error,     // error()
  };
  struct Step {
    Event event = Event::none;
    std::size_t consumed = 0;
    std::string_view data;  // into the input, or the parser; until the next call
  };

  // The boundary must be valid.
  MultipartParser(std::string_view boundary, const MultipartLimits& limits);

  Step next(std::string_view bytes);
  // The input has ended: none, or why that is too early.
  MultipartError finish() noexcept;

  // The current part's head; until the next part begins.
  HeaderView headers() const noexcept { return HeaderView(fields_); }
  // The closing delimiter has been seen; only an epilogue may follow.
  bool closed() const noexcept { return state_ == State::epilogue; }
  MultipartError error() const noexcept { return error_; }

  // How often a byte has been looked at, for tests that show that work is linear.
  std::uint64_t work() const noexcept { return work_; }

 private:
  enum class State : std::uint8_t {
    preamble,    // before the first delimiter
    delimiter,   // right behind "--boundary"
    dash,        // behind "--boundary-"
    tail,        // white space behind a delimiter
    tail_cr,     // and its CR
    close_tail,  // white space behind the closing delimiter
    close_cr,    // and its CR
    head,        // in a part's head
    body,        // in a part's data
    epilogue,    // behind the closing delimiter's line
    failed,
  };

  Step search(std::string_view bytes);
  Step go_on_matching(std::string_view bytes);
  std::size_t match(std::string_view bytes) noexcept;
  Step plain(std::string_view bytes) noexcept;
  Step found(std::size_t consumed) noexcept;
  Step read_delimiter_line(std::string_view bytes);
  Step read_head(std::string_view bytes);
  Step read_epilogue(std::string_view bytes);
  MultipartError end_head();
  Step fail(MultipartError why) noexcept;
  bool count_padding(std::size_t bytes) noexcept;

  const MultipartLimits limits_;
  const std::string delimiter_;  // CRLF "--" boundary
  State state_ = State::preamble;
  MultipartError error_ = MultipartError::none;
  // How much of the delimiter has matched, and how much of that the input did not really have: the
  // first line of a body and of a part's data have their CRLF behind them.
  std::size_t matched_ = 2;
  std::size_t unreal_ = 2;
  std::size_t padding_ = 0;  // bytes of preamble, white space or epilogue so far
  std::size_t line_ = 0;     // where the current line begins in head_
  std::string head_;
  std::vector<HeaderField> fields_;  // views into head_
  std::uint64_t work_ = 0;
};

}  // namespace treadle::http
