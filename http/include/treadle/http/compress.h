// compress(): responses, by what the client accepts. decompress(): request bodies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include <treadle/http/middleware.h>

namespace treadle::http {

struct CompressOptions {
  // How hard each coding tries: gzip 1 to 9, brotli 1 to 11, zstd 1 to 19. 0: the coding is not
  // used. From about 6, 5 and 6 on a server's time is better spent otherwise.
  int gzip_level = 5;
  int brotli_level = 4;
  int zstd_level = 3;
  // Bodies known to be shorter (bytes) stay as they are.
  std::size_t min_size = 1024;
  // Which media types are worth it; without it text, JSON, XML, scripts, fonts and the like. Called
  // with the value of Content-Type by many goroutines.
  std::function<bool(std::string_view content_type)> compressible{};
  // Bodies compressed at one time, each of which costs up to 1.5 MB; more go as they are.
  std::size_t max_active = 128;
};

// Compresses the responses of the handlers inside with what Accept-Encoding prefers, of equal ones
// brotli before zstd before gzip. Left alone are responses without a body, those with
// Content-Encoding, Content-Range, a digest or `Cache-Control: no-transform`, short ones, and media
// types that gain nothing; where the client refuses to have it uncompressed (`identity;q=0`), only
// the first two count. An ETag becomes weak, Accept-Ranges goes, and so does Content-Length unless
// the whole body was there before the head left. `Vary: Accept-Encoding` stands wherever another
// client might have had another answer. HEAD is answered as GET would be, as far as the handler
// says how long the body is. flush() sends all that was written before, compressed. Files are read
// to be compressed instead of being sent by sendfile: keep those compressed beforehand beside them
// where they are large.
//
// Compression shows in a response's length how alike its parts are: never compress a secret beside
// what the client, or whoever makes it ask, chose (BREACH).
// Panics when a level is out of range or all are 0. Compressing never parks; it takes CPU time.
Middleware compress(CompressOptions options = {});

struct DecompressOptions {
  // Bytes that a body may become; 0: no limit. Left out: RequestLimits::body.
  std::optional<std::uint64_t> limit{};
  // Bodies decompressed at one time, each of which costs up to 16 MB; more are answered with 503.
  std::size_t max_active = 64;
};

// Lets the handlers inside read bodies that came with `Content-Encoding: gzip`, `br` or `zstd` as
// if they had not been compressed: Content-Encoding and Content-Length are gone, and
// Request::content_length() is empty. Another coding, or more than one, is answered with 415.
// Reading fails with body_too_large at the limit, however little has come, and with malformed_body
// where the compressed data is broken or ends early; both are answered for the handler as
// Body::read() says.
Middleware decompress(DecompressOptions options = {});

}  // namespace treadle::http
