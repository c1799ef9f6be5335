// TOML files, flattened.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "values.h"

namespace treadle::apps {

// One `key = value` of a file: the key dotted, the value as text without quotes. A table that holds
// nothing is an entry too, with an empty value: its name may be wrong like any other.
//   An array of values is an entry for each, an empty one an entry of form `none`. Of an array of
// tables each table is an entry, followed by those for what it holds, whose keys leave the table's
// place out: "tls.certificate", "tls.certificate.chain".
struct ConfigEntry {
  std::string key;
  std::string value;
  std::string source;  // the value as TOML writes it, for messages; empty for a table
  Form form = Form::text;
  unsigned line = 0;     // from 1
  std::size_t item = 0;  // its place in the array that it stands in, from 0
};

// Every entry in the order of the file. The error names the file, and the line where it has one:
// an unreadable file, one above 1 MiB, bad TOML, or a value that is neither text, number, boolean
// nor an array of those or of tables.
Parsed<std::vector<ConfigEntry>> read_config_file(const std::string& path);

}  // namespace treadle::apps
