// Settings of treadle-files that hold a rule a line.
#pragma once

#include <treadle/http/file_server.h>

#include <vector>

#include "values.h"

namespace treadle::apps {

// Lines "PATTERN: VALUE" and "EXTENSION: TYPE"; empty ones do not matter. They keep a reference to
// the variable.
Value cache_control_rules_value(std::vector<http::CacheControlRule>& variable);
Value mime_types_value(std::vector<http::MimeType>& variable);

}  // namespace treadle::apps
