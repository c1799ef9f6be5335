// Reason phrases of the registered status codes.
#include <treadle/http/status.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>

namespace treadle::http {
namespace {

struct Phrase {
  int status;
  std::string_view text;
};

// Sorted by status. The names of the IANA registry.
constexpr Phrase kPhrases[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {102, "Processing"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {208, "Already Reported"},
    {226, "IM Used"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {506, "Variant Also Negotiates"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {511, "Network Authentication Required"},
};

constexpr bool sorted =
    std::is_sorted(std::begin(kPhrases), std::end(kPhrases),
                   [](const Phrase& a, const Phrase& b) { return a.status < b.status; });
static_assert(sorted);

constexpr int kFirst = 100;
constexpr int kEnd = 600;

// Where a status stands in kPhrases, plus one; 0 where it does not.
constexpr auto kPlaces = [] {
  std::array<std::uint8_t, kEnd - kFirst> places{};
  for (std::size_t i = 0; i < std::size(kPhrases); ++i)
    places[static_cast<std::size_t>(kPhrases[i].status - kFirst)] =
        static_cast<std::uint8_t>(i + 1);
  return places;
}();

}  // namespace

std::string_view reason_phrase(int status) noexcept {
  if (status < kFirst || status >= kEnd) return {};
  const std::size_t place = kPlaces[static_cast<std::size_t>(status - kFirst)];
  return place == 0 ? std::string_view() : kPhrases[place - 1].text;
}

}  // namespace treadle::http
