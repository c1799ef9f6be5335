// TOML files, flattened.
#pragma once

#include <string>
#include <vector>

#include "values.h"

namespace treadle::apps {

// One `key = value` of a file: the key dotted, the value as text without quotes. A table that holds
// nothing is an entry too, with an empty value: its name may be wrong like any other.
struct ConfigEntry {
  std::string key;
  std::string value;
  std::string source;  // the value as TOML writes it, for messages; empty for a table
  Form form = Form::text;
  unsigned line = 0;  // from 1
};

// Every entry in the order of the file. The error names the file, and the line where it has one:
// an unreadable file, one above 1 MiB, bad TOML, or a value that is neither text, number nor
// boolean.
Parsed<std::vector<ConfigEntry>> read_config_file(const std::string& path);

}  // namespace treadle::apps
