#include <treadle/http/compress.h>

#include <treadle/http/request.h>
#include <treadle/http/response.h>
#include <treadle/http/status.h>
#include <treadle/result.h>

#include <array>
#include <atomic>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../content_coding.h"
#include "../encoder.h"
#include "../field_list.h"
#include "../response_writer.h"

namespace treadle::http {
namespace {

using detail::BodyFilter;
using detail::EncoderPool;
using detail::HeaderBlock;

constexpr std::string_view kDefaultType = "text/plain; charset=utf-8";

// What the responses of one compress() share.
struct Compressor {
  CompressOptions options;
  std::vector<Coding> ours;  // those in use, the preferred one first
  std::optional<EncoderPool> gzip, brotli, zstd;
  // A count and no more: nothing is published by it.
  std::atomic<std::size_t> active{0};

  explicit Compressor(CompressOptions o) : options(std::move(o)) {
    use(Coding::br, options.brotli_level, 11, brotli);
    use(Coding::zstd, options.zstd_level, 19, zstd);
    use(Coding::gzip, options.gzip_level, 9, gzip);
    if (ours.empty()) throw Panic("treadle::http: compress without a coding");
    if (!options.compressible) options.compressible = is_compressible;
  }

  void use(Coding coding, int level, int most, std::optional<EncoderPool>& pool) {
    if (level < 0 || level > most) throw Panic("treadle::http: compress: level out of range");
    if (level == 0) return;
    pool.emplace(coding, level);
    ours.push_back(coding);
  }
  EncoderPool& pool(Coding coding) noexcept {
    return coding == Coding::gzip ? *gzip : coding == Coding::br ? *brotli : *zstd;
  }

  bool enter() noexcept {
    if (active.fetch_add(1, std::memory_order_relaxed) < options.max_active) return true;
    leave();
    return false;
  }
  void leave() noexcept { active.fetch_sub(1, std::memory_order_relaxed); }
};

bool has_member(const HeaderBlock& headers, std::string_view name, std::string_view member) {
  FieldList list(headers.get(name).value_or(""));
  while (const auto one = list.next())
    if (equal_ignore_case(*one, member)) return true;
  return false;
}

// Whether the body is whole and for us to change.
bool may_be_coded(int status, const HeaderBlock& headers) {
  if (status_has_no_body(status) || status == status::kPartialContent) return false;
  for (const std::string_view name : {"Content-Encoding", "Content-Range", "Content-Digest",
                                      "Repr-Digest", "Digest", "Content-MD5"})
    if (headers.get(name)) return false;
  return !has_member(headers, "Cache-Control", "no-transform");
}

class CompressFilter final : public BodyFilter {
 public:
  CompressFilter(std::shared_ptr<Compressor> compressor, CodingChoice choice) noexcept
      : compressor_(std::move(compressor)), choice_(choice) {}
  ~CompressFilter() override {
    if (!encoder_) return;
    encoder_->end();
    encoder_.reset();
    compressor_->leave();
  }

  bool begin(const Head& head) override {
    // What a 200 would have said of the same resource, if it was one to be compressed.
    if (head.status == status::kNotModified || head.status == status::kPartialContent)
      vary(head.headers);
    if (head.status == status::kNotModified && choice_.coding != Coding::identity &&
        !head.headers.get("Content-Encoding"))
      weaken(head.headers);
    if (!may_be_coded(head.status, head.headers)) return false;
    if (head.size == 0) return false;
    const bool code_anyway = choice_.identity_refused && choice_.coding != Coding::identity;
    if (!worth_it(head) && !code_anyway) return false;
    vary(head.headers);
    // What a GET would have got is not known where the handler does not say how long it is.
    if (choice_.coding == Coding::identity || (head.to_head && !head.size)) return false;
    if (!take_encoder(head)) return false;
    mark(head.headers);
    return true;
  }

  Step step(std::string_view in, std::span<char> out, Op op) override {
    return encoder_->step(in, out, op);
  }

 private:
  bool worth_it(const Head& head) const {
    const std::string_view type = head.headers.get("Content-Type").value_or(kDefaultType);
    return (!head.size || *head.size >= compressor_->options.min_size) &&
           compressor_->options.compressible(type);
  }

  static void vary(HeaderBlock& headers) {
    if (!has_member(headers, "Vary", "Accept-Encoding") && !has_member(headers, "Vary", "*"))
      headers.add("Vary", "Accept-Encoding");
  }

  bool take_encoder(const Head& head) {
    if (head.to_head) return true;
    if (!compressor_->enter()) return false;
    try {
      encoder_ = compressor_->pool(choice_.coding).get();
      if (encoder_->begin(head.size)) return true;
      encoder_.reset();
    } catch (const std::bad_alloc&) {  // then it goes as it is
    }
    compressor_->leave();
    return false;
  }

  void mark(HeaderBlock& headers) const {
    headers.set("Content-Encoding", coding_name(choice_.coding));
    headers.remove("Accept-Ranges");
    if (!headers.get("Content-Type")) headers.set("Content-Type", kDefaultType);
    weaken(headers);
  }

  // The bytes are other ones, which is all that a strong tag is about (RFC 9110 8.8.1).
  static void weaken(HeaderBlock& headers) {
    if (const auto tag = headers.get("ETag"); tag && !tag->starts_with("W/"))
      headers.set("ETag", "W/" + std::string(*tag));
  }

  std::shared_ptr<Compressor> compressor_;
  CodingChoice choice_;
  // Nothing until it is sure that there is something to compress.
  EncoderPool::Handle encoder_{nullptr, {}};
};

}  // namespace

Middleware compress(CompressOptions options) {
  const auto compressor = std::make_shared<Compressor>(std::move(options));
  return [compressor](Handler next) -> Handler {
    return [compressor, next = std::move(next)](Response& res, const Request& req) {
      const CodingChoice choice = choose_coding(req.headers(), compressor->ours);
      res.writer().set_filter(std::make_unique<CompressFilter>(compressor, choice));
      next(res, req);
    };
  };
}

}  // namespace treadle::http
