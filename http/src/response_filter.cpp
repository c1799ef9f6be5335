// ResponseWriter: bodies that go through a filter.
#include <treadle/http/error.h>
#include <treadle/http/status.h>
#include <treadle/log.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "response_writer.h"

namespace treadle::http::detail {

void ResponseWriter::set_filter(std::unique_ptr<BodyFilter> filter) {
  require_open("filter set");
  if (!filter_) filter_ = std::move(filter);
}

// True when the body goes through a filter, which is asked once, when the head is about to leave.
// What was buffered until then is held in a buffer of its own, since the filter's output takes its
// place.
bool ResponseWriter::filters(Part part) {
  if (committed_ || !filter_ || filtering_) return filtering_;
  std::optional<std::uint64_t> size = declared_;
  if (!size && part == Part::last && (written_ > 0 || !head_request_)) size = written_;
  // A body that does not keep its promise is cut; that shows best when it goes as it is.
  const bool broken_promise =
      part == Part::last && declared_ && !no_body() && *declared_ != written_;
  if (!broken_promise && status_ != status::kResetContent)
    filtering_ = filter_->begin({status_, headers_, size, head_request_});
  if (!filtering_) {
    filter_.reset();
    return false;
  }
  if (buffered_ > 0) {
    held_ = std::make_unique_for_overwrite<char[]>(kHeadRoom + kBodyBuffer + kTailRoom);
    std::swap(held_, buffer_);
    standing_ = 0;
    held_size_ = std::exchange(buffered_, 0);
  }
  return true;
}

// Passes body through the filter, what is held first. The head leaves with the first of it, unless
// the body ends here.
Result<void> ResponseWriter::filter(std::string_view bytes, BodyFilter::Op op) {
  if (!no_body()) {
    if (held_size_ > 0) {
      const std::string_view held(held_.get() + kHeadRoom, std::exchange(held_size_, 0));
      if (auto ok = pump(held, BodyFilter::Op::run); !ok) return ok;
      held_.reset();
    }
    if (auto ok = pump(bytes, op); !ok) return ok;
  }
  if (op == BodyFilter::Op::finish || (committed_ && op == BodyFilter::Op::run)) return {};
  if (committed_ && buffered_ == 0) return {};
  return transmit({}, Part::more);
}

Result<void> ResponseWriter::pump(std::string_view bytes, BodyFilter::Op op) {
  for (;;) {
    if (room() < BodyFilter::kLeastRoom) {
      if (auto ok = transmit({}, Part::more); !ok) return ok;
    }
    const BodyFilter::Step step = filter_->step(bytes, {body() + buffered_, room()}, op);
    if (step.failed) {
      abandon(Errc::aborted);
      return fail(error_);
    }
    bytes.remove_prefix(step.consumed);
    buffered_ += step.produced;
    if (step.done) return {};
  }
}

// A file has to be read to go through a filter. How long a large one takes is the client's, as it
// is where files go as they are.
Result<void> ResponseWriter::filter_file(const net::File& file, std::uint64_t offset,
                                         std::uint64_t count) {
  if (count > kBodyBuffer) request_->host->set_handler_deadline(Deadline::never());
  const auto block = std::make_unique_for_overwrite<char[]>(kBodyBuffer);
  while (count > 0) {
    const std::span<char> into(
        block.get(), static_cast<std::size_t>(std::min<std::uint64_t>(count, kBodyBuffer)));
    const Result<std::size_t> n = file.read_at(std::as_writable_bytes(into), offset);
    if (!n || *n == 0) {
      abandon(n ? make_error_code(treadle::Errc::eof) : n.error());
      return fail(error_);
    }
    if (auto ok = filter({into.data(), *n}, BodyFilter::Op::run); !ok) return ok;
    offset += *n;
    count -= *n;
  }
  return {};
}

// Whether all that was to go through the filter has; if not, the response cannot end well. No
// handler is there any more to catch what a filter throws.
bool ResponseWriter::finish_filtered() {
  try {
    if (!filters(Part::last)) return true;
    if (declared_ && !length_satisfied()) {
      abandon(Errc::content_length);
      return false;
    }
    return filter({}, BodyFilter::Op::finish).has_value();
  } catch (const std::exception& e) {
    log::error("http: the filter of a response failed: {}", e.what());
  } catch (...) {
    log::error("http: the filter of a response failed: exception of unknown type");
  }
  abandon(Errc::aborted);
  return false;
}

// The filter changes the body's length: what the handler declared holds for what it writes and not
// for what is announced.
void ResponseWriter::choose_filtered_framing(Part part) {
  const std::optional<std::uint64_t> promised = std::exchange(declared_, std::nullopt);
  const std::uint64_t written = std::exchange(written_, 0);
  if (part == Part::last && !no_body()) declared_ = buffered_;
  choose_framing(part);
  announced_ = declared_;
  declared_ = promised;
  written_ = written;
}

}  // namespace treadle::http::detail
