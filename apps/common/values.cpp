#include "values.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <treadle/net/addr.h>
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>

namespace treadle::apps {

namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

// Largest first, so that formatting takes the largest unit that divides.
constexpr std::array<Unit, 6> kTimeUnits = {{{"h", 3'600'000'000'000},
                                             {"m", 60'000'000'000},
                                             {"s", 1'000'000'000},
                                             {"ms", 1'000'000},
                                             {"us", 1'000},
                                             {"ns", 1}}};
constexpr std::array<Unit, 8> kSizeUnits = {{{"GiB", 1ULL << 30},
                                             {"GB", 1'000'000'000},
                                             {"MiB", 1ULL << 20},
                                             {"MB", 1'000'000},
                                             {"KiB", 1ULL << 10},
                                             {"KB", 1'000},
                                             {"", 1},
                                             {"B", 1}}};

// The longest prefix of digits and at most one point; `text` moves behind it.
std::string_view take_number(std::string_view& text) {
  std::size_t n = 0;
  bool point = false;
  while (n < text.size() && ((text[n] >= '0' && text[n] <= '9') || (text[n] == '.' && !point))) {
    point |= text[n] == '.';
    ++n;
  }
  std::string_view number = text.substr(0, n);
  text.remove_prefix(n);
  return number;
}

std::string_view take_letters(std::string_view& text) {
  std::size_t n = 0;
  while (n < text.size() && !(text[n] >= '0' && text[n] <= '9') && text[n] != '.') ++n;
  std::string_view letters = text.substr(0, n);
  text.remove_prefix(n);
  return letters;
}

// number * factor, exactly where the number has no point; empty when it is not a number or the
// product exceeds `most`.
std::expected<std::uint64_t, bool> scale(std::string_view number, std::uint64_t factor,
                                         std::uint64_t most) {
  const char* end = number.data() + number.size();
  std::uint64_t whole = 0;
  auto [p, ec] = std::from_chars(number.data(), end, whole);
  if (ec == std::errc::result_out_of_range) return std::unexpected(true);
  if (ec == std::errc() && p == end) {
    if (whole > most / factor) return std::unexpected(true);
    return whole * factor;
  }
  double fraction = 0;
  auto [q, fraction_ec] = std::from_chars(number.data(), end, fraction);
  if (fraction_ec != std::errc() || q != end || number == ".") return std::unexpected(false);
  double product = std::round(fraction * static_cast<double>(factor));
  if (!(product < static_cast<double>(most))) return std::unexpected(true);
  return static_cast<std::uint64_t>(product);
}

const Unit* find_unit(std::span<const Unit> units, std::string_view name) {
  for (const Unit& u : units)
    if (u.name == name) return &u;
  return nullptr;
}

std::string format_with_units(std::uint64_t value, std::span<const Unit> units) {
  for (const Unit& u : units)
    if (value >= u.factor && value % u.factor == 0)
      return fmt::format("{}{}", value / u.factor, u.name);
  return "0";
}

constexpr std::string_view kNotADuration =
    "needs a duration such as \"30s\", \"250ms\" or \"1m30s\"";
constexpr std::string_view kNotASize = "needs a size in bytes such as 4096, \"64KiB\" or \"10MB\"";
constexpr std::string_view kNotAnAddress =
    "needs ADDR:PORT, such as \"127.0.0.1:8080\", \"[::1]:8080\" or \":8080\" (every address); "
    "names are not looked up";

constexpr std::string_view kNotABool = "needs true or false";
constexpr std::size_t kMostBytes = std::numeric_limits<std::size_t>::max() / 2;

std::unexpected<std::string> clause(std::string_view text) {
  return std::unexpected(std::string(text));
}

std::string not_an_int(int least, int most) {
  return fmt::format("needs a whole number from {} to {}", least, most);
}

template <class T, class Parse, class Show>
Value make_value(T& variable, Parse parse, Show show, std::vector<Form> forms,
                 std::string_view needs, std::string_view placeholder) {
  return {[&variable, parse](std::string_view text) -> Parsed<void> {
            auto parsed = parse(text);
            if (!parsed) return std::unexpected(parsed.error());
            variable = *std::move(parsed);
            return {};
          },
          [&variable, show] { return std::string(show(variable)); },
          std::move(forms),
          std::string(needs),
          std::string(placeholder),
          [&variable, initial = variable] { variable = initial; }};
}

}  // namespace

Parsed<Duration> parse_duration(std::string_view text) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  if (text == "0") return Duration::zero();
  if (text.empty()) return clause(kNotADuration);
  std::uint64_t total = 0;
  while (!text.empty()) {
    std::string_view number = take_number(text);
    const Unit* unit = find_unit(kTimeUnits, take_letters(text));
    if (number.empty() || !unit) return clause(kNotADuration);
    auto part = scale(number, unit->factor, kMost - total);
    if (!part) return clause(part.error() ? "is longer than 292 years" : kNotADuration);
    total += *part;
  }
  return Duration(static_cast<std::int64_t>(total));
}

Parsed<std::size_t> parse_size(std::string_view text) {
  std::string_view number = take_number(text);
  const Unit* unit = find_unit(kSizeUnits, text);
  if (number.empty() || !unit) return clause(kNotASize);
  auto bytes = scale(number, unit->factor, kMostBytes);
  // Half a byte is a mistake, and must not round to 0, which may mean "no limit".
  bool rounded = bytes && number.contains('.') && (unit->factor == 1 || *bytes == 0);
  if (rounded) return clause(kNotASize);
  if (!bytes) return clause(bytes.error() ? "is more than any memory holds" : kNotASize);
  return static_cast<std::size_t>(*bytes);
}

Parsed<int> parse_int(std::string_view text, int least, int most) {
  int value = 0;
  auto [p, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || p != text.data() + text.size() || ec != std::errc() || value < least ||
      value > most)
    return std::unexpected(not_an_int(least, most));
  return value;
}

Parsed<bool> parse_bool(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return clause(kNotABool);
}

std::string format_duration(Duration d) {
  return format_with_units(static_cast<std::uint64_t>(d.count()), kTimeUnits);
}

std::string format_size(std::size_t bytes) { return format_with_units(bytes, kSizeUnits); }

Value text_value(std::string& variable) {
  return make_value(
      variable,
      [](std::string_view text) -> Parsed<std::string> {
        // Values end up in log lines and header fields.
        auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
        if (std::ranges::any_of(text, is_control))
          return clause("must not hold control characters");
        return std::string(text);
      },
      [](const std::string& v) { return v; }, {Form::text}, "needs text in quotes", "TEXT");
}

Value address_value(std::string& variable) {
  return make_value(
      variable,
      [](std::string_view text) -> Parsed<std::string> {
        if (!net::SocketAddress::parse(text)) return clause(kNotAnAddress);
        return std::string(text);
      },
      [](const std::string& v) { return v; }, {Form::text}, kNotAnAddress, "ADDR:PORT");
}

Value int_value(int& variable, int least, int most) {
  return make_value(
      variable, [least, most](std::string_view text) { return parse_int(text, least, most); },
      [](int v) { return std::to_string(v); }, {Form::integer}, not_an_int(least, most), "N");
}

Value bool_value(bool& variable) {
  return make_value(
      variable, parse_bool, [](bool v) { return v ? "true" : "false"; }, {Form::boolean}, kNotABool,
      "BOOL");
}

Value duration_value(Duration& variable) {
  // The integer is for 0, which needs no unit.
  return make_value(variable, parse_duration, format_duration, {Form::text, Form::integer},
                    kNotADuration, "DURATION");
}

Value size_value(std::size_t& variable, std::size_t least, std::size_t most) {
  return make_value(
      variable,
      [least, most](std::string_view text) {
        Parsed<std::size_t> size = parse_size(text);
        if (size && (*size < least || *size > most))
          size = std::unexpected(
              fmt::format("needs a size from {} to {}", format_size(least), format_size(most)));
        return size;
      },
      format_size, {Form::text, Form::integer}, kNotASize, "SIZE");
}

Value size_value(std::size_t& variable) { return size_value(variable, 0, kMostBytes); }

Value count_value(std::size_t& variable, int least, int most) {
  return make_value(
      variable,
      [least, most](std::string_view text) -> Parsed<std::size_t> {
        auto count = parse_int(text, least, most);
        if (!count) return std::unexpected(count.error());
        return static_cast<std::size_t>(*count);
      },
      [](std::size_t v) { return std::to_string(v); }, {Form::integer}, not_an_int(least, most),
      "N");
}

Value mode_value(unsigned& variable) {
  constexpr std::string_view kNotAMode = "needs permissions in octal such as \"0660\"";
  return make_value(
      variable,
      [kNotAMode](std::string_view text) -> Parsed<unsigned> {
        unsigned mode = 0;
        const char* end = text.data() + text.size();
        auto [p, ec] = std::from_chars(text.data(), end, mode, 8);
        if (text.empty() || p != end || ec != std::errc() || mode > 0777) return clause(kNotAMode);
        return mode;
      },
      [](unsigned v) { return fmt::format("{:04o}", v); }, {Form::text}, kNotAMode, "MODE");
}

Value choice_value(std::vector<std::string_view> words, std::function<void(std::size_t)> set,
                   std::function<std::size_t()> get) {
  std::string needs = fmt::format("needs one of \"{}\"", fmt::join(words, "\", \""));
  return {[words, set, needs](std::string_view text) -> Parsed<void> {
            auto word = std::ranges::find(words, text);
            if (word == words.end()) return clause(needs);
            set(static_cast<std::size_t>(word - words.begin()));
            return {};
          },
          [words, get] { return std::string(words[get()]); },
          {Form::text},
          needs,
          "WORD",
          [set, initial = get()] { set(initial); }};
}

Value list_value(std::vector<std::string>& variable,
                 std::function<Parsed<void>(std::string_view)> check) {
  return {[&variable, check = std::move(check)](std::string_view text) -> Parsed<void> {
            if (auto r = check(text); !r) return r;
            variable.emplace_back(text);
            return {};
          },
          [&variable] { return fmt::format("{}", fmt::join(variable, ",")); },
          {Form::text},
          "needs an array of texts in quotes",
          "LIST",
          [&variable, initial = variable] { variable = initial; },
          [&variable] { variable.clear(); }};
}

Parsed<void> check_proxy(std::string_view text) {
  constexpr std::string_view kNotAProxy =
      "needs addresses or networks such as \"10.0.0.0/8\" or \"::1\", or \"unix\"";
  if (text == "unix") return {};
  const std::size_t slash = text.find('/');
  const std::string host(text.substr(0, slash));
  std::array<std::byte, 16> bytes;
  const bool v4 = ::inet_pton(AF_INET, host.c_str(), bytes.data()) == 1;
  const bool v6 = ::inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1;
  if (!v4 && !v6) return clause(kNotAProxy);
  if (slash != std::string_view::npos && !parse_int(text.substr(slash + 1), 0, v4 ? 32 : 128))
    return clause(kNotAProxy);
  return {};
}

}  // namespace treadle::apps
