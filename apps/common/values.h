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

// How a configuration file writes a value. Flags are text always. `none` is an empty array.
enum class Form : std::uint8_t { text, integer, real, boolean, table, none };

// A variable that a flag, an environment variable or a configuration key sets.
struct Value {
  std::function<Parsed<void>(std::string_view)> assign;  // of a list: adds an item
  std::function<std::string()> show;  // its present value, as a user would write it
  std::vector<Form> forms;            // those that a configuration file may use, also for an item
  std::string needs;                  // the clause for a value in any other form
  std::string placeholder;            // for --help: "DURATION"
  std::function<void()> reset;        // back to what it was when this was made
  std::function<void()> clear{};      // lists only: no items
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
Value mode_value(unsigned& variable);                           // permissions, in octal: "0660"
// One of the words, whose place among them is the number that is set.
Value choice_value(std::vector<std::string_view> words, std::function<void(std::size_t)> set,
                   std::function<std::size_t()> get);
// Any number of texts, each of which `check` finds fine. Commas separate them outside of files.
Value list_value(std::vector<std::string>& variable,
                 std::function<Parsed<void>(std::string_view)> check);

// "10.0.0.0/8", "::1": an address or a network, or "unix".
Parsed<void> check_proxy(std::string_view text);

}  // namespace treadle::apps
