// A multipart body between its connection and those who read its parts.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <system_error>

#include <treadle/http/multipart.h>
#include <treadle/http/request.h>
#include <treadle/result.h>

#include "form_disposition.h"
#include "multipart_parser.h"

namespace treadle::http::detail {

// Pulls bytes from the body when a part is asked for more, and not before: that is the
// back-pressure. Belongs to the request's goroutine.
class MultipartStream {
 public:
  static Result<std::unique_ptr<MultipartStream>> open(const Request& req,
                                                       const MultipartOptions& options);
  MultipartStream(const Request& req, std::string_view boundary, const MultipartLimits& limits,
                  std::size_t max_parts);

  // True when there is another part, whose head has been read. Parks.
  Result<bool> next_part();
  // Some more bytes of the current part; none at its end. Valid until the next call. Parks.
  Result<std::string_view> data();
  // The same, at most `most` bytes.
  Result<std::string_view> data(std::size_t most);

  const FormDisposition& disposition() const noexcept { return disposition_; }
  HeaderView headers() const noexcept { return parser_.headers(); }
  MultipartPart& part() noexcept { return part_; }
  std::unexpected<std::error_code> refuse(std::error_code error, std::string_view why);

 private:
  static constexpr std::size_t kBuffer = 16 * 1024;

  Result<bool> fill();
  Result<MultipartParser::Event> step();
  Result<void> begin_part();

  const Request& request_;
  MultipartParser parser_;
  const std::size_t max_parts_;
  std::size_t parts_ = 0;
  const std::unique_ptr<std::byte[]> buffer_;
  std::string_view input_;  // of buffer_, not parsed yet
  std::string_view data_;   // of the current part, not handed out yet
  bool in_part_ = false;
  bool at_end_ = false;
  FormDisposition disposition_;
  MultipartPart part_{*this};
  std::error_code error_;
};

}  // namespace treadle::http::detail
