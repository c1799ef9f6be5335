// Files from a directory.
//
//   router.handle("GET /files/{path...}", http::file_server("/srv/www"));
#pragma once

#include <string>

#include <treadle/http/handler.h>

namespace treadle::http {

struct FileServerOptions {
  // Sent for a directory, when it is there; empty: none.
  std::string index = "index.html";
  // Whether a directory without an index is answered with a list of its files instead of 404.
  bool listing = false;
  // The Cache-Control field of files; empty: none is sent.
  std::string cache_control{};
};

// A handler that answers GET and HEAD with the files below `root`; the path below it is what the
// route's {rest...} or trailing slash took, else the request's whole path. It knows Range (several
// too), If-Range, conditional requests (RFC 9110 13), ETag and Last-Modified, media types by
// extension, 405 for other methods. A directory is redirected to its trailing slash, then answered
// by its index. Regular files only, and nothing outside the root: no "..", no encoding of it, no
// symbolic link that leads out. Names that begin with a dot do not exist. Files go by sendfile; one
// that shrinks while it is sent cuts the connection, so that its end is never mistaken. Panics when
// `root` cannot be opened. Handlers park; waits for the disk never hold a P.
Handler file_server(const std::string& root, FileServerOptions options = {});

}  // namespace treadle::http
