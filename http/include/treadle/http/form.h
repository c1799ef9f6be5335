// Forms, urlencoded and multipart, read as a whole.
//
//   router.handle("POST /notes", [](http::Response& res, const http::Request& req) {
//     auto form = http::read_form(req);
//     if (!form) return;  // 400, 413 or 415 is answered for us
//     std::string_view title = form->value("title").value_or("untitled");
//     if (const http::UploadedFile* photo = form->file("photo"))
//       res.print("{} has {} bytes\n", photo->display_name(), photo->size());
//   });
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <treadle/http/query.h>
#include <treadle/result.h>

namespace treadle::net {
class File;
}

namespace treadle::http {

class Request;
class Response;

// In place of the server's limits (RequestLimits); nothing: the server's. The form as a whole is
// bounded by RequestLimits::body.
struct FormOptions {
  std::optional<std::size_t> pairs{};      // RequestLimits::form_pairs
  std::optional<std::size_t> part_head{};  // RequestLimits::part_head, in bytes
  std::optional<std::size_t> memory{};     // RequestLimits::form_memory, in bytes
  // Where files beyond `memory` go; empty: $TMPDIR, else /tmp.
  std::string directory{};
};

// A file that came with a form: in memory, or on disk in a file without a name that ends with its
// last handle. Copies are cheap where it is on disk, and may outlive the Form and the request.
class UploadedFile {
 public:
  // The form field's name.
  const std::string& name() const noexcept { return name_; }
  // As sent, possibly with a path. Never open a file by it: see display_name().
  const std::string& filename() const noexcept { return filename_; }
  // The file's name made harmless: see MultipartPart::display_name().
  std::string display_name() const;
  // What the client says it is; empty where it does not. Clients may say anything.
  const std::string& content_type() const noexcept { return content_type_; }
  std::uint64_t size() const noexcept { return size_; }

  // Reads up to into.size() bytes from `offset` on; 0 at the end. Any number of goroutines at once.
  // Disk waits block the M, never the P, and do not park. Errors: the system's.
  [[nodiscard]] Result<std::size_t> read_at(std::span<std::byte> into, std::uint64_t offset) const;
  // All of it as one string.
  [[nodiscard]] Result<std::string> read_all() const;
  // Appends it to the body of `res`, by sendfile where that serves; as Response::send_file().
  Result<void> send(Response& res) const;

  // The file on disk that has it, from disk_offset() on and beside other files of the form; null
  // when it is in memory().
  const std::shared_ptr<const net::File>& disk() const noexcept { return disk_; }
  std::uint64_t disk_offset() const noexcept { return offset_; }
  std::string_view memory() const noexcept { return memory_; }

 private:
  friend class FormBuilder;
  UploadedFile() = default;

  std::string name_;
  std::string filename_;
  std::string content_type_;
  std::uint64_t size_ = 0;
  std::string memory_;
  std::shared_ptr<const net::File> disk_;
  std::uint64_t offset_ = 0;
};

// What a form held. It owns all of it, so it may outlive the request.
class Form {
 public:
  Form() = default;  // an empty one

  // Its plain fields in the order they came; names may come more than once.
  std::span<const QueryPair> fields() const noexcept { return fields_; }
  // The first value of that name; nothing when there is none.
  std::optional<std::string_view> value(std::string_view name) const noexcept;

  // Its files in the order they came. File inputs in which nothing was chosen are left out.
  std::span<const UploadedFile> files() const noexcept { return files_; }
  // The first file of that name; null when there is none.
  const UploadedFile* file(std::string_view name) const noexcept;

 private:
  friend class FormBuilder;

  std::vector<QueryPair> fields_;
  std::vector<UploadedFile> files_;
};

// Reads the request's body as a form, application/x-www-form-urlencoded or multipart/form-data
// (RFC 7578, read as MultipartReader says). Names and values are bytes: nothing checks that they
// are UTF-8. Fields stay in memory, and so do files as long as all of it fits into form_memory;
// files beyond that go to disk, all of a form into one nameless file of mode 0600.
// Parks the calling G, and obeys deadlines, as Body::read() does; disk waits never hold a P.
// Errors: those of Body::read(); unsupported_media_type; malformed_form; form_too_large (pairs,
// parts, a part's head, or a multipart form's fields beyond form_memory); body_too_large (also an
// urlencoded body beyond form_memory); the system's where a file
// could not be kept (the log says so, too). A handler that then writes nothing gets 400, 408, 413,
// 415 or 500 answered for it.
Result<Form> read_form(const Request& req, const FormOptions& options = {});

}  // namespace treadle::http
