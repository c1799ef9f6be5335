// Values as people write them on command lines and in configuration files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <treadle/timer.h>

namespace treadle::apps {

// What was understood, or one clause that says what would have been.
template <class T>
using Parsed = std::expected<T, std::string>;

// "30s", "250ms", "1.5h", "1m30s"; units ns, us, ms, s, m, h. "0" needs no unit. Never negative.
Parsed<Duration> parse_duration(std::string_view text);
// "4096", "64KiB", "10MB"; KB, MB and GB are powers of 1000, KiB, MiB and GiB of 1024.
Parsed<std::size_t> parse_size(std::string_view text);
Parsed<int> parse_int(std::string_view text, int least, int most);
Parsed<bool> parse_bool(std::string_view text);

// The shortest text that the parsers above read back as the same value.
std::string format_duration(Duration d);
std::string format_size(std::size_t bytes);

// How a configuration file writes a value. Flags are text always.
enum class Form : std::uint8_t { text, integer, real, boolean, table };

// A variable that a flag or a configuration key sets.
struct Value {
  std::function<Parsed<void>(std::string_view)> assign;
  std::function<std::string()> show;  // its present value, as a user would write it
  std::vector<Form> forms;            // those that a configuration file may use
  std::string needs;                  // the clause for a value in any other form
};

// Values for each kind of variable. They keep a reference to it.
Value text_value(std::string& variable);
Value address_value(std::string& variable);  // "ADDR:PORT", checked but kept as text
Value int_value(int& variable, int least, int most);
Value bool_value(bool& variable);
Value duration_value(Duration& variable);
Value size_value(std::size_t& variable, std::size_t least, std::size_t most);
Value size_value(std::size_t& variable);  // from 0 to half of what memory holds
Value count_value(std::size_t& variable, int least, int most);  // a bare number, not a size

}  // namespace treadle::apps
