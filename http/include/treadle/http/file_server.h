// Files from a directory.
//
//   router.handle("GET /files/{path...}", http::file_server("/srv/www"));
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <treadle/http/handler.h>

namespace treadle::http {

// The Cache-Control field of files whose path below the root fits a pattern: `*` is any run of
// bytes within a segment, `**` one over segments too, `?` one byte. A pattern without a slash is
// matched against the file's name ("*.woff2"), others against the whole path ("/assets/**").
struct CacheControlRule {
  std::string pattern;
  std::string value;  // "public, max-age=31536000, immutable"; empty: none is sent
};

struct MimeType {
  std::string extension;  // "glb"; case does not matter
  std::string type;       // "model/gltf-binary"; with "; charset=utf-8" where it is text
};

struct FileServerOptions {
  // Sent for a directory, when it is there; empty: none.
  std::string index = "index.html";
  // Whether a directory without an index is answered with a list of its files instead of 404.
  bool listing = false;
  // Files in one list; what is beyond is left out, and said so.
  std::size_t max_listed = 10'000;
  // The Cache-Control field of files that no rule names; empty: none is sent.
  std::string cache_control{};
  // The first rule that fits a file counts.
  std::vector<CacheControlRule> cache_control_rules{};
  // Media types that go before the built-in ones.
  std::vector<MimeType> mime_types{};
  // Whether a.css.br, a.css.zst and a.css.gz stand for a.css where the client accepts their coding.
  bool precompressed = true;
  // Descriptors kept open for the next requests, for a second at most; an eighth of RLIMIT_NOFILE
  // is the most. 0: every request opens its file anew.
  std::size_t open_files = 256;
  // Makes entity tags of this site's own: with the built-in key, who knows a file's size and exact
  // time could find its inode's number by trying. The same on all servers of a site.
  std::string etag_secret{};
};

// A handler that answers GET and HEAD with the files below `root`; the path below it is what the
// route's {rest...} or trailing slash took, else the request's whole path. Other methods get 405,
// OPTIONS 204, both with Allow.
//
// It knows Range (several too), If-Range, conditional requests (RFC 9110 13 and 14), ETag and
// Last-Modified, media types by extension. A compressed sibling is a regular file that is not older
// than the original: the client's weights choose, then br before zstd before gzip; its tag, length
// and ranges are its own, its media type the original's.
//
// A directory is redirected to its trailing slash, then answered by its index, or by a list:
// directories first, then files, with numbers within names in order of their value. The list shows
// no symbolic links, and cuts what is beyond max_listed.
//
// Regular files only, and nothing outside the root: no "..", no encoding of it, no symbolic link
// that leads out. Names that begin with a dot do not exist (404), nor do devices, FIFOs and
// sockets, which are opened without waiting and never read; what may not be read is 403.
//
// Files go by sendfile. One that shrinks while it is sent cuts the connection, so that its end is
// never mistaken; one that grows is sent as long as it was. What is replaced, deleted or forbidden
// shows in a second at most, and new content of the same file at once.
//
// Panics when `root` cannot be opened or an option cannot stand in a field. Handlers park; waits
// for the disk never hold a P.
Handler file_server(const std::string& root, const FileServerOptions& options = {});

}  // namespace treadle::http
